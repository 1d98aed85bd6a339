"""Traces: the context that headers and records carry, spans at a collector, and nothing where there is none."""

import logging
import subprocess
import sys
import timeit
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from contract.errors import StartRefused
from contract.settings import Settings
from contract.telemetry.tracing import (
    MOST_WAITING,
    NO_SPAN,
    OFF,
    TraceContext,
    Tracing,
    open_tracing,
    read_record_context,
    read_request_context,
)
from tests.support.ledger_harness import LedgerHarness
from tests.support.trace_collector import TraceCollector

ROOT = Path(__file__).parents[3]
ID, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
SAMPLED = f"00-{ID}-{PARENT}-01"
UNSAMPLED = f"00-{ID}-{PARENT}-00"
NOWHERE = "http://127.0.0.1:9"
"""The discard port: nobody listens."""


@pytest.fixture
def collector() -> Iterator[TraceCollector]:
    with TraceCollector() as opened:
        yield opened


def tracing_to(url: str, process: str = "gateway", **more: object) -> Tracing:
    settings = Settings(otlp_endpoint=url, **more)
    return open_tracing(settings, process)  # type: ignore[arg-type]


def headers(*parents: str, state: str | None = None) -> list[tuple[bytes, bytes]]:
    found = [(b"host", b"x"), *((b"traceparent", parent.encode()) for parent in parents)]
    return found + ([(b"tracestate", state.encode())] if state else [])


# --- the context ------------------------------------------------------------------------------------


@pytest.mark.parametrize("parent", [SAMPLED, UNSAMPLED, f" {SAMPLED} "])
def test_a_callers_context_is_read(parent: str) -> None:
    context = read_request_context(headers(parent))

    assert context == TraceContext(parent.strip())
    assert context.trace_id == ID
    assert context.sampled is (parent.strip() == SAMPLED)


def test_a_context_of_a_later_version_reads_as_ours() -> None:
    assert read_request_context(headers(f"cc-{ID}-{PARENT}-01-what-will-be")) == TraceContext(
        SAMPLED
    )


@pytest.mark.parametrize(
    "parents",
    [
        (),
        ("",),
        ("hello",),
        (SAMPLED.upper(),),
        (SAMPLED[:-1],),
        (SAMPLED + "-more",),
        (f"ff-{ID}-{PARENT}-01",),
        (f"00-{'0' * 32}-{PARENT}-01",),
        (f"00-{ID}-{'0' * 16}-01",),
        (f'{SAMPLED}\n{{"level":"error"}}',),
        (SAMPLED, UNSAMPLED),
    ],
)
def test_what_is_no_context_is_passed_over(parents: tuple[str, ...]) -> None:
    assert read_request_context(headers(*parents)) is None


@pytest.mark.parametrize(
    ("state", "kept"),
    [("a=1,b=2", "a=1,b=2"), ("x" * 513, None), ("a=\x01", None), ("a=é", None)],
)
def test_a_state_is_kept_as_it_came_if_it_is_one(state: str, kept: str | None) -> None:
    assert read_request_context(headers(SAMPLED, state=state)) == TraceContext(SAMPLED, kept)


def test_a_context_goes_with_its_prediction_to_every_claim(harness: LedgerHarness) -> None:
    harness.accept(id="a", traceparent=SAMPLED, tracestate="v=1")
    harness.accept(id="b")
    first, second = harness.claim()

    assert read_record_context(first.traceparent, first.tracestate) == TraceContext(SAMPLED, "v=1")
    assert read_record_context(second.traceparent, second.tracestate) is None
    harness.release([first, second])
    assert harness.claim()[0].traceparent == SAMPLED


# --- off --------------------------------------------------------------------------------------------


def test_without_a_collector_nothing_is_traced(settings: Settings) -> None:
    tracing = open_tracing(settings, "gateway")

    assert tracing is OFF
    assert tracing.start("x", TraceContext(SAMPLED)) is NO_SPAN
    assert NO_SPAN.context is None
    tracing.close()


@pytest.mark.parametrize(
    "entry", ["service.app, service.keeper.app", "worker.task, worker.process"]
)
@pytest.mark.slow
def test_a_process_without_traces_loads_nothing_for_them(entry: str) -> None:
    code = (
        f"import sys, {entry}\n"
        "from contract.settings import Settings\n"
        "from contract.telemetry.tracing import open_tracing\n"
        "open_tracing(Settings(), 'worker').start('x').end()\n"
        "print(*{name for name in sys.modules if name.startswith('opentelemetry.')})"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    loaded = done.stdout.split()

    # FastAPI and redis-py import for themselves what OpenTelemetry has for metrics, where it is installed.
    assert not [n for n in loaded if n.startswith(("opentelemetry.sdk.trace", "opentelemetry.exp"))]


def test_without_traces_a_request_pays_no_more_than_for_a_few_copies_of_its_headers() -> None:
    usual = [(name, b"x") for name in (b"host", b"accept", b"user-agent", b"content-type")] * 2

    def without_traces() -> None:
        sent = read_request_context(usual)
        span = OFF.start("POST", sent, kind="server")
        assert (span.context or sent) is None

    def seconds(act: Callable[[], object]) -> float:
        return min(timeit.repeat(act, number=1000, repeat=7))

    assert seconds(without_traces) < 15 * seconds(lambda: dict(usual))


def test_a_collector_without_opentelemetry_is_refused_with_the_way_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.resources", None)
    with pytest.raises(StartRefused, match=r"pip install 'soloist\[otel\]'") as caught:
        tracing_to(NOWHERE)

    assert "SOLOIST_OTLP_ENDPOINT" in str(caught.value)
    assert "\n" not in str(caught.value)


# --- on ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ending", ["", "/", "/base"])
def test_a_span_reaches_the_collector_in_its_callers_trace(
    collector: TraceCollector, ending: str
) -> None:
    tracing = tracing_to(collector.url + ending, worker_name="pod-1")
    span = tracing.start("POST", TraceContext(SAMPLED, "v=1"), kind="server", at=1700000000.0)
    span.event("split", {"items": 4})
    span.link(TraceContext(f"00-{'b' * 32}-{'c' * 16}-01"))
    span.end({"http.route": "/x"}, name="POST /x", error="503", at=1700000000.5)
    tracing.close()
    (got,) = collector.spans

    assert span.context == TraceContext(f"00-{ID}-{got.id}-01", "v=1")
    assert (got.name, got.trace_id, got.parent, got.state) == ("POST /x", ID, PARENT, "v=1")
    assert (got.process, got.kind, got.error) == ("soloist-gateway", 2, "503")
    assert (got.began, got.seconds) == (1700000000.0, 0.5)
    assert got.attributes == {"http.route": "/x", "error.type": "503"}
    assert (got.events, got.links) == (["split"], [("b" * 32, "c" * 16)])
    assert collector.paths == {f"{ending.rstrip('/')}/v1/traces"}


def test_a_trace_begins_here_where_none_came(collector: TraceCollector) -> None:
    tracing = tracing_to(collector.url)
    first, second = tracing.start("a"), tracing.start("b")
    for span in (first, second):
        span.end()
    tracing.close()

    assert first.context is not None
    assert second.context is not None
    assert first.context.trace_id != second.context.trace_id
    assert [span.parent for span in collector.spans] == ["", ""]


def test_a_caller_that_wants_no_trace_gets_none_and_keeps_its_id(collector: TraceCollector) -> None:
    tracing = tracing_to(collector.url)
    span = tracing.start("a", TraceContext(UNSAMPLED))
    span.end({"a": 1}, name="b", error="c")
    tracing.close()

    assert span.context is not None
    assert (span.context.trace_id, span.context.sampled) == (ID, False)
    assert collector.spans == []


@pytest.mark.parametrize(("process", "traced"), [("gateway", False), ("worker", True)])
def test_the_ratio_decides_at_the_gateway_and_only_of_traces_that_begin_there(
    collector: TraceCollector, process: str, traced: bool
) -> None:
    tracing = tracing_to(collector.url, process, trace_ratio=0.0)
    for parent in (None, TraceContext(SAMPLED)):
        tracing.start("a", parent).end()
    tracing.close()

    assert [span.trace_id == ID for span in collector.spans] == [False, True][not traced :]


# --- a collector that is away -----------------------------------------------------------------------


@pytest.fixture
def stdout(caplog: pytest.LogCaptureFixture) -> Iterator[list[logging.LogRecord]]:
    """What the root logger writes. `caplog` hears what does not come so far, too."""
    caplog.set_level(logging.INFO)
    records: list[logging.LogRecord] = []
    handler = logging.Handler()
    handler.emit = records.append  # type: ignore[method-assign]
    logging.getLogger().addHandler(handler)
    yield records
    logging.getLogger().removeHandler(handler)


def test_an_outage_is_logged_once_and_so_is_its_end(
    collector: TraceCollector, stdout: list[logging.LogRecord]
) -> None:
    collector.status = 401  # not tried again
    tracing = tracing_to(collector.url)
    for _ in range(3):
        tracing.start("lost").end()
        tracing._provider.force_flush()  # type: ignore[attr-defined]
    collector.status = 200
    tracing.start("kept").end()
    tracing.close()

    assert [(r.levelname, r.getMessage()) for r in stdout] == [
        ("WARNING", "traces are lost"),
        ("INFO", "traces are sent again"),
    ]
    assert "401" in vars(stdout[0])["reason"]
    assert [span.name for span in collector.spans] == ["kept"]


def test_a_collector_that_is_away_holds_nothing_up_and_takes_no_more_memory(
    collector: TraceCollector,
) -> None:
    collector.status = 503
    tracing = tracing_to(collector.url)
    for _ in range(MOST_WAITING + 1000):
        tracing.start("a").end()
    (processor,) = tracing._provider._active_span_processor._span_processors  # type: ignore[attr-defined]
    waiting = len(processor._batch_processor._queue)
    tracing.close(0.2)

    assert not collector.spans, "neither waited for the collector"
    assert waiting <= MOST_WAITING
    collector.status = 200
    tracing.close(30)
    assert collector.spans


def test_to_close_twice_is_to_close(collector: TraceCollector) -> None:
    tracing = tracing_to(collector.url)
    tracing.start("a").end()
    tracing.close()
    tracing.close()

    assert len(collector.spans) == 1
