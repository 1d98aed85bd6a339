"""Why a prediction was not accepted, by its model's schema or by the ledger, as the error that its client gets."""

from typing import Any

from contract.catalog import ModelSpec
from contract.errors import (
    Conflict,
    InvalidInput,
    LedgerFull,
    ModelNotFound,
    QueueFull,
    SoloistError,
)
from contract.ledger.transitions import Conflicting, Full, NoRoom, Submission, Unserved
from service.gateway import metrics
from service.http import strict_json

MOST_SECONDS = 60.0
"""The longest `Retry-After`."""
LEAST_ROOM_SECONDS = 5.0


def refusal(submission: Submission, result: Unserved | Full | NoRoom | Conflicting) -> SoloistError:
    """The error to raise; a full ledger is counted."""
    prediction = submission.prediction
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


def unfit(validator: Any, value: dict[str, Any], spec: ModelSpec) -> InvalidInput:
    """The error for an input that does not fit the model's schema, by the first place that does not."""
    error = _reason(next(iter(validator.iter_errors(value))))
    pointer = strict_json.pointer(["input", *error.instance_path])
    message = error.message  # begins with the value, perhaps megabytes, and ends with the reason
    if wanted := _description(error, spec.inputs):
        text = error.instance if len(error.instance) <= 100 else f"{error.instance[:100]}..."
        message = f"{text!r} does not fit: {wanted[:250].rstrip('.')}"
    elif len(message) > 300:
        message = f"{message[:100]}...{message[-197:]}"
    for name in getattr(error.kind, "unexpected", ()):
        if name in spec.refused:
            message = f"`{name}` is not served: {spec.refused[name]}"
    return InvalidInput(
        f"{pointer[1:]}: {message}; the schema is at /v1/models/{spec.id}", pointer=pointer
    )


def _reason(error: Any) -> Any:
    """Of a value that may be one of several kinds: what is wrong with it as the kind that it is."""
    while error.kind.name == "anyOf":
        fitting = [found for found, *_ in error.kind.context if found.kind.name != "type"]
        if len(fitting) != 1:
            break
        (error,) = fitting
    return error


def _description(error: Any, schema: Any) -> str:
    """What the schema says in words of a text whose pattern was not met: few people read patterns."""
    if error.kind.name != "pattern":
        return ""
    for step in error.schema_path[:-1]:
        try:
            schema = schema[step]
        except (KeyError, IndexError, TypeError):  # a schema with an $id of its own
            return ""
    return str(schema.get("description", "")) if isinstance(schema, dict) else ""
