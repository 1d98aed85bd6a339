"""Kubernetes for a rehearsal: a ReplicaSet, its autoscaler and a rollout, with worker processes for pods."""

import contextlib
import itertools
import json
import os
import threading
import time
from collections import deque
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import manifests
import redis
from release import DEVICES, nap
from suite_namespace import PROJECT, Object

from contract.settings import Settings
from tests.e2e.stack import Program, Worker
from tests.k8s.fake_cluster import FakeCluster

NAMESPACE = "soloist-test-1"
PODS = f"/api/v1/namespaces/{NAMESPACE}/pods"
DEPLOYMENTS = f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments"
FAST = {"LEASE_SECONDS": "3", "RENEW_SECONDS": "0.5", "SWEEP_SECONDS": "0.2"}
LOOK_SECONDS = 0.2
STABILIZATION_SECONDS = 4.0
"""Longer than a lease, as in the suite's values."""


@dataclass
class Pod:
    """A worker process and what the API server tells of it."""

    worker: Worker
    object: Object
    model: str
    device: str
    template: int
    leaving: bool = False
    ready: bool = False


class PretendCluster:
    """``with PretendCluster(...)``: as many workers of `nap` as the ledger's load asks for, at most DEVICES."""

    def __init__(self, fake: FakeCluster, settings: Settings, folder: Path) -> None:
        self._fake = fake
        self._folder = folder
        self._prefix = settings.prefix
        self._redis = redis.Redis.from_url(settings.ledger)
        self._numbers = itertools.count()
        self._desired: deque[tuple[float, int]] = deque()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="controllers")
        self.least = 0
        self.template = 0
        self.pods: dict[str, Pod] = {}
        self.env = {
            "PYTHONPATH": os.pathsep.join([str(folder / "suite"), str(PROJECT)]),
            "SOLOIST_REDIS_URL": settings.ledger,
            "SOLOIST_PREFIX": settings.prefix,
            "SOLOIST_CATALOG": str(folder / "catalog.yaml"),
            "SOLOIST_KEEPER_PORT": "0",
            **{f"SOLOIST_{name}": value for name, value in FAST.items()},
        }
        (folder / "suite").mkdir()
        for name, text in manifests.models()["data"].items():
            (folder / "suite" / name).write_text(text)
        self._deployment = fake.add(DEPLOYMENTS, "suite-worker-nap", spec={"replicas": 0})
        self.keeper = Program("keeper", ["service", "keeper"], folder, self.env)

    def __enter__(self) -> "PretendCluster":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        for program in (self.keeper, *(pod.worker for pod in self.pods.values())):
            program.kill()
        self._redis.close()

    def _run(self) -> None:
        while not self._stop.wait(LOOK_SECONDS):
            with contextlib.suppress(redis.RedisError):  # a ledger that is away changes nothing
                self._reap()
                self._scale()
                self._tell()

    def start(self, model: str = "nap") -> Pod:
        """A pod as its container would start it: the models by PYTHONPATH, a device by the plugin."""
        taken = {pod.device for pod in self.pods.values()}
        free = [f"pretend-{n}" for n in range(DEVICES) if f"pretend-{n}" not in taken]
        device = free[0] if model == "nap" else ""
        name = f"suite-worker-{model}-{next(self._numbers)}"
        catalog = write_catalog(self._folder / name)
        about = {"HOSTNAME": name, "PRETEND_GPU": device, "SOLOIST_WORKER_NAME": name}
        env = {**self.env, **about, "SOLOIST_CATALOG": str(catalog)}
        worker = Worker(name, model, self._folder, env)
        labels = {"app.kubernetes.io/instance": "suite", "app.kubernetes.io/component": "worker"}
        labels["soloist/model"] = model
        made = {"metadata": {"name": name, "uid": name, "labels": labels}, "status": {}}
        self._show({f"{PODS}/{name}": made})
        self.pods[name] = Pod(worker, made, model, device, self.template)
        return self.pods[name]

    def end(self, pod: Pod) -> None:
        """As `kubectl delete pod`."""
        pod.leaving = True
        now = datetime.now(UTC).isoformat()
        pod.object["metadata"] |= {"deletionTimestamp": now, "deletionGracePeriodSeconds": 0}
        pod.worker.ask_to_end()

    def _show(self, objects: dict[str, Object | None]) -> None:
        """What others see changes at once: they may be reading it."""
        merged = {**self._fake.objects, **objects}
        self._fake.objects = {path: thing for path, thing in merged.items() if thing}

    def _reap(self) -> None:
        for name, pod in list(self.pods.items()):
            if not pod.worker.alive:
                pod.worker.kill()  # its children, and its log
                self._show({f"{PODS}/{name}": None})
                del self.pods[name]
            elif not pod.ready:
                pod.ready = pod.worker.state() in ("idle", "busy")

    def _scale(self) -> None:
        sizes = {name: self._redis.zcard(self._key(name)) for name in ("queued", "running", "busy")}
        now = time.monotonic()
        desired = max(self.least, sizes["queued"] + sizes["running"], sizes["busy"])
        desired = min(DEVICES, desired)
        self._desired.append((now, desired))
        while self._desired[0][0] < now - STABILIZATION_SECONDS:
            self._desired.popleft()
        wanted = max(count for _, count in self._desired)
        self._deployment["spec"]["replicas"] = wanted
        naps = [pod for pod in self.pods.values() if pod.model == "nap"]
        stay = [pod for pod in naps if not pod.leaving]
        if len(stay) < wanted and len(naps) < DEVICES:
            self.start()
        elif len(stay) > wanted:
            self.end(min(stay, key=self._cost))
        old = [pod for pod in stay if pod.template != self.template]
        if old and len(naps) == len(stay) == wanted and all(pod.ready for pod in stay):
            self.end(min(old, key=self._cost))

    def _cost(self, pod: Pod) -> tuple[bool, bool]:
        name = pod.object["metadata"]["name"]
        return pod.ready, self._redis.zscore(self._key("busy"), name) is not None

    def _key(self, kind: str) -> str:
        return f"{self._prefix}{kind}:nap"

    def _tell(self) -> None:
        for name, pod in self.pods.items():
            busy = self._redis.zscore(f"{self._prefix}busy:{pod.model}", name) is not None
            cost = "controller.kubernetes.io/pod-deletion-cost"
            pod.object["metadata"]["annotations"] = {cost: "10"} if busy else {}
            condition = {"type": "Ready", "status": str(pod.ready)}
            pod.object["status"] = {
                "phase": "Running",
                "conditions": [condition],
                "containerStatuses": [{"restartCount": 0}],
            }
        stay = [pod for pod in self.pods.values() if pod.model == "nap" and not pod.leaving]
        new = [pod for pod in stay if pod.template == self.template]
        self._deployment["metadata"]["generation"] = self.template
        self._deployment["status"] = {
            "observedGeneration": self.template,
            "replicas": len(stay),
            "updatedReplicas": len(new),
            "availableReplicas": sum(pod.ready for pod in stay),
        }


def write_catalog(folder: Path) -> Path:
    """The suite's catalog for a pod whose files lie in this folder."""
    folder.mkdir(exist_ok=True)
    models = {}
    for name in ("nap", "quick"):
        entry = nap()["catalog"]
        models[name] = {**entry, "options": {"release": str(folder / "release"), "name": name}}
    (folder / "catalog.yaml").write_text(json.dumps({"models": models}))
    return folder / "catalog.yaml"
