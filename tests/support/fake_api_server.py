"""The HTTP side of every fake API server of Kubernetes: it asks a fake cluster, and says what that answers."""

import contextlib
import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Protocol

Answer = tuple[int, Any] | tuple[int, Any, dict[str, str]]
"""Status, JSON or text or an iterator of what a watch sees, and headers."""


class Answering(Protocol):
    """What a fake cluster is to the server; None hangs up."""

    def answer(
        self, method: str, target: str, body: Any, headers: dict[str, str]
    ) -> Answer | None: ...


class Served(Answering, Protocol):
    """One that a kubeconfig can name."""

    url: str
    token: str


def refusal(status: int, message: str, reason: str = "") -> Answer:
    """How the API server itself says no."""
    about = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure"}
    return status, {**about, "message": message, "reason": reason, "code": status}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    cluster: Answering

    def do_GET(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        headers = {name.lower(): value for name, value in self.headers.items()}
        in_json = "json" in headers.get("content-type", "json") or "yaml" in headers["content-type"]
        parsed = (json.loads(body) if in_json else body) if body else None
        answer = self.cluster.answer(self.command, self.path, parsed, headers)
        if answer is None:
            self.close_connection = True
            return
        status, content, *more = answer
        self.send_response(status)
        for name, value in (more[0] if more else {}).items():
            self.send_header(name, value)
        if isinstance(content, Iterator):
            self._stream(content)
            return
        raw = (content if isinstance(content, str) else json.dumps(content)).encode()
        if not isinstance(content, str):
            self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)

    def _stream(self, things: Iterator[Any]) -> None:
        """One JSON object after the other, until there are no more or nobody reads on."""
        self.send_header("Content-Type", "application/json")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for thing in things:
            line = json.dumps(thing).encode() + b"\n"
            self.wfile.write(b"%x\r\n%s\r\n" % (len(line), line))
        self.wfile.write(b"0\r\n\r\n")

    def do_POST(self) -> None:
        self.do_GET()

    do_PUT = do_PATCH = do_DELETE = do_POST  # noqa: N815

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Say nothing."""


class Server(ThreadingHTTPServer):
    """Of one cluster, at a port of its own or at the one that it had before."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, cluster: Answering | None = None, port: int = 0) -> None:
        self._open: set[socket.socket] = set()
        handler = type("Its", (Handler,), {"cluster": cluster}) if cluster else Handler
        super().__init__(("127.0.0.1", port), handler)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def start(self) -> None:
        """Answer in a thread until `stop`."""
        self._thread = threading.Thread(
            target=self.serve_forever, args=(0.01,), name="kubernetes", daemon=True
        )
        self._thread.start()

    def stop(self) -> None:
        """Refuse connections, and cut those that are open."""
        self.shutdown()
        self._thread.join()
        for connection in list(self._open):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        self.server_close()

    def finish_request(self, request: Any, client_address: Any) -> None:
        self._open.add(request)
        try:
            super().finish_request(request, client_address)
        finally:
            self._open.discard(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hangs up is nothing to report."""


@contextmanager
def served(cluster: Served, folder: Path, namespace: str = "default") -> Iterator[Path]:
    """``with served(cluster, folder) as kubeconfig``: it answers there; `namespace` is the context's."""
    server = Server(cluster)
    server.start()
    cluster.url = server.url
    try:
        yield write_kubeconfig(folder, cluster.url, cluster.token, namespace)
    finally:
        server.stop()


def write_kubeconfig(folder: Path, url: str, token: str, namespace: str) -> Path:
    """Contexts: `fake`, and `stranger` with a token that nobody knows."""
    context = {"cluster": "fake", "user": "we", "namespace": namespace}
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "fake",
        "contexts": [
            {"name": "fake", "context": context},
            {"name": "stranger", "context": {**context, "user": "stranger"}},
        ],
        "clusters": [{"name": "fake", "cluster": {"server": url}}],
        "users": [
            {"name": "we", "user": {"token": token}},
            {"name": "stranger", "user": {"token": "wrong"}},
        ],
    }
    file = folder / "kubeconfig"
    file.write_text(json.dumps(content), encoding="utf-8")
    file.chmod(0o600)  # Helm warns of one that others can read
    return file
