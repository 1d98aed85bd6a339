"""New predictions: accepted or refused, found again, and given another life."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from contract.ledger.new_prediction import NewPrediction
from contract.ledger.transitions.reading import MOST_PAGE_BYTES
from contract.ledger.transitions.transition import Transition
from contract.ledger.workers import StartFailure
from contract.prediction import Prediction


@dataclass(frozen=True, slots=True)
class Created:
    prediction: Prediction
    repeated: bool = False
    """True when an earlier request with this id or key had already created it; false when an earlier
    try of this same create had, whose answer was lost."""
    brief: bool = False
    """True when it lacks what may be large: the records of one answer were too large together."""
    failure: StartFailure | None = None
    """Why no worker serves its model now."""


@dataclass(frozen=True, slots=True)
class Conflicting:
    id: str


@dataclass(frozen=True, slots=True)
class Unserved:
    """It names a version that no worker serves, and none will as far as the ledger knows."""


@dataclass(frozen=True, slots=True)
class Full:
    waiting: int
    eta_seconds: float | None


@dataclass(frozen=True, slots=True)
class NoRoom:
    """It was not recorded: the memory that is left belongs to what was accepted before."""

    more_room_seconds: float | None
    """Until the next records are deleted; None when nothing is over yet."""


@dataclass(frozen=True, slots=True)
class Late:
    """The ledger read it only after its `not_after`: it is not recorded, and never will be."""


CreateResult = Created | Conflicting | Unserved | Full | NoRoom | Late


@dataclass(frozen=True, slots=True)
class Creation:
    """What became of each prediction, in order, and the wake-ups to send (by model)."""

    results: list[CreateResult]
    wakeups: dict[str, list[int]]
    now: float
    """The ledger's clock."""


def create(
    predictions: Sequence[NewPrediction], *, reserve_bytes: int | None = None
) -> Transition[Creation]:
    """Accept predictions: recorded, queued, and never lost from here on.

    Sent again, it answers for what an earlier try has recorded as that try would have.

    Args:
        reserve_bytes: memory that new predictions leave to what was accepted before; None is an eighth
            of what the ledger may use.
    """
    args: dict[str, Any] = {
        "models": {new.prediction.model: new.model_row for new in predictions},
        "predictions": [new.row for new in predictions],
        "most_bytes": MOST_PAGE_BYTES,
    }
    if reserve_bytes is not None:
        args["reserve"] = reserve_bytes

    def read_creation(answer: Any) -> Creation:
        wakeups = dict(answer["wakeups"])  # Lua packs an empty table as a list
        failing = dict(answer.get("failing", {}))
        results = [
            _created(new.prediction, *result)
            for new, result in zip(predictions, answer["results"], strict=True)
        ]
        if failing:
            results = [_failing(result, failing) for result in results]
        return Creation(results, wakeups, answer["now"])

    return Transition("create", args, read_creation, promises=True)


def _failing(result: CreateResult, failing: Mapping[str, Any]) -> CreateResult:
    """The same, with why no worker serves its model now."""
    if not isinstance(result, Created):
        return result
    failure = StartFailure.from_answer(failing.get(result.prediction.model))
    return replace(result, failure=failure)


def _created(prediction: Prediction, what: str, *answer: Any) -> CreateResult:
    if what == "created":
        prediction.created_at, deadline, prediction.queue_position, eta, version = answer
        prediction.deadline = deadline or None
        prediction.eta_seconds = None if eta is False else eta
        prediction.version = version or ""
        return Created(prediction)
    if what in ("repeated", "found", "brief"):
        record = Prediction.from_record(answer[0])
        return Created(record, repeated=what != "found", brief=what == "brief")
    if what == "unserved":
        return Unserved()
    if what == "full":
        return Full(answer[0], answer[1] or None)
    if what == "late":
        return Late()
    if what == "no_room":
        return NoRoom(None if answer[0] is False else answer[0])
    return Conflicting(answer[0])


@dataclass(frozen=True, slots=True)
class Receipts:
    """Which predictions are recorded."""

    receipts: list[str | None]
    """Of each record, in the order asked: "" for one without; None where there is no record."""
    now: float
    """The ledger's clock."""


def find_receipts(ids: Sequence[str]) -> Transition[Receipts]:
    """Whether there are records of these ids, without reading them. Of no ids it answers the time only."""

    def read_receipts(answer: Any) -> Receipts:
        return Receipts([None if r is False else r for r in answer["found"]], answer["now"])

    return Transition("find_receipts", {"ids": list(ids)}, read_receipts, promises=bool(ids))


def replay(
    id: str, fresh_id: str, max_batch_size: int, *, reserve_bytes: int | None = None
) -> Transition[tuple[Prediction, list[int]] | NoRoom | None]:
    """Give a dead prediction another life, as a new prediction; None when it is not on the dead list.

    `reserve_bytes` as in `create`.
    """
    args: dict[str, Any] = {"id": id, "new_id": fresh_id, "batch": max_batch_size}
    if reserve_bytes is not None:
        args["reserve"] = reserve_bytes

    def read_replay(answer: Any) -> tuple[Prediction, list[int]] | NoRoom | None:
        if answer == "no_room":
            return NoRoom(None)
        return (Prediction.from_record(answer[0]), answer[1]) if answer else None

    return Transition("replay", args, read_replay, promises=True)
