"""What the keeper does: takes leases back, ends what is overdue, deletes what is old."""

import math
from dataclasses import dataclass, field
from typing import Any

from contract.ledger.endings import Ending
from contract.ledger.retry import DEFAULT_RETRY, RetryPolicy
from contract.ledger.transitions.transition import Transition

LIMIT_SLACK_SECONDS = 2.0
"""How much later than the worker's own watchdog the keeper ends what ran past its hard limit."""


@dataclass(frozen=True, slots=True)
class Sweep:
    """What the keeper found and did for one model."""

    taken_back: int
    dead: int
    wakeups: list[int]
    queued: int
    running: int
    workers: dict[str, float]
    """The busy workers, and since how many seconds each has its batch."""
    oldest_seconds: float
    dead_total: int
    eta_seconds: float | None
    """Typical seconds until all that waits is done; None when nothing ran yet."""
    counts: dict[str, int]
    """What became of predictions since the ledger began: `accepted`, `finished:STATUS`, `failed:CODE`,
    `handed_back:REASON`."""
    pins: int = 0
    """How many versions have predictions waiting for them alone."""
    endings: list[Ending] = field(default_factory=list)
    unannounced: int = 0
    """Outcomes that are not announced yet: the replicas were late, or the process that was to announce them died."""
    states: dict[str, int] = field(default_factory=dict)
    """How many workers are starting, ready, busy or draining; absent is none."""
    loaded: dict[str, str] = field(default_factory=dict)
    """What idle workers have loaded, in a few words."""

    @property
    def busy(self) -> int:
        return len(self.workers)


def sweep(
    model: str,
    *,
    max_batch_size: int,
    retry: RetryPolicy,
    depth: int | None,
    patience_seconds: float,
    most: int = 500,
) -> Transition[Sweep]:
    """Take expired leases back and find the wake-ups that were lost.

    Args:
        depth: messages that the broker holds for this model; None when it does not say.
        patience_seconds: how long a message may be on its way.
        most: how many predictions one call may touch.
    """
    args: dict[str, Any] = {
        "model": model,
        "batch": max_batch_size,
        "retry": retry.args,
        "patience": patience_seconds,
        "most": most,
    }
    if depth is not None:
        args["depth"] = depth

    def read_sweep(answer: Any) -> Sweep:
        # Lua packs an empty table as a list, and knows no None.
        maps = {
            name: dict(answer.get(name, {})) for name in ("workers", "states", "loaded", "counts")
        }
        eta = answer["eta_seconds"]
        eta = (None if answer["queued"] else 0.0) if eta is False else eta
        endings = Ending.read_all(answer["endings"])
        return Sweep(**{**answer, **maps, "eta_seconds": eta, "endings": endings})

    return Transition("sweep", args, read_sweep)


@dataclass(frozen=True, slots=True)
class Pins:
    """What the keeper did for predictions that wait for one version."""

    ended: int
    wakeups: list[int]
    endings: list[Ending] = field(default_factory=list)


def sweep_pins(
    model: str, *, max_batch_size: int, end_gone: bool = False, most: int = 500
) -> Transition[Pins]:
    """Send wake-ups for what waits for one version and has workers.

    Args:
        end_gone: end, as `version_gone`, what waits for a version that no worker and no catalog has.
        most: how many predictions one call may end.
    """
    args = {"model": model, "batch": max_batch_size, "end_gone": end_gone, "most": most}

    def read_pins(answer: Any) -> Pins:
        return Pins(**{**answer, "endings": Ending.read_all(answer["endings"])})

    return Transition("sweep_pins", args, read_pins)


@dataclass(frozen=True, slots=True)
class Expired:
    deadlines: int
    limits: int
    """Past their hard limit: ended, or given back to run alone."""
    endings: list[Ending] = field(default_factory=list)


def expire(most: int = 500, *, retry: RetryPolicy = DEFAULT_RETRY) -> Transition[Expired]:
    """End what ran past its deadline or its hard limit."""
    args = {
        "most": most,
        "limit_slack": LIMIT_SLACK_SECONDS,
        "retry": retry.args,
    }

    def read_expired(answer: Any) -> Expired:
        return Expired(**{**answer, "endings": Ending.read_all(answer["endings"])})

    return Transition("expire", args, read_expired)


def prune(most: int = 500) -> Transition[tuple[int, float]]:
    """Delete what outlived its retention; answers how many, and in how many seconds the next is due."""

    def read_pruned(answer: Any) -> tuple[int, float]:
        pruned, due = answer
        return pruned, math.inf if due is False else due

    return Transition("prune", {"most": most}, read_pruned)
