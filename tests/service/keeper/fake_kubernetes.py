"""A small Kubernetes API: lists and patches the pods of one namespace over HTTP, and fails when told to."""

import threading
import time
from dataclasses import dataclass, field
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

from kubernetes.client import ApiClient, Configuration, CoreV1Api

from tests.support.fake_api_server import Answer, Server

NAMESPACE = "models"
SELECTOR = "app=worker"
PODS = f"/api/v1/namespaces/{NAMESPACE}/pods"
HANG = 0
"""In place of a status: never answer."""


@dataclass(frozen=True)
class Patch:
    at: float
    pod: str
    annotations: dict[str, str | None]


@dataclass(frozen=True)
class Fault:
    status: int
    headers: dict[str, str] = field(default_factory=dict)


class FakeKubernetes:
    """``with FakeKubernetes() as cluster: cluster.add("w1"); cluster.connect()``."""

    def __init__(self) -> None:
        self.pods: dict[str, dict[str, Any]] = {}
        self.patches: list[Patch] = []
        self.lists = 0
        self.requests = 0
        self.hung = 0
        self.faults: dict[str, Fault] = {}
        """By verb, or by the pod's name."""
        self._healed = threading.Event()
        self._server = Server(self)
        self.port: int = self._server.server_port

    def __enter__(self) -> Self:
        self._server.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.heal()
        self.stop()

    def connect(self) -> CoreV1Api:
        """The official client of this cluster, set up as `service.keeper.pods.connect_in_cluster` does."""
        configuration = Configuration(host=f"http://127.0.0.1:{self.port}", retries=False)
        return CoreV1Api(ApiClient(configuration))

    def add(self, *names: str, labels: dict[str, str] | None = None, **annotations: str) -> None:
        """Create pods; one that was there is deleted first. `__` in a name stands for `/`."""
        for name in names:
            self.pods[name] = {
                "name": name,
                "namespace": NAMESPACE,
                "uid": f"{name}-{time.monotonic_ns()}",
                "labels": labels or {"app": "worker"},
                "annotations": {key.replace("__", "/"): annotations[key] for key in annotations},
            }

    def annotations(self, name: str) -> dict[str, str]:
        found: dict[str, str] = self.pods[name]["annotations"]
        return found

    def fail(self, what: str, status: int, **headers: str) -> None:
        """Answer a verb, or what concerns one pod, with this status from now on."""
        self.faults[what] = Fault(
            status, {name.replace("_", "-"): value for name, value in headers.items()}
        )

    def heal(self) -> None:
        self.faults.clear()
        self._healed.set()
        self._healed = threading.Event()

    def stop(self) -> None:
        """Refuse connections, and cut those that are open."""
        self._server.stop()

    def start(self) -> None:
        """Listen again, where it was."""
        self._server = Server(self, self.port)
        self._server.start()

    def answer(self, method: str, target: str, body: Any, headers: dict[str, str]) -> Answer:
        self.requests += 1
        verb, url = {"GET": "list", "PATCH": "patch"}[method], urlsplit(target)
        name = url.path.removeprefix(PODS).strip("/")
        fault = self.faults.get(verb) or self.faults.get(name)
        if fault and fault.status == HANG:
            self.hung += 1
            self._healed.wait(30)
            return 503, {"kind": "Status", "code": 503}
        if fault:
            return fault.status, {"kind": "Status", "code": fault.status}, fault.headers
        if not url.path.startswith(PODS) or "as=PartialObjectMetadata" not in headers["accept"]:
            return 400, {"kind": "Status", "code": 400}
        if verb == "list":
            self.lists += 1
            return 200, self._list(parse_qs(url.query).get("labelSelector", [""])[0])
        if name not in self.pods:
            return 404, {"kind": "Status", "code": 404}
        assert headers["content-type"] == "application/merge-patch+json"
        return 200, self._patch(name, body["metadata"]["annotations"])

    def _list(self, selector: str) -> dict[str, Any]:
        label, _, value = selector.partition("=")
        fitting = [pod for pod in self.pods.values() if pod["labels"].get(label) == value]
        # Kubernetes leaves out what is empty.
        items = [{"metadata": {key: pod[key] for key in pod if pod[key]}} for pod in fitting]
        return {"kind": "PartialObjectMetadataList", "items": items}

    def _patch(self, name: str, changed: dict[str, str | None]) -> dict[str, Any]:
        self.patches.append(Patch(time.monotonic(), name, changed))
        for key, value in changed.items():
            if value is None:
                self.annotations(name).pop(key, None)
            else:
                self.annotations(name)[key] = value
        return {"kind": "PartialObjectMetadata", "metadata": self.pods[name]}
