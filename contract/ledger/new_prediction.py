"""A prediction that is yet to be accepted: made from what a client asked for, and written as the ledger's row."""

import hashlib
import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import orjson

from contract import exact_json
from contract.prediction import Prediction, Priority, new_id

if TYPE_CHECKING:
    from contract.input_schema import InputSchema


@dataclass(slots=True)
class NewPrediction:
    """A prediction to accept, with what the ledger must know of its model to do so."""

    prediction: Prediction
    max_queue: int
    max_batch_size: int
    entry: str = ""
    """Of its model, in this gateway's catalog."""
    credit_seconds: float = 0.0
    deadline_seconds: float | None = None
    watcher: str | None = None
    """The gateway that waits for its outcome."""
    not_after: float | None = None
    """The instant of the ledger's clock from which on it is not recorded any more: its caller has
    that answer. A frozen ledger may read a call long after it was sent."""

    @classmethod
    def from_input(
        cls,
        schema: "InputSchema",
        input: dict[str, Any],
        owner: str,
        *,
        version: str | None = None,
        id: str | None = None,
        idempotency_key: str | None = None,
        priority: Priority = Priority.NORMAL,
        priority_credit_seconds: float = 0.0,
        deadline_seconds: float | None = None,
        traceparent: str | None = None,
        tracestate: str | None = None,
    ) -> Self:
        """What a client wants predicted, whichever way it asked.

        Args:
            version: set where no other version may run it.

        Raises:
            InvalidInput: the input does not fit the model's schema.
        """
        schema.check(input)
        spec = schema.spec
        digest = "-"  # only a request that can be repeated needs to be compared
        if id or idempotency_key:
            digest = _digest([spec.id, input, priority, deadline_seconds], version)
        prediction = Prediction(
            id=id or new_id(),
            model=spec.name,
            owner=owner,
            version=version or spec.version(),
            pinned=version,
            input=exact_json.dumps(input).decode(),
            digest=digest,
            priority=priority,
            result_ttl=spec.result_ttl_seconds,
            idempotency_key=idempotency_key,
            receipt=secrets.token_hex(8) if id else None,
            traceparent=traceparent,
            tracestate=tracestate,
        )
        return cls(
            prediction,
            max_queue=spec.max_queue,
            max_batch_size=spec.max_batch_size,
            entry=spec.entry,
            credit_seconds=priority.credit_seconds(priority_credit_seconds),
            deadline_seconds=deadline_seconds,
        )

    @property
    def row(self) -> dict[str, Any]:
        """What `create.lua` takes of it, and mostly writes as it is; what is not set is left out."""
        p = self.prediction
        row = {
            "id": p.id,
            "model": p.model,
            "version": p.version,
            "owner": p.owner,
            "input": p.input,
            "digest": p.digest,
            "priority": p.priority.value,
            "result_ttl": p.result_ttl,
            "credit": self.credit_seconds,
        }
        optional = {
            "pinned": p.pinned or None,
            "idempotency_key": p.idempotency_key or None,
            "traceparent": p.traceparent or None,
            "tracestate": p.tracestate if p.traceparent and p.tracestate else None,
            "receipt": p.receipt or None,
            "deadline_seconds": self.deadline_seconds,
            "watchers": self.watcher or None,
            "not_after": self.not_after,
        }
        return row | {name: value for name, value in optional.items() if value is not None}

    @property
    def model_row(self) -> Mapping[str, Any]:
        """What `create.lua` takes of its model."""
        row = {"max_queue": self.max_queue, "max_batch": self.max_batch_size}
        return row | ({"entry": self.entry} if self.entry else {})


def _digest(request: list[Any], version: str | None) -> str:
    """The same for the same request, however its JSON was written."""
    what = [*request, version] if version else request
    try:
        text = orjson.dumps(what, option=orjson.OPT_SORT_KEYS)
    except TypeError:  # integers beyond 64 bits
        text = json.dumps(what, sort_keys=True).encode()
    return hashlib.blake2b(text, digest_size=16).hexdigest()
