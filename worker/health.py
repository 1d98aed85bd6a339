"""`/livez`, `/startupz`, `/readyz` and `/metrics`, in a thread of their own: they answer while a batch computes."""

import logging
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock, Thread
from typing import Any

import orjson
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from contract.errors import StartRefused
from contract.hosts import Hosts
from worker.drain import draining

logger = logging.getLogger(__name__)

MOST_CONNECTIONS = 32
"""Open at a time: kubelet and Prometheus need three."""
READ_SECONDS = 5.0
"""How long a prober may keep silent in its request."""
MISDIRECTED = b'{"detail":"this process does not answer to the name in `Host`"}'
PHASES = ("starting", "importing", "loading", "connecting", "ready")


@dataclass(slots=True)
class Health:
    """The state that the probes report. `alive` and `busy` are called at each probe, `on_phase` at each new phase."""

    alive: Callable[[], bool] = lambda: True
    busy: Callable[[], bool] = lambda: False
    on_phase: Callable[[], None] = lambda: None
    phase: str = PHASES[0]
    since: float = field(default_factory=time.monotonic)
    waits_for: str = ""
    """What it waits for before it can be ready, in a sentence."""
    facts: dict[str, Any] = field(default_factory=dict)

    def enter_phase(self, phase: str) -> None:
        """Go on to the next of PHASES."""
        self.phase, self.since = phase, time.monotonic()
        self.on_phase()

    @property
    def ready(self) -> bool:
        """True once the model is loaded. Busy stays ready: Kubernetes deletes unready pods first."""
        return self.phase == PHASES[-1]

    @property
    def loaded(self) -> bool:
        """True once the model is loaded. What is missing then is outside of this process, so a restart would not help."""
        return PHASES.index(self.phase) >= PHASES.index("connecting")

    @property
    def state(self) -> str:
        """One of PHASES, or `draining`."""
        return "draining" if draining() else self.phase

    def answer_probe(self, path: str) -> tuple[int, str, bytes]:
        """(status, content type, body) of a probe."""
        if path == "/metrics":
            return 200, CONTENT_TYPE_LATEST, generate_latest()
        if path == "/livez":
            alive = self.alive()
            return 200 if alive else 503, "application/json", orjson.dumps({"alive": alive})
        if path == "/startupz":
            loaded = self.loaded
            return 200 if loaded else 503, "application/json", orjson.dumps({"loaded": loaded})
        if path == "/readyz":
            state = ("busy" if self.busy() else "idle") if self.ready else "loading"
            body = {
                "state": state,
                "phase": self.phase,
                **({"detail": self.waits_for} if self.waits_for else {}),
                "phase_seconds": round(time.monotonic() - self.since, 3),
                "progress": PHASES.index(self.phase) / (len(PHASES) - 1),
                **self.facts,
            }
            return 200 if self.ready else 503, "application/json", orjson.dumps(body)
        return 404, "application/json", b'{"detail":"not found"}'


class ProbeServer(ThreadingHTTPServer):
    """A thread for each connection, and a bound on both: one too many ends the oldest, so that a crowd of
    silent sockets neither piles up threads nor locks a probe out.
    """

    request_queue_size = MOST_CONNECTIONS

    def __init__(self, address: tuple[str, int], handler: type[BaseHTTPRequestHandler]) -> None:
        super().__init__(address, handler)
        self._open: dict[socket.socket, None] = {}
        """Oldest first."""
        self._opening = Lock()

    def process_request(self, request: Any, client_address: Any) -> None:
        with self._opening:
            self._open[request] = None
            if len(self._open) > MOST_CONNECTIONS:
                oldest = next(iter(self._open))
                del self._open[oldest]
                with suppress(OSError):
                    oldest.shutdown(socket.SHUT_RDWR)  # its thread reads the end, and closes it
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        with self._opening:
            self._open.pop(request, None)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A prober may leave before its answer; http.server would print a traceback."""
        logger.debug("a probe failed", exc_info=True)


def serve_health(health: Health, host: str, port: int, hosts: Hosts) -> ProbeServer:
    """Serve the probes from a daemon thread; port 0 takes a free one (`server_port` of the result). `hosts`
    says which names it answers to.

    Raises:
        StartRefused: the port is taken.
    """

    class Handler(BaseHTTPRequestHandler):
        timeout = READ_SECONDS

        def do_GET(self) -> None:
            if hosts.allow(self.headers.get("host")):
                status, content_type, body = health.answer_probe(self.path.partition("?")[0])
            else:
                status, content_type, body = 421, "application/json", MISDIRECTED
            self.send_response(status)
            self.send_header("content-type", content_type)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
            """A probe is not worth a line."""

    try:
        server = ProbeServer((host, port), Handler)
    except OSError as error:
        raise StartRefused(f"cannot listen on {host}:{port}: {error.strerror}") from None
    Thread(target=server.serve_forever, name="health", daemon=True).start()
    return server
