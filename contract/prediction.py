"""A prediction, its statuses, and its record in the ledger."""

import base64
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from enum import StrEnum
from types import NoneType
from typing import Any, Self, get_args


class Status(StrEnum):
    """`starting` is accepted and waits. The last three are terminal and never change again."""

    STARTING = "starting"
    PROCESSING = "processing"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELED = "canceled"

    @property
    def terminal(self) -> bool:
        return self not in (Status.STARTING, Status.PROCESSING)


class Priority(StrEnum):
    HIGH = "high"
    NORMAL = "normal"
    LOW = "low"

    def credit_seconds(self, credit: float) -> float:
        """How much earlier than it was this prediction counts as accepted."""
        return {"high": credit, "normal": 0.0, "low": -credit}[self.value]


TERMINAL = tuple(status for status in Status if status.terminal)
"""The statuses that end a prediction."""


def new_id() -> str:
    """A fresh prediction id: 26 lower-case letters and digits (128 random bits in base32)."""
    return base64.b32encode(secrets.token_bytes(16)).decode().rstrip("=").lower()


@dataclass(slots=True)
class Prediction:
    """One prediction as the ledger keeps it.

    `model` is the name in the catalog. `version` is the one that ran it, before that the one that is
    expected to; `pinned` is set where a create named it, and then no other runs it. `input` and `output`
    are JSON text, never parsed on the way. Instants (`*_at`, `deadline`) are Unix seconds by the ledger's
    clock. Fields that a reader does not know are ignored and fields that a record lacks take their default,
    because gateway and worker roll at different times.
    """

    id: str
    model: str
    owner: str = "local"
    version: str = ""
    pinned: str | None = None
    input: str = "{}"
    digest: str = ""
    status: Status = Status.STARTING
    priority: Priority = Priority.NORMAL
    attempt: int = 0
    handed_back: int = 0
    """How many of its starts ended because a worker had to end; the others lost their worker."""
    worker: str | None = None
    created_at: float = 0.0
    started_at: float | None = None
    completed_at: float | None = None
    deadline: float | None = None
    output: str | None = None
    error: str | None = None
    error_code: str | None = None
    logs: str = ""
    progress: float | None = None
    predict_seconds: float | None = None
    result_ttl: float = 3600.0
    sequence: int = 0
    idempotency_key: str | None = None
    receipt: str | None = None
    """Whose create made this record, where callers bring ids of their own: two may bring the same."""
    replay_of: str | None = None
    data_removed: bool = False
    traceparent: str | None = None
    tracestate: str | None = None
    queue_position: int | None = None
    eta_seconds: float | None = None

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Self:
        """Read a record: its fields by name, as text or numbers."""
        prediction = cls("", "")
        prediction.update(record)
        return prediction

    def update(self, record: Mapping[str, Any]) -> None:
        """Take over the fields that a record, or a part of one, has."""
        for name, value in record.items():
            convert = _CONVERT.get(name)
            if convert is not None and value is not False:  # Lua's way to say None
                setattr(self, name, convert(value))

    @property
    def outcome(self) -> dict[str, Any]:
        """The fields that the end of a prediction sets, as an announcement carries them."""
        return {name: value for name in OUTCOME if (value := getattr(self, name)) is not None}


OUTCOME = (
    "status",
    "version",
    "attempt",
    "worker",
    "logs",
    "started_at",
    "completed_at",
    "output",
    "error",
    "error_code",
    "predict_seconds",
)


def _converter(kind: Any) -> Callable[[Any], Any]:
    """What turns a record's text into a field of this type; `X | None` reads as `X`."""
    plain = next(t for t in (*get_args(kind), kind) if t is not NoneType)
    return (lambda value: int(float(value))) if plain is int else plain


_CONVERT = {field.name: _converter(field.type) for field in fields(Prediction)}
