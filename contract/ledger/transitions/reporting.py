"""What running predictions report: progress, logs and pieces of output."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from contract.ledger.transitions.transition import Transition, unchanged
from contract.prediction import new_id

MOST_LOG_BYTES = 64 * 1024
"""Of one prediction: its record keeps the last of its logs, its stream has the first."""
MOST_STREAMED_BYTES = 1024 * 1024
"""Of one prediction's output in pieces. Who listens gets the rest with the outcome."""
MOST_EVENTS = 65_536
"""Of one prediction's stream, pieces of output and lines of its logs together."""


@dataclass(slots=True)
class Report:
    """What a running prediction says of itself since the last report."""

    id: str
    attempt: int
    progress: float | None = None
    logs: str = ""
    events: list[tuple[str, str]] = field(default_factory=list)
    """(`output` or `logs`, text), in order: what listeners of its stream get."""
    offset: int = 0
    """Bytes of the run's output before its first piece in here. What is streamed already is not streamed
    again, and a gap is never closed up: listeners get what is missing with the outcome."""


def report(reports: Sequence[Report]) -> Transition[bool]:
    """Record progress, logs and pieces of output of running predictions."""
    rows = []
    for r in reports:
        row: dict[str, Any] = {
            "id": r.id,
            "attempt": r.attempt,
            "offset": r.offset,
            "events": r.events,
        }
        if r.progress is not None:
            row["progress"] = r.progress
        if r.logs:
            row["logs"] = r.logs
        rows.append(row)
    args = {
        "token": new_id(),
        "predictions": rows,
        "most_logs": MOST_LOG_BYTES,
        "most_streamed": MOST_STREAMED_BYTES,
        "most_events": MOST_EVENTS,
    }
    return Transition("report", args, unchanged)
