"""A small Kubernetes API: lists and patches the pods of one namespace over HTTP, and fails when told to."""

import json
import socket
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

from kubernetes.client import ApiClient, Configuration, CoreV1Api

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
        self._server = _Server(("127.0.0.1", 0), self)
        self.port: int = self._server.server_port

    def __enter__(self) -> Self:
        self._serve()
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
        self._server.shutdown()
        self._server.cut()
        self._server.server_close()

    def start(self) -> None:
        """Listen again, where it was."""
        self._server = _Server(("127.0.0.1", self.port), self)
        self._serve()

    def _serve(self) -> None:
        threading.Thread(
            target=self._server.serve_forever, args=(0.01,), name="kubernetes", daemon=True
        ).start()

    def answer(
        self, verb: str, path: str, accept: str, body: bytes
    ) -> tuple[int, dict[str, str], Any]:
        """(status, headers, object) of a request."""
        self.requests += 1
        url = urlsplit(path)
        name = url.path.removeprefix(PODS).strip("/")
        fault = self.faults.get(verb) or self.faults.get(name)
        if fault and fault.status == HANG:
            self.hung += 1
            self._healed.wait(30)
            return 503, {}, {"kind": "Status", "code": 503}
        if fault:
            return fault.status, fault.headers, {"kind": "Status", "code": fault.status}
        if not url.path.startswith(PODS) or "as=PartialObjectMetadata" not in accept:
            return 400, {}, {"kind": "Status", "code": 400}
        if verb == "list":
            self.lists += 1
            return 200, {}, self._list(parse_qs(url.query).get("labelSelector", [""])[0])
        if name not in self.pods:
            return 404, {}, {"kind": "Status", "code": 404}
        return 200, {}, self._patch(name, json.loads(body)["metadata"]["annotations"])

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


class _Server(ThreadingHTTPServer):
    request_queue_size = 64

    def __init__(self, address: tuple[str, int], cluster: FakeKubernetes) -> None:
        self.cluster = cluster
        self._open: set[socket.socket] = set()
        super().__init__(address, _Handler)

    def finish_request(self, request: Any, client_address: Any) -> None:
        self._open.add(request)
        try:
            super().finish_request(request, client_address)
        finally:
            self._open.discard(request)

    def cut(self) -> None:
        for connection in list(self._open):
            connection.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that left is no news."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Server

    def do_GET(self) -> None:
        self._answer("list", b"")

    def do_PATCH(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        assert self.headers["content-type"] == "application/merge-patch+json"
        self._answer("patch", body)

    def _answer(self, verb: str, body: bytes) -> None:
        cluster = self.server.cluster
        status, headers, found = cluster.answer(verb, self.path, self.headers["accept"], body)
        text = json.dumps(found).encode()
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Silent."""
