"""How predictions end: by a worker's outcome or their owner's cancel, and how that is announced."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from contract.ledger.lease_terms import LeaseTerms
from contract.ledger.transitions.registering import MOST_CODE_CHARACTERS
from contract.ledger.transitions.transition import Transition, unchanged
from contract.prediction import Prediction

MOST_FINISH_BYTES = 4 * 1024 * 1024
"""Of the outcomes that one call writes, unless a single one has more."""
MOST_ERROR_CHARACTERS = 2000


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one attempt ended: with an output (JSON text), or with an error and its code."""

    id: str
    attempt: int
    output: bytes | None = None
    error: str | None = None
    error_code: str | None = None
    predict_seconds: float = 0.0
    said: int | None = None
    """Bytes of output that the run said in pieces; -1 when they differ from what was streamed before, None
    when nothing was ever said."""


def finish(
    terms: LeaseTerms,
    outcomes: Sequence[Outcome],
    *,
    idle: bool,
    seconds: float,
    items: int | None = None,
) -> Transition[list[str]]:
    """Write and announce a batch's outcomes in one step; answers the ids that were fenced off.

    Args:
        idle: the worker has no other batch under way.
        seconds: how long the batch took, for the ETA of those that wait.
        items: how many predictions that were, if not those of `outcomes`.
    """
    rows = []
    for outcome in outcomes:
        fields: dict[str, Any] = {"predict_seconds": outcome.predict_seconds}
        if outcome.error_code is None:
            fields["output"] = outcome.output
            if outcome.said is not None:
                fields["said"] = outcome.said
        else:
            fields["error"] = (outcome.error or "")[:MOST_ERROR_CHARACTERS]
            fields["error_code"] = outcome.error_code[:MOST_CODE_CHARACTERS]
        status = "succeeded" if outcome.error_code is None else "failed"
        rows.append(
            {"id": outcome.id, "attempt": outcome.attempt, "status": status, "outcome": fields}
        )
    args = {
        "model": terms.model,
        "worker": terms.worker,
        "idle": idle,
        "seconds": seconds,
        "items": len(rows) if items is None else items,
        "predictions": rows,
    }
    ids = [outcome.id for outcome in outcomes]
    return Transition("finish", args, unchanged, ended=lambda fenced: (terms.model, ids))


def finish_in_parts(
    terms: LeaseTerms, outcomes: Sequence[Outcome], *, idle: bool, seconds: float
) -> list[Transition[list[str]]]:
    """As `finish`, in as many steps as the outcomes' size asks for: one that wrote a batch of large outputs
    at once would hold the ledger up, and need memory for all of them again to announce them.
    """
    parts: list[list[Outcome]] = [[]]
    room = MOST_FINISH_BYTES
    for outcome in outcomes:
        room -= len(outcome.output or b"")
        if room < 0 and parts[-1]:
            parts.append([])
            room = MOST_FINISH_BYTES - len(outcome.output or b"")
        parts[-1].append(outcome)
    *first, last = parts
    # Only the last one ends the batch: it frees the worker and counts for the pace.
    return [
        *(finish(terms, part, idle=False, seconds=0.0, items=0) for part in first),
        finish(terms, last, idle=idle, seconds=seconds, items=len(outcomes)),
    ]


def cancel(id: str, owner: str) -> Transition[Prediction | None]:
    """Cancel at any stage; what is over stays as it is. None when this owner has no such prediction."""

    def read_canceled(answer: Any) -> Prediction | None:
        return Prediction.from_record(answer) if answer else None

    def ended(canceled: Prediction | None) -> tuple[str, list[str]]:
        return (canceled.model, [canceled.id]) if canceled else ("", [])

    return Transition(
        "cancel", {"id": id, "owner": owner}, read_canceled, promises=True, ended=ended
    )


def erase(id: str, owner: str) -> Transition[Prediction | None]:
    """Remove input, output and logs of a prediction that is over; one that is not stays as it is. None when
    this owner has no such prediction.
    """

    def read_erased(answer: Any) -> Prediction | None:
        return Prediction.from_record(answer) if answer else None

    return Transition("erase", {"id": id, "owner": owner}, read_erased, promises=True)


def list_unannounced(model: str, most: int = 100) -> Transition[list[str]]:
    """The ids of the oldest outcomes that are not announced yet; the replicas have those that it answers."""
    return Transition("list_unannounced", {"model": model, "most": most}, list, promises=True)


def announce_outcomes(model: str, ids: Sequence[str]) -> Transition[int]:
    """Announce outcomes that were not announced when they were written; answers how many. Each is announced once."""
    return Transition("announce_outcomes", {"model": model, "predictions": list(ids)}, unchanged)
