"""Endings: what became of predictions otherwise than by the worker that ran them."""

from dataclasses import dataclass
from typing import Any, Self


@dataclass(frozen=True, slots=True)
class Ending:
    """One call of the ledger reports at most 100."""

    id: str
    model: str
    what: str
    """Its error's code, or `queued` when it waits for another start."""
    attempt: int
    traceparent: str | None = None

    @classmethod
    def read_all(cls, answer: Any) -> list[Self]:
        """Those that a script noted."""
        return [
            cls(id, model, what, attempt, traceparent or None)
            for id, model, what, attempt, traceparent in answer
        ]

    @property
    def outcome(self) -> str:
        """`queued`, `canceled` or `failed`."""
        words = {"queued": "queued", "deadline_exceeded": "canceled"}
        return words.get(self.what, "failed")
