"""The spans of a batch that is over; `tests/test_log_lines.py` has its lines."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from contract.ledger.transitions import Claimed, Outcome
from contract.telemetry.tracing import Span, TraceContext, Tracing
from tests.worker.batches import Followed
from worker.batch import Batch
from worker.batch_log import BatchLog

SAMPLED, UNSAMPLED = f"00-{'a' * 32}-{'b' * 16}-01", f"00-{'a' * 32}-{'b' * 16}-00"


@dataclass
class RememberedSpan(Span):
    name: str
    parent: TraceContext | None
    links: list[TraceContext]
    begin: float | None
    context: TraceContext | None
    events: list[tuple[str, Mapping[str, Any]]] = field(default_factory=list)
    attributes: Mapping[str, Any] = field(default_factory=dict)
    error: str | None = None
    over: float | None = None

    def event(self, name: str, attributes: Mapping[str, Any], at: float | None = None) -> None:
        self.events.append((name, attributes))

    def link(self, to: TraceContext) -> None:
        self.links.append(to)

    def end(
        self,
        attributes: Mapping[str, Any] | None = None,
        *,
        name: str | None = None,
        error: str | None = None,
        at: float | None = None,
    ) -> None:
        self.attributes, self.error, self.over = attributes or {}, error, at


class RememberedTraces(Tracing):
    on = True

    def __init__(self) -> None:
        self.spans: list[RememberedSpan] = []

    def start(
        self,
        name: str,
        parent: TraceContext | None = None,
        *,
        kind: str = "internal",
        links: Sequence[TraceContext] = (),
        at: float | None = None,
    ) -> Span:
        context = TraceContext(f"00-{len(self.spans):032x}-{1:016x}-01")
        self.spans.append(RememberedSpan(name, parent, list(links), at, context))
        return self.spans[-1]

    def named(self, name: str) -> list[RememberedSpan]:
        return [span for span in self.spans if span.name == name]


@pytest.fixture
def traces() -> RememberedTraces:
    return RememberedTraces()


@pytest.fixture
def log(traces: RememberedTraces) -> BatchLog:
    return BatchLog("m", "w1", "cuda:0", traces)


def batch_of(**traceparents: str | None) -> Batch:
    claimed = [Claimed(id, 1, "{}", 2.0, parent) for id, parent in traceparents.items()]
    return Batch(claimed, Followed())  # type: ignore[arg-type]


def test_a_traced_prediction_has_a_span_of_its_wait_and_one_of_its_run(
    traces: RememberedTraces, log: BatchLog
) -> None:
    batch = batch_of(a=SAMPLED)
    log.log_finished(batch, [Outcome("a", 1, b"1", predict_seconds=0.5)], ())
    (queue,), (predict,) = traces.named("queue"), traces.named("predict")
    assert (queue.begin, queue.over) == (batch.started_at - 2.0, batch.started_at)
    assert (predict.begin, predict.over) == (batch.started_at, batch.started_at + 0.5)
    assert predict.error is None
    assert predict.parent is not None
    assert predict.attributes == {
        "soloist.model": "m",
        "soloist.worker": "w1",
        "soloist.device": "cuda:0",
        "soloist.batch_size": 1,
        "soloist.prediction": "a",
        "soloist.attempt": 1,
    }


def test_the_batch_is_a_trace_of_its_own_that_is_linked_both_ways(
    traces: RememberedTraces, log: BatchLog
) -> None:
    log.log_finished(batch_of(a=SAMPLED, b=SAMPLED), [], ())
    (whole,), runs = traces.named("batch"), traces.named("predict")
    assert whole.parent is None
    assert whole.links == [run.context for run in runs]
    assert [run.links for run in runs] == [[whole.context]] * 2


def test_what_is_not_traced_has_no_span(traces: RememberedTraces, log: BatchLog) -> None:
    log.log_finished(batch_of(a=None, b=UNSAMPLED), [], ())
    assert traces.spans == []


def test_an_error_and_a_fence_are_named_on_the_run(traces: RememberedTraces, log: BatchLog) -> None:
    outcomes = [Outcome("a", 1, error="no", error_code="model_error"), Outcome("b", 1, b"1")]
    log.log_finished(batch_of(a=SAMPLED, b=SAMPLED, c=SAMPLED), outcomes, {"b"})
    assert [span.error for span in traces.named("predict")] == ["model_error", "fenced", "fenced"]


@pytest.mark.parametrize(
    ("reason", "error"),
    [("drain", None), ("device_lost", "device_lost"), ("timeout", "timeout")],
)
def test_a_batch_that_is_handed_back_says_why(
    traces: RememberedTraces, log: BatchLog, reason: str, error: str | None
) -> None:
    log.log_handed_back(batch_of(a=SAMPLED), reason)
    (whole,), (predict,) = traces.named("batch"), traces.named("predict")
    assert whole.events == [("handed back", {"reason": reason})]
    assert predict.error == error
