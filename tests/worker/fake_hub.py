"""A Hugging Face hub of a test's own: the part of its HTTP API that huggingface_hub asks for a download."""

import hashlib
import json
import re
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread
from typing import Any
from urllib.parse import unquote, urlsplit

ASKED = re.compile(
    r"/api/models/(?P<id>[^/]+/[^/]+)(/revision/(?P<revision>[^/]+)|/tree/(?P<tree>[^/]+))?"
)
RESOLVED = re.compile(r"/(?P<id>[^/]+/[^/]+)/resolve/(?P<commit>[^/]+)/(?P<path>.+)")
RIGHT = "hf_right"


class FakeHub:
    """Repositories by id, each with files by revision. `requests` is what was asked for, in order."""

    def __init__(self) -> None:
        self.repositories: dict[str, dict[str, dict[str, bytes]]] = {}
        self.gated: set[str] = set()
        self.status = 0
        """Answered to everything, if it is not 0."""
        self.requests: list[str] = []
        self.halfway, self.go_on = Event(), Event()
        """The first half of a file's body was sent; the second half may be."""
        self.go_on.set()
        hub = self

        class Handler(_Handler):
            def answer(self) -> None:
                hub.answer(self)

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        Thread(target=self._server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def sent(self, path: str) -> int:
        """How often a file's body was asked for."""
        return sum(line.startswith("GET /") and line.endswith("/" + path) for line in self.requests)

    def answer(self, request: "_Handler") -> None:
        path = unquote(urlsplit(request.path).path)
        self.requests.append(f"{request.command} {path}")
        if self.status:
            request.reply(self.status)
        elif found := ASKED.fullmatch(path):
            self._tell(
                request, found["id"], found["revision"] or found["tree"], bool(found["tree"])
            )
        elif found := RESOLVED.fullmatch(path):
            self._send(request, found["id"], found["commit"], found["path"])
        else:
            request.reply(404)

    def _tell(self, request: "_Handler", name: str, revision: str | None, tree: bool) -> None:
        if name not in self.repositories:
            return request.reply(401 if request.token() else 404, error="RepoNotFound")
        files = self._files(name, revision or "main")
        if files is None:
            return request.reply(404, error="RevisionNotFound")
        if tree:
            listed = [
                {"type": "file", "path": path, "size": len(body), "oid": digest(body)}
                for path, body in files.items()
            ]
            return request.reply(200, listed)
        return request.reply(200, {"id": name, "sha": commit_of(files), "siblings": []})

    def _files(self, name: str, revision: str) -> dict[str, bytes] | None:
        revisions = self.repositories[name]
        by_commit = {commit_of(files): files for files in revisions.values()}
        return revisions.get(revision) or by_commit.get(revision)

    def _send(self, request: "_Handler", name: str, commit: str, path: str) -> None:
        if name in self.gated and request.token() != f"Bearer {RIGHT}":
            return request.reply(401, error="GatedRepo")
        body = (self._files(name, commit) or {})[path]
        request.begin(200, len(body), {"ETag": f'"{digest(body)}"', "X-Repo-Commit": commit})
        if request.command == "HEAD":
            return None
        request.wfile.write(body[: len(body) // 2])
        if not self.go_on.is_set() and path.endswith(".safetensors"):
            request.wfile.flush()
            self.halfway.set()
            self.go_on.wait(60)
        request.wfile.write(body[len(body) // 2 :])
        return None


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self) -> None:
        raise NotImplementedError

    do_GET = do_HEAD = lambda self: self.answer()  # noqa: N815 - the names that the base class asks

    def token(self) -> str | None:
        return self.headers.get("Authorization")

    def reply(self, status: int, body: Any = None, error: str = "") -> None:
        data = json.dumps({} if body is None else body).encode()
        self.begin(status, len(data), {"X-Error-Code": error} if error else {})
        if self.command != "HEAD":
            self.wfile.write(data)

    def begin(self, status: int, length: int, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(length)}.items():
            self.send_header(name, value)
        self.end_headers()

    def log_message(self, *args: Any) -> None:
        pass


def digest(body: bytes) -> str:
    return hashlib.sha1(body, usedforsecurity=False).hexdigest()


def commit_of(files: dict[str, bytes]) -> str:
    """A commit's hash, made of what is in it."""
    return digest("".join(path + digest(body) for path, body in sorted(files.items())).encode())
