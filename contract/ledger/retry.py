"""The retry decision in numbers: how often a prediction may start before it ends as failed.

The decision itself is one function of the ledger, `requeue_or_bury` in `scripts/parts/retry.lua`. A worker that
hands back, the sweep that finds a lease run out, and the keeper that finds a hard limit passed all call it. There is
no backoff: a prediction goes back to its old place in the queue at once. One that may be why its worker ended runs
alone from then on.
"""

from dataclasses import dataclass

MAX_ATTEMPTS = 3
DEAD_TTL_SECONDS = 7 * 86400.0
MOST_HAND_BACKS = 100
"""Generous, for each is an ordinary rollout. A bound, for one that no worker ever has the time for must end too."""


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """When the ledger gives a prediction up."""

    max_attempts: int = MAX_ATTEMPTS
    """Workers that it may lose; after the last it is dead, with `worker_lost`."""
    dead_ttl_seconds: float = DEAD_TTL_SECONDS
    """How long a dead one is kept."""
    most_hand_backs: int = MOST_HAND_BACKS
    """Workers that may hand it back because they had to end; after the last it is dead, with
    `too_many_hand_backs`."""

    @property
    def args(self) -> dict[str, float]:
        """As the scripts take it."""
        return {
            "max_attempts": self.max_attempts,
            "dead_ttl": self.dead_ttl_seconds,
            "most_hand_backs": self.most_hand_backs,
        }


DEFAULT_RETRY = RetryPolicy()
