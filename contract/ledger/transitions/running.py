"""What a worker does with predictions: claims a batch under a lease, renews the leases, hands back."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from contract.ledger.endings import Ending
from contract.ledger.lease_terms import LeaseTerms
from contract.ledger.transitions.transition import Transition, unchanged
from contract.prediction import new_id

MOST_CLAIM_BYTES = 16 * 1024 * 1024
"""Of the inputs that one claim takes, unless a single one has more."""


@dataclass(frozen=True, slots=True)
class Claimed:
    """A prediction that this worker may run, under the fencing number `attempt`."""

    id: str
    attempt: int
    input: str
    queue_seconds: float
    traceparent: str | None = None
    tracestate: str | None = None
    streamed: str = ""
    """What earlier runs streamed of its output. It cannot be taken back: this run goes on behind it."""


@dataclass(frozen=True, slots=True)
class Claim:
    predictions: list[Claimed]
    wakeups: list[int]
    more: bool = False
    """Others wait that only workers of this version may take."""
    endings: list[Ending] = field(default_factory=list)
    """Their deadline had passed."""


def claim(terms: LeaseTerms, wakeup: int, limit: int | None = None) -> Transition[Claim]:
    """Take the oldest that wait for any worker or for this version, up to a batch, under a lease. `wakeup` is
    the message that asked for it. Sent again, as its answer was lost, it answers what it took already.
    """
    args = {
        "model": terms.model,
        "worker": terms.worker,
        "limit": limit or terms.max_batch_size,
        "batch": terms.max_batch_size,
        "most_bytes": MOST_CLAIM_BYTES,
        "lease": terms.lease_seconds,
        "timeout": terms.timeout_seconds,
        "wakeup": wakeup,
        "token": new_id(),
    }
    if terms.version:
        args["version"] = terms.version

    def read_claim(answer: Any) -> Claim:
        claimed = [Claimed(**p) for p in answer["predictions"]]
        return Claim(claimed, answer["wakeups"], answer["more"], Ending.read_all(answer["endings"]))

    return Transition("claim", args, read_claim)


def extend(
    terms: LeaseTerms,
    attempts: Iterable[tuple[str, int]],
    left: Mapping[str, float | None] | None = None,
) -> Transition[list[str]]:
    """Renew leases; answers the ids that are no longer this worker's.

    Args:
        left: by id, how many seconds are left of the hard limit; None when the model has returned, and
            no limit holds any more. The limits of others stay as they are.
    """
    args = {
        "model": terms.model,
        "worker": terms.worker,
        "lease": terms.lease_seconds,
        "predictions": list(attempts),
        "left": {id: seconds is not None and seconds for id, seconds in (left or {}).items()},
    }
    return Transition("extend", args, unchanged)


@dataclass(frozen=True, slots=True)
class Released:
    wakeups: list[int]
    endings: list[Ending]


def release(
    terms: LeaseTerms,
    attempts: Iterable[tuple[str, int]],
    *,
    idle: bool,
    suspect: bool,
    lost: bool = False,
    reason: str = "drain",
) -> Transition[Released]:
    """Hand predictions back without an outcome; answers the wake-ups to send.

    Args:
        suspect: one of them may be why; each will run alone.
        lost: it counts as a lost worker.
        reason: by which they are counted: `drain`, `device_lost` or `timeout`.
    """
    args = {
        "model": terms.model,
        "worker": terms.worker,
        "idle": idle,
        "suspect": suspect,
        "lost": lost,
        "reason": reason,
        "batch": terms.max_batch_size,
        "retry": terms.retry.args,
        "predictions": list(attempts),
    }

    def read_released(answer: Any) -> Released:
        return Released(answer["wakeups"], Ending.read_all(answer["endings"]))

    return Transition("release", args, read_released)
