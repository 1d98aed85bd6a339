"""A collector of traces that keeps what it gets: OTLP over HTTP, on a port of the loopback."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self, TypeVar

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

T = TypeVar("T")


@dataclass(frozen=True)
class Got:
    """A span as it came."""

    name: str
    process: str
    trace_id: str
    id: str
    parent: str
    state: str
    kind: int
    seconds: float
    began: float
    attributes: dict[str, Any]
    error: str | None
    events: list[str] = field(default_factory=list)
    links: list[tuple[str, str]] = field(default_factory=list)
    """(trace id, span id)"""

    @property
    def place(self) -> tuple[str, str]:
        return self.trace_id, self.id


class TraceCollector:
    """``with TraceCollector() as collector: collector.url``; `status` is what it answers."""

    def __init__(self) -> None:
        self.spans: list[Got] = []
        self.paths: set[str] = set()
        self.raw = b""
        self.status = 200
        self._changed = threading.Condition()
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                collector._take(self.path, body)
                self.send_response(collector.status)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self._http.server_port
        self.url = f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._http.serve_forever, args=[0.01])
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._http.shutdown()
        self._http.server_close()
        self._thread.join(10)

    def _take(self, path: str, body: bytes) -> None:
        with self._changed:
            self.paths.add(path)
            if self.status == 200:
                self.raw += body
                self.spans += read(body)
            self._changed.notify_all()

    def until(self, what: str, look: Callable[[list[Got]], T], seconds: float = 20.0) -> T:
        """The first true value of `look` at all spans so far."""
        end = time.monotonic() + seconds
        with self._changed:
            while not (value := look(self.spans)):
                left = end - time.monotonic()
                came = [(span.process, span.name) for span in self.spans]
                assert self._changed.wait(left), f"not within {seconds:g} s: {what}; {came}"
            return value

    def named(self, *names: str) -> list[Got]:
        """One span of each of these names, as soon as there is one."""

        def look(spans: list[Got]) -> list[Got]:
            by_name = {span.name: span for span in spans}
            return [by_name[name] for name in names] if by_name.keys() >= set(names) else []

        return self.until(f"spans {names}", look)


def read(body: bytes) -> list[Got]:
    """The spans in a request to a collector."""
    request = ExportTraceServiceRequest.FromString(body)
    return [
        Got(
            name=span.name,
            process=values(resource.resource.attributes)["service.name"],
            trace_id=span.trace_id.hex(),
            id=span.span_id.hex(),
            parent=span.parent_span_id.hex(),
            state=span.trace_state,
            kind=span.kind,
            seconds=(span.end_time_unix_nano - span.start_time_unix_nano) / 1e9,
            began=span.start_time_unix_nano / 1e9,
            attributes=values(span.attributes),
            error=span.status.message if span.status.code == 2 else None,
            events=[event.name for event in span.events],
            links=[(link.trace_id.hex(), link.span_id.hex()) for link in span.links],
        )
        for resource in request.resource_spans
        for scope in resource.scope_spans
        for span in scope.spans
    ]


def values(attributes: Any) -> dict[str, Any]:
    found = {}
    for attribute in attributes:
        kind = attribute.value.WhichOneof("value")
        found[attribute.key] = getattr(attribute.value, kind)
    return found
