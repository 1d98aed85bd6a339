"""The endings that the ledger notes of predictions which no worker ran to their end, and the log lines and spans of them."""

import logging
from collections.abc import Iterator

import pytest

from contract.ledger.endings import Ending
from contract.ledger.retry import RetryPolicy
from contract.ledger.transitions import claim, expire, release, sweep
from contract.settings import Settings
from contract.telemetry.endings import log_endings
from contract.telemetry.tracing import open_tracing
from tests.support.ledger_harness import LedgerHarness
from tests.support.trace_collector import TraceCollector

TRACE = f"00-{'a' * 32}-{'b' * 16}-01"
SWEEP = {"max_batch_size": 4, "retry": RetryPolicy(3, 60.0), "patience_seconds": 2.0}


@pytest.fixture
def collector() -> Iterator[TraceCollector]:
    with TraceCollector() as opened:
        yield opened


def test_a_lost_worker_gives_back_what_it_had_and_at_last_it_is_dead(
    harness: LedgerHarness,
) -> None:
    harness.accept(id="a", traceparent=TRACE)
    endings = []
    for _ in range(3):
        harness.claim()
        harness.advance(16)
        endings += harness.sweep().endings

    assert endings == [
        Ending("a", "m", "queued", 1, TRACE),
        Ending("a", "m", "queued", 2, TRACE),
        Ending("a", "m", "worker_lost", 3, TRACE),
    ]


def test_a_deadline_is_reported_by_whoever_finds_it_over(harness: LedgerHarness) -> None:
    harness.accept(id="a", deadline_seconds=5)
    harness.advance(6)
    assert harness.run(expire()).endings == [Ending("a", "m", "deadline_exceeded", 0)]

    harness.accept(id="b", deadline_seconds=5, traceparent=TRACE)
    harness.advance(6)
    found = harness.run(claim(harness.terms(), 0))
    assert found.predictions == []
    assert found.endings == [Ending("b", "m", "deadline_exceeded", 0, TRACE)]


def test_a_hard_limit_is_reported_for_one_alone_and_for_several(harness: LedgerHarness) -> None:
    harness.accept(id="a")
    harness.claim(timeout_seconds=5)
    harness.advance(8)
    assert harness.expire().endings == [Ending("a", "m", "timeout", 1)]

    harness.accept(id="b")
    harness.accept(id="c")
    harness.claim(timeout_seconds=5)
    harness.advance(8)
    assert harness.expire().endings == [Ending(id, "m", "queued", 1) for id in "bc"]


def test_what_is_handed_back_is_reported(harness: LedgerHarness) -> None:
    harness.accept(id="a", traceparent=TRACE)
    (claimed,) = harness.claim()
    done = harness.run(release(harness.terms(), [(claimed.id, 1)], idle=True, suspect=False))

    assert done.endings == [Ending("a", "m", "queued", 1, TRACE)]


def test_one_call_reports_at_most_a_hundred_endings(harness: LedgerHarness) -> None:
    harness.create(*(harness.new_prediction() for _ in range(150)))
    harness.claim(limit=150, max_batch_size=150)
    harness.advance(16)
    swept = harness.run(sweep("m", depth=None, **SWEEP))  # type: ignore[arg-type]

    assert (swept.taken_back, len(swept.endings)) == (150, 100)


def test_each_is_an_instant_in_its_trace(collector: TraceCollector) -> None:
    tracing = open_tracing(Settings(otlp_endpoint=collector.url), "keeper")
    endings = [
        Ending("a", "m", "queued", 1, TRACE),
        Ending("b", "m", "timeout", 1, TRACE),
        Ending("c", "m", "timeout", 1, TRACE[:-2] + "00"),
        Ending("d", "m", "timeout", 1),
    ]
    log_endings(logging.getLogger("keeper"), tracing, endings)
    tracing.close()
    back, ended = collector.spans

    assert (back.name, back.error, ended.name, ended.error) == (
        "queued again",
        None,
        "ended",
        "timeout",
    )
    assert {span.place[0] for span in (back, ended)} == {"a" * 32}
    assert {span.parent for span in (back, ended)} == {"b" * 16}
    assert ended.attributes["soloist.prediction"] == "b"
