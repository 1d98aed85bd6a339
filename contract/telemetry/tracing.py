"""Traces: the W3C context that requests and records carry, and the spans that go to a collector.

Only this module imports OpenTelemetry, and only where the settings name a collector. Elsewhere a context that
a caller sent is passed on as it came, and its trace id stands in the log lines.
"""

import logging
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from threading import Event, Thread
from typing import Any, Literal

from contract import __version__
from contract.errors import StartRefused
from contract.settings import Settings

logger = logging.getLogger(__name__)

# https://www.w3.org/TR/trace-context-2/
TRACEPARENT = re.compile(
    r"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(?P<later>-.*)?"
)
TRACESTATE = re.compile(r"[\x20-\x7e]{1,512}")

SEND_SECONDS = 1.0
"""How long an ended span may wait for others to be sent with."""
COLLECTOR_SECONDS = 5.0
"""How long the collector may take, its second chances included."""
MOST_WAITING = 8192
"""Spans that wait to be sent; the oldest are lost first."""
MOST_LINKS = 4096
"""A batch's span has a link for each of its predictions."""
CLOSE_SECONDS = 2.0

Kind = Literal["internal", "server", "consumer"]
Attributes = Mapping[str, str | int | float | bool]


@dataclass(frozen=True, slots=True)
class TraceContext:
    """Where in which trace something happens, in the words of the headers `traceparent` and `tracestate`."""

    traceparent: str
    tracestate: str | None = None

    @property
    def trace_id(self) -> str:
        return self.traceparent[3:35]

    @property
    def sampled(self) -> bool:
        """Whether whoever began the trace wants its spans."""
        return bool(int(self.traceparent[53:55], 16) & 1)


def read_request_context(headers: Iterable[tuple[bytes, bytes]]) -> TraceContext | None:
    """The context that a request carries, as ASGI gives its headers; None without a valid one."""
    found = [value for name, value in headers if name == b"traceparent"]
    if len(found) != 1:
        return None
    parent = found[0].decode("latin-1").strip()
    match = TRACEPARENT.fullmatch(parent)
    if match is None or (match["later"] and parent.startswith("00")):
        return None
    states = [value.decode("latin-1") for name, value in headers if name == b"tracestate"]
    state = ",".join(states)
    # A later version reads as the one that we know.
    return TraceContext(f"00{parent[2:55]}", state if TRACESTATE.fullmatch(state) else None)


def read_record_context(traceparent: str | None, tracestate: str | None) -> TraceContext | None:
    """The context that a record carries."""
    return TraceContext(traceparent, tracestate) if traceparent else None


class Span:
    """A span that nobody records."""

    context: TraceContext | None = None

    def event(self, name: str, attributes: Attributes, at: float | None = None) -> None:
        """Something that happened meanwhile. Instants (`at`) are Unix seconds, by default now."""

    def link(self, to: TraceContext) -> None:
        """Point to a span of another trace."""

    def end(
        self,
        attributes: Attributes | None = None,
        *,
        name: str | None = None,
        error: str | None = None,
        at: float | None = None,
    ) -> None:
        """Over, and on its way to the collector.

        Args:
            name: in place of the one that it began with.
            error: why it failed, in a word.
        """


NO_SPAN = Span()


class Tracing:
    """No traces: the default, which costs nothing."""

    on = False

    def start(
        self,
        name: str,
        parent: TraceContext | None = None,
        *,
        kind: Kind = "internal",
        links: Sequence[TraceContext] = (),
        at: float | None = None,
    ) -> Span:
        """Begin a span: in its parent's trace, or in a new one."""
        return NO_SPAN

    def close(self, seconds: float = CLOSE_SECONDS) -> None:
        """Send what waits, as long as it takes no longer than this."""


OFF = Tracing()


def open_tracing(settings: Settings, process: Literal["gateway", "keeper", "worker"]) -> Tracing:
    """Traces as the settings want them.

    Raises:
        StartRefused: a collector is set, and what sends to it is not installed.
    """
    if settings.otlp_endpoint is None:
        return OFF
    try:
        return Exported(settings, process)
    except ImportError as error:
        raise StartRefused(
            f"SOLOIST_OTLP_ENDPOINT is set, and OpenTelemetry is not installed ({error.name}); "
            "run: pip install 'soloist[otel]', or unset it"
        ) from None


class Exported(Tracing):
    """Traces that go to a collector, from a thread of their own."""

    on = True

    def __init__(self, settings: Settings, process: str) -> None:
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import SpanLimits, TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
        from opentelemetry.sdk.trace.sampling import ALWAYS_ON, ParentBased, TraceIdRatioBased

        # A trace begins at a request. A worker begins one for a batch only, when it holds a traced prediction.
        root = TraceIdRatioBased(settings.trace_ratio) if process == "gateway" else ALWAYS_ON
        self._provider = TracerProvider(
            sampler=ParentBased(root),
            resource=Resource.create(
                {
                    "service.name": f"soloist-{process}",
                    "service.version": __version__,
                    "service.instance.id": settings.worker_name,
                }
            ),
            shutdown_on_exit=False,  # would wait for the collector for half a minute
            span_limits=SpanLimits(max_links=MOST_LINKS),
        )
        self._provider.add_span_processor(
            BatchSpanProcessor(
                _exporter(settings),
                max_queue_size=MOST_WAITING,
                schedule_delay_millis=SEND_SECONDS * 1000,
            )
        )
        self._tracer = self._provider.get_tracer("soloist", __version__)
        # Begun now, because a process that ends can begin no thread.
        self._closing = Event()
        self._closer = Thread(target=self._shut_down, name="tracing", daemon=True)
        self._closer.start()

    def start(
        self,
        name: str,
        parent: TraceContext | None = None,
        *,
        kind: Kind = "internal",
        links: Sequence[TraceContext] = (),
        at: float | None = None,
    ) -> Span:
        from opentelemetry.context import Context
        from opentelemetry.trace import Link, NonRecordingSpan, SpanKind, set_span_in_context

        here = Context()  # empty: what else in this process is traced is not ours
        if parent is not None:
            here = set_span_in_context(NonRecordingSpan(_read(parent)), here)
        return _Span(
            self._tracer.start_span(
                name,
                here,
                SpanKind[kind.upper()],
                links=[Link(_read(context)) for context in links],
                start_time=_nanoseconds(at),
            )
        )

    def close(self, seconds: float = CLOSE_SECONDS) -> None:
        self._closing.set()
        self._closer.join(seconds)

    def _shut_down(self) -> None:
        self._closing.wait()
        self._provider.shutdown()


class _Span(Span):
    """A span of OpenTelemetry's."""

    def __init__(self, span: Any) -> None:
        self._span = span
        own = span.get_span_context()
        self.context = TraceContext(
            f"00-{own.trace_id:032x}-{own.span_id:016x}-{own.trace_flags:02x}",
            own.trace_state.to_header() or None,
        )

    def event(self, name: str, attributes: Attributes, at: float | None = None) -> None:
        self._span.add_event(name, attributes, _nanoseconds(at))

    def link(self, to: TraceContext) -> None:
        self._span.add_link(_read(to))

    def end(
        self,
        attributes: Attributes | None = None,
        *,
        name: str | None = None,
        error: str | None = None,
        at: float | None = None,
    ) -> None:
        from opentelemetry.trace import StatusCode

        if not self._span.is_recording():
            return
        if name:
            self._span.update_name(name)
        if attributes:
            self._span.set_attributes(attributes)
        if error:
            self._span.set_attribute("error.type", error)
            self._span.set_status(StatusCode.ERROR, error)
        self._span.end(_nanoseconds(at))


def _read(context: TraceContext) -> Any:
    """A context as OpenTelemetry has it."""
    from opentelemetry.trace import SpanContext, TraceFlags, TraceState

    parent, state = context.traceparent, context.tracestate
    return SpanContext(
        trace_id=int(parent[3:35], 16),
        span_id=int(parent[36:52], 16),
        is_remote=True,
        trace_flags=TraceFlags(int(parent[53:55], 16)),
        trace_state=TraceState.from_header([state]) if state else None,
    )


def _nanoseconds(instant: float | None) -> int | None:
    return None if instant is None else int(instant * 1e9)


def _exporter(settings: Settings) -> Any:
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

    url = f"{str(settings.otlp_endpoint).rstrip('/')}/v1/traces"
    return Outages(OTLPSpanExporter(url, timeout=COLLECTOR_SECONDS), url)


class Outages(logging.Handler):
    """An exporter that logs an outage once, and its end; what OpenTelemetry logs of it is kept as the
    reason.
    """

    def __init__(self, exporter: Any, url: str) -> None:
        super().__init__()
        self._exporter = exporter
        self._url = url
        self._sent = True
        self._reason = ""
        theirs = logging.getLogger("opentelemetry")
        theirs.propagate = False
        theirs.addHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        self._reason = record.getMessage()

    def export(self, spans: Sequence[Any]) -> Any:
        self._reason = ""
        result = self._exporter.export(spans)
        sent = result.name == "SUCCESS"
        if sent and not self._sent:
            logger.info("traces are sent again", extra={"url": self._url})
        elif self._sent and not sent:
            extra = {"url": self._url, "reason": self._reason}
            logger.warning("traces are lost", extra=extra)
        self._sent = sent
        return result

    def force_flush(self, timeout_millis: int = 30000) -> bool:
        return True

    def shutdown(self) -> None:
        self._exporter.shutdown()
