"""Why the ledger did not accept a prediction, as the error that its client gets."""

from contract.errors import (
    Conflict,
    LedgerFull,
    ModelNotFound,
    QueueFull,
    SoloistError,
)
from contract.ledger.new_prediction import NewPrediction
from contract.ledger.transitions import Conflicting, Full, NoRoom, Unserved
from service.gateway import metrics

MOST_SECONDS = 60.0
"""The longest `Retry-After`."""
LEAST_ROOM_SECONDS = 5.0


def explain_refusal(
    new: NewPrediction, result: Unserved | Full | NoRoom | Conflicting
) -> SoloistError:
    """The error to raise; a full ledger is counted."""
    prediction = new.prediction
    if isinstance(result, Unserved):
        return ModelNotFound(
            f"the model {prediction.model!r} has no version {prediction.pinned}: no worker serves it, and none "
            "will by the catalog"
        )
    if isinstance(result, Full):
        return QueueFull(
            f"{result.waiting} predictions wait for {prediction.model!r} already",
            retry_after_seconds=min(result.eta_seconds or 1.0, MOST_SECONDS),
        )
    if isinstance(result, NoRoom):
        metrics.LEDGER_FAILED[LedgerFull.code].inc()
        seconds = max(result.more_room_seconds or 0.0, LEAST_ROOM_SECONDS)
        return LedgerFull(
            "the memory that the ledger has left is for what was accepted already; nothing was recorded",
            retry_after_seconds=min(seconds, MOST_SECONDS),
        )
    return Conflict(f"{result.id!r} was used before, for another request")
