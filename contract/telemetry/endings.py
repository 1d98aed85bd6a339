"""What became of predictions otherwise than by the worker that ran them: a log line, and a span, of each."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

from contract.telemetry.logs import log_each
from contract.telemetry.tracing import Tracing, recorded


@dataclass(frozen=True, slots=True)
class Fate:
    """The ledger tells of at most 100 in a call."""

    id: str
    model: str
    what: str
    """Its error's code, or `queued` when it waits for another start."""
    attempt: int
    traceparent: str | None = None

    @classmethod
    def read(cls, answer: Any) -> list[Self]:
        return [
            cls(id, model, what, attempt, traceparent or None)
            for id, model, what, attempt, traceparent in answer
        ]

    @property
    def outcome(self) -> str:
        words = {"queued": "queued", "deadline_exceeded": "canceled"}
        return words.get(self.what, "failed")

    @property
    def line(self) -> dict[str, Any]:
        """The extras of its log line."""
        line = {
            "prediction": self.id,
            "model": self.model,
            "outcome": self.outcome,
            "attempt": self.attempt,
        }
        if self.what != "queued":
            line["error_code"] = self.what
        if trace := recorded(self.traceparent, None):
            line["trace_id"] = trace.trace_id
        return line


def tell(logger: logging.Logger, tracing: Tracing, fates: Sequence[Fate]) -> None:
    """Log what ended or went back to the queue, and put it into its trace."""
    failed = [fate.line for fate in fates if fate.outcome == "failed"]
    others = [fate.line for fate in fates if fate.outcome != "failed"]
    log_each(logger, "prediction", failed, logging.WARNING)
    log_each(logger, "prediction", others)
    for fate in fates if tracing.on else ():
        trace = recorded(fate.traceparent, None)
        if trace is None or not trace.sampled:
            continue
        back = fate.outcome == "queued"
        attributes: dict[str, str | int] = {
            "soloist.prediction": fate.id,
            "soloist.model": fate.model,
            "soloist.attempt": fate.attempt,
        }
        span = tracing.start("queued again" if back else "ended", trace)
        span.end(attributes, error=None if back else fate.what)
