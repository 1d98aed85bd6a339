"""A gateway whose answers a test decides."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Answer = tuple[int, dict[str, Any] | str, dict[str, str]]


@dataclass
class Request:
    method: str
    path: str
    headers: dict[str, str]
    body: Any


@dataclass
class FakeGateway:
    """`respond` gets each request and gives (status, body, headers); None breaks the connection."""

    respond: Callable[[Request], Answer | None] = lambda request: (404, {"title": "Not found"}, {})
    requests: list[Request] = field(default_factory=list)
    url: str = ""


def prediction(status: str = "succeeded", **fields: Any) -> Answer:
    return 200, {"id": "p1", "status": status, "model": "local/minilm", **fields}, {}


def echo(request: Request) -> Answer:
    """Succeed at once with the input as the output."""
    return prediction(id=request.headers["idempotency-key"], output=request.body["input"])


def problem(status: int, detail: str, code: str = "", **headers: str) -> Answer:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return status, {"title": "A title", "detail": detail, "status": status, "code": code}, named


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    gateway: FakeGateway

    def do_GET(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length)
        headers = {name.lower(): value for name, value in self.headers.items()}
        request = Request(self.command, self.path, headers, json.loads(body) if body else None)
        self.gateway.requests.append(request)
        answer = self.gateway.respond(request)
        if answer is None:
            self.close_connection = True
            return
        status, content, extra = answer
        raw = (content if isinstance(content, str) else json.dumps(content)).encode()
        self.send_response(status)
        for name, value in {"Content-Length": str(len(raw)), **extra}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(raw)

    def do_POST(self) -> None:
        self.do_GET()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Say nothing."""


class Server(ThreadingHTTPServer):
    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hangs up is nothing to report."""


MODELS = {
    "results": [
        {
            "owner": "local",
            "name": "minilm",
            "description": "vectors [384]",
            "latest_version": {"id": "f" * 64},
            "state": "busy",
            "queue": {
                "queued": 3,
                "running": 2,
                "busy": 1,
                "oldest_seconds": 1.25,
                "eta_seconds": 0.5,
            },
            "workers": [
                {"name": "pod-1", "state": "busy", "device": "cuda:0", "gpu_name": "H200 [MIG]"},
                {"name": "pod-2", "state": "starting", "phase": "loading", "device": "cpu"},
            ],
        },
        {"owner": "acme", "name": "idle", "description": None, "latest_version": None},
    ]
}
