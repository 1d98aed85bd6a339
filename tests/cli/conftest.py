"""A gateway that answers as it is told, and a way to run commands against it."""

import io
import json
import os
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from cli import main

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

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


class Server(ThreadingHTTPServer):
    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hangs up is nothing to report."""


@pytest.fixture(autouse=True)
def clean_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No settings, no catalog and no running Soloist but what the test makes."""
    for name in os.environ:
        if name.startswith("SOLOIST_"):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def gateway(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeGateway]:
    fake = FakeGateway()
    handler = type("Bound", (Handler,), {"gateway": fake})
    with Server(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        fake.url = f"http://127.0.0.1:{server.server_port}"
        monkeypatch.setenv("SOLOIST_PORT", str(server.server_port))
        yield fake
        server.shutdown()
        thread.join()


@dataclass
class Result:
    code: int
    out: str
    err: str

    @property
    def lines(self) -> list[Any]:
        return [json.loads(line) for line in self.out.splitlines()]


@pytest.fixture
def soloist(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Result]:
    """Run `soloist` with these arguments, and lines piped in."""

    def run(*arguments: str, piped: str = "") -> Result:
        monkeypatch.setattr("sys.stdin", io.StringIO(piped))
        code = main.run(arguments)
        captured = capsys.readouterr()
        return Result(code, captured.out, captured.err)

    return run
