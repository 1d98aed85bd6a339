"""A release of the chart in the suite's namespace: its values, its life, and its gateway as a client sees it."""

import json
import os
import time
import uuid
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from manifests import MODELS
from suite_namespace import PROJECT, NotYet, Object, SuiteNamespace, ready, wait_until

from k8s.values import merge

CHART = PROJECT / "charts" / "soloist"
RESOURCE = "soloist.test/gpu"
DEVICES = 3
CPU = {"mode": "none", "resource": ""}
"""The `gpu` of a model that needs no device."""
INITIAL_COOLDOWN = 120
STABILIZATION = 45
"""Longer than a lease, so that a worker that has become idle is still there when another is lost."""
LONG = 1500.0
"""Seconds of a nap that a test ends itself."""
LIMIT = 1800
RELEASE_FILE = "/dev/shm/release"  # noqa: S108 - in the pod, which is ours alone
TERMINAL = ("succeeded", "failed", "canceled")


def nap(**more: Any) -> Object:
    """A model for pretend devices, with patience short enough for a test."""
    model = {
        "catalog": {
            "python": "pretend_models:Nap",
            "device": "cpu",
            "max_batch_size": 1,
            "timeout_seconds": LIMIT,
            "options": {"release": RELEASE_FILE},
        },
        "scaling": {
            "max": DEVICES,
            "pollingSeconds": 2,
            "cooldownSeconds": 30,
            "initialCooldownSeconds": INITIAL_COOLDOWN,
            "scaleDown": {"stabilizationSeconds": STABILIZATION, "podsPerMinute": 60},
        },
        "resources": {
            "requests": {"cpu": "50m", "memory": "256Mi"},
            "limits": {"memory": "1Gi"},
        },
        "sharedMemory": "64Mi",
        "env": {"PYTHONPATH": "/suite"},
        "extraVolumes": [{"name": "suite", "configMap": {"name": MODELS}}],
        "extraVolumeMounts": [{"name": "suite", "mountPath": "/suite", "readOnly": True}],
    }
    return merge(model, more)


def suite_values(*, persistent: bool) -> Object:
    """What the suite sets: its images, the pretend device, its one model."""
    small = {"requests": {"cpu": "50m", "memory": "96Mi"}}
    stored = {"enabled": persistent, "size": "1Gi"}
    return {
        "images": images(os.environ),
        "gpu": {"mode": "devicePlugin", "resource": RESOURCE},
        "models": {"nap": nap()},
        "gateway": {"resources": small},
        "keeper": {"resources": small},
        "ledger": {"bundled": {"persistence": stored, "resources": small}},
        "broker": {"bundled": {"resources": {"requests": {"cpu": "50m"}}}},
        "test": {"model": "nap", "input": {"seconds": 0}, "timeoutSeconds": 600},
    }


def images(environment: Mapping[str, str]) -> Object:
    """The chart's `images`, where `CLUSTER_*_IMAGE` names others than the chart's own."""
    found: Object = {}
    for name in ("api", "worker"):
        if given := environment.get(f"CLUSTER_{name.upper()}_IMAGE"):
            found[name] = split_image(given)
    for name in ("redis", "rabbitmq", "pause"):
        if given := environment.get(f"CLUSTER_{name.upper()}_IMAGE"):
            found[name] = given
    return found


def split_image(image: str) -> dict[str, str]:
    """The parts of `host:5000/name:tag@digest`."""
    rest, _, digest = image.partition("@")
    folder, slash, name = rest.rpartition("/")
    name, _, tag = name.partition(":")
    return {"repository": folder + slash + name, "tag": tag, "digest": digest}


def api_image(environment: Mapping[str, str]) -> str:
    """The gateway's image, for the device plugin."""
    if given := environment.get("CLUSTER_API_IMAGE"):
        return given
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    api = values["images"]["api"]
    return f"{api['repository']}:{api['tag'] or chart['appVersion']}"


class Where(NamedTuple):
    """Who runs a prediction: the pod, its device, the process in it."""

    pod: str
    device: str
    pid: int


class Release:
    """One `helm install`. `values` are those of its last upgrade; `who` are Helm's options that say who we are."""

    def __init__(
        self, namespace: SuiteNamespace, name: str, values: Object, who: Sequence[str] = ()
    ) -> None:
        self.namespace = namespace
        self.name = name
        self.values = values
        self.who = tuple(who)
        self.install_seconds = 0.0
        self.installed_at = 0.0
        self._submitted: list[str] = []

    # Its life.

    def install(self) -> None:
        began = time.monotonic()
        self._helm("install", CHART)
        self.installed_at = time.monotonic()
        self.install_seconds = self.installed_at - began
        self.settled()

    def upgrade(self, chart: Path = CHART, **changes: Any) -> None:
        """`changes` are merged over the values as they are."""
        self.values = merge(self.values, changes)
        self._helm("upgrade", chart)
        self.settled()

    def _helm(self, verb: str, chart: Path) -> None:
        values = json.dumps(self.values)
        self.namespace.helm(verb, self.name, str(chart), "-f", "-", *self.who, stdin=values)

    def settled(self) -> None:
        """Return when gateway, keeper, ledger and broker are as the release wants them."""
        what = f"gateway, keeper, ledger and broker of {self.name} are ready"
        wait_until(what, self._settled, 600)

    def _settled(self) -> bool:
        group = [
            *self._controllers("deployments", "gateway"),
            *self._controllers("deployments", "keeper"),
            *self._controllers("statefulsets"),
        ]
        return len(group) >= 3 and all(map(rolled_out, group))

    def _controllers(self, kind: str, component: str = "") -> list[Object]:
        labels = f"app.kubernetes.io/instance={self.name}"
        labels += f",app.kubernetes.io/component={component}" if component else ""
        return self.namespace.cluster.list_objects(
            self.namespace.cluster.path_of(kind, "apps/v1"), labels
        )

    # Its workers.

    def workers(self, model: str = "nap") -> list[Object]:
        """The worker pods of a model that are not on their way out."""
        pods = self.namespace.pods(instance=self.name, component="worker", model=model)
        return [pod for pod in pods if "deletionTimestamp" not in pod["metadata"]]

    def ready_workers(self, count: int, model: str = "nap", seconds: float = 600) -> list[Object]:
        """The workers, once there are so many and all are ready."""

        def enough() -> list[Object] | None:
            pods = self.workers(model)
            return pods if len(pods) == count and all(map(ready, pods)) else None

        return wait_until(f"{model} has {count} ready workers", enough, seconds) or []

    def no_workers(self, model: str = "nap", seconds: float = 400) -> None:
        """Return when the model has no pod at all."""
        wanted = {"instance": self.name, "component": "worker", "model": model}
        wait_until(f"{model} is at zero", lambda: not self.namespace.pods(**wanted), seconds)

    def deployment(self, model: str = "nap") -> Object:
        return self.namespace.get("deployments", f"{self.name}-worker-{model}")

    # Its gateway.

    def ask(
        self, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None
    ) -> Object:
        """The gateway's answer, through the API server.

        Raises:
            NotYet: it cannot answer at the moment.
        """
        cluster = self.namespace.cluster
        root = cluster.service_path(f"{self.name}-gateway")
        answer = cluster.request(method, root + path, None, headers, body)
        if answer.status >= 500 or answer.status == 429:
            raise NotYet(f"{method} {path}: {answer.status} {answer.content[:200]!r}")
        assert answer.status < 300, f"{method} {path}: {answer.status} {answer.content[:500]!r}"
        return dict(answer.json)

    def submit(self, model: str = "nap", **input: Any) -> str:
        """The id of a prediction, once it is accepted. What was refused for a moment is tried again."""
        key = {"Idempotency-Key": uuid.uuid4().hex}
        path = f"/v1/models/local/{model}/predictions"
        made = wait_until(
            f"a prediction of {model} is accepted",
            lambda: self.ask("POST", path, {"input": input}, key),
            every=0.5,
        )
        self._submitted.append(made["id"])
        return str(made["id"])

    def prediction(self, id: str) -> Object:
        path = f"/v1/predictions/{id}"
        return wait_until(f"the gateway tells of {id}", lambda: self.ask("GET", path), 120)

    def over(self, ids: Iterable[str], seconds: float = 300) -> list[Object]:
        """These predictions, once all of them are."""
        ids = list(ids)
        left = set(ids)
        found: dict[str, Object] = {}

        def done() -> bool:
            for id in sorted(left):
                found[id] = self.prediction(id)
                if found[id]["status"] in TERMINAL:
                    left.discard(id)
            return not left

        wait_until(f"{len(ids)} predictions are over", done, seconds)
        return [found[id] for id in ids]

    def succeeded(self, ids: Iterable[str], seconds: float = 300, attempts: int = 1) -> list[Any]:
        """Their outputs, once all have succeeded, none with more than so many attempts."""
        over = self.over(ids, seconds)
        wrong = [
            {name: p[name] for name in ("id", "status", "attempt", "error", "logs")}
            for p in over
            if p["status"] != "succeeded" or p["attempt"] > attempts
        ]
        assert not wrong, wrong
        return [p["output"] for p in over]

    def predict(self, model: str = "nap", **input: Any) -> Any:
        """One output, from zero if need be."""
        return self.succeeded([self.submit(model, **input)], 600)[0]

    def where(self, id: str, attempt: int | None = None) -> Where | None:
        """Who runs a nap now, in which attempt it may be; None if nobody does."""
        prediction = self.prediction(id)
        lines = prediction["logs"].splitlines()
        if prediction["status"] != "processing" or not lines:
            return None
        if attempt not in (None, prediction["attempt"]):
            return None
        told = json.loads(lines[-1])
        return Where(told["pod"], told["device"], told["pid"])

    def running(self, id: str, seconds: float = 600) -> Where:
        """Who runs a nap, once somebody does."""
        found = wait_until(f"{id} runs", lambda: self.where(id), seconds)
        assert found
        return found

    def let_go(self, pod: str) -> None:
        """End the nap in this pod."""
        self.namespace.exec(pod, "touch", RELEASE_FILE)

    def cancel_all(self) -> None:
        """Leave nothing behind that still runs."""
        for id in self._submitted:
            wait_until(
                f"{id} is over", lambda id=id: self.ask("POST", f"/v1/predictions/{id}/cancel")
            )
        self._submitted.clear()


def rolled_out(controller: Object) -> bool:
    """Whether a Deployment or StatefulSet runs what was last asked of it, and nothing else."""
    status, wanted = controller.get("status", {}), controller["spec"].get("replicas", 1)
    if status.get("observedGeneration", 0) < controller["metadata"]["generation"]:
        return False
    counts = [status.get(name, 0) for name in ("replicas", "updatedReplicas", "availableReplicas")]
    return counts == [wanted] * 3
