"""Ledgers that are away at the start, each in its own way, at an address where a good one comes later."""

import socket
import socketserver
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import redis

from local.processes import Process, accepts, free_port
from local.redis import EmbeddedRedis
from tests.support.external_tools import newest_redis
from tests.support.sentinels import SERVICE

Heal = Callable[[], None]
Away = tuple[str, Heal | None]
"""Its address, and what makes a good ledger of it; None where only another address would."""


def _redis(folder: Path, around: ExitStack, *, port: int = 0, start: bool = True) -> EmbeddedRedis:
    own = EmbeddedRedis(folder / "redis", port, appendfsync="no")
    around.callback(own.stop)
    if start:
        own.start()
    return own


def refused(folder: Path, around: ExitStack) -> Away:
    """Nobody listens at its port."""
    own = _redis(folder, around, port=free_port(), start=False)
    return own.url, own.start


def silent(folder: Path, around: ExitStack) -> Away:
    """It takes connections, and says nothing."""
    own = _redis(folder, around)
    own.pause()
    around.callback(own.resume)
    return own.url, own.resume


def blackholed(folder: Path, around: ExitStack) -> Away:
    """What is sent to its address is swallowed: here by a listener whose queue is full."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=0)
    port = listener.getsockname()[1]
    queued = [socket.socket() for _ in range(4)]
    for one in queued:
        one.setblocking(False)
        with suppress(BlockingIOError):
            one.connect(("127.0.0.1", port))
    own = _redis(folder, around, port=port, start=False)

    def heal() -> None:
        close()
        own.start()

    def close() -> None:
        for one in (listener, *queued):
            one.close()

    around.callback(close)
    return own.url, heal


def nameless(folder: Path, around: ExitStack) -> Away:
    """Its name is not known."""
    return "redis://soloist-ledger.invalid:6379/0", None


def without_tls(folder: Path, around: ExitStack) -> Away:
    """The TLS handshake fails."""
    return _redis(folder, around).url.replace("redis://", "rediss://"), None


def replica(folder: Path, around: ExitStack) -> Away:
    """A replica answers to its name, which has seen the schema of the ledger."""
    own = _redis(folder, around)
    client = around.enter_context(redis.Redis(port=own.port))
    client.execute_command("REPLICAOF", "127.0.0.1", free_port())
    return own.url, lambda: client.execute_command("REPLICAOF", "NO", "ONE")


def answers(code: str) -> Callable[[Path, ExitStack], Away]:
    """It answers to everything with this error."""

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            while line := self.rfile.readline():
                for _ in range(int(line[1:])):
                    self.rfile.readline()
                    self.rfile.readline()
                self.wfile.write(f"-{code} not now\r\n".encode())

    class Server(socketserver.ThreadingTCPServer):
        allow_reuse_address = daemon_threads = True

    def away(folder: Path, around: ExitStack) -> Away:
        server = Server(("127.0.0.1", 0), Handler)
        port = server.server_address[1]
        threading.Thread(target=server.serve_forever, args=[0.02], daemon=True).start()
        own = _redis(folder, around, port=port, start=False)

        def close() -> None:
            server.shutdown()
            server.server_close()

        def heal() -> None:
            close()
            own.start()

        around.callback(server.server_close)
        return own.url, heal

    away.__name__ = code.lower()
    return away


def unelected(folder: Path, around: ExitStack) -> Away:
    """Its sentinels know no primary."""
    own = _redis(folder, around)
    port = free_port()
    config = folder / "sentinel.conf"
    config.write_text(f"bind 127.0.0.1\nport {port}\ndir {folder}\n")
    command = [newest_redis(), config, "--sentinel"]
    sentinel = Process(command, log=folder / "sentinel.log", cwd=folder)
    around.callback(sentinel.kill)
    sentinel.wait_until(lambda: accepts(port), 30)

    def heal() -> None:
        with redis.Redis(port=port) as client:
            client.execute_command("SENTINEL", "MONITOR", SERVICE, "127.0.0.1", own.port, 1)

    return f"redis+sentinel://127.0.0.1:{port}/{SERVICE}", heal


KINDS = [
    refused,
    silent,
    blackholed,
    nameless,
    without_tls,
    replica,
    answers("LOADING"),
    answers("MASTERDOWN"),
    unelected,
]


@contextmanager
def away(kind: Callable[[Path, ExitStack], Away], folder: Path) -> Iterator[Away]:
    """A ledger that is away in this way."""
    with ExitStack() as around:
        yield kind(folder, around)
