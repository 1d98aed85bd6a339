"""Replicas of the ledger: what they must have before anybody hears of it (`SOLOIST_LEDGER_REPLICAS`).

Replication is asynchronous, so that a failover may take back what was answered a moment before. Where
replicas are asked for, a call whose answer is something to rely on waits for them (WAIT, over the same
connection), and an outcome is announced by a call of its own, when they have it.
"""

import logging
from typing import Any, TypeVar

from contract.errors import LedgerUnavailable
from contract.ledger.transitions import Transition, announce_outcomes
from contract.settings import Settings

logger = logging.getLogger(__name__)

T = TypeVar("T")

SHARE = 0.5
"""How much of a call's time may go by in waiting for replicas."""


class Replicas:
    """How many are wanted, and whether there were as many the last time. Safe to share between threads."""

    def __init__(self, settings: Settings) -> None:
        self.wanted = settings.ledger_replicas
        self._seconds = settings.ledger_timeout_seconds
        self._in_step = True

    def script_args(self, transition: Transition[Any]) -> dict[str, Any]:
        """The transition's, and for its script that others announce what ends, and whether it is awaited."""
        if not self.wanted:
            return transition.args
        more = {"replicas": self.wanted, "awaited": self._awaited(transition)}
        return {**transition.args, **more}

    def wait_commands(
        self, transition: Transition[Any], seconds: float | None = None
    ) -> tuple[tuple[Any, ...], ...]:
        """What follows it on its connection (https://redis.io/docs/latest/commands/wait/).

        Args:
            seconds: how long the whole call may take, if not as long as the setting says.
        """
        if not self._awaited(transition):
            return ()
        milliseconds = int((seconds or self._seconds) * SHARE * 1000)
        return (("WAIT", self.wanted, max(1, milliseconds)),)

    def _awaited(self, transition: Transition[Any]) -> bool:
        return self.wanted > 0 and (transition.promises or transition.ended is not None)

    def are_enough(self, acknowledged: int) -> bool:
        """Whether so many are enough; says so in the log when that changes."""
        enough = acknowledged >= self.wanted
        if enough != self._in_step:
            self._in_step = enough
            facts = {"acknowledged": acknowledged, "wanted": self.wanted}
            if enough:
                logger.info("the ledger's replicas answer again", extra=facts)
            else:
                logger.warning("too few replicas of the ledger answer", extra=facts)
        return enough

    def announcement(
        self, transition: Transition[T], answer: T, enough: bool
    ) -> Transition[int] | None:
        """The call that announces what this one ended. What too few replicas have, the keeper announces later.

        Raises:
            LedgerUnavailable: too few have it, and the answer is something to rely on.
        """
        if not enough and transition.promises:
            raise LedgerUnavailable("too few replicas of the ledger answer", sent=True)
        if not enough or transition.ended is None:
            return None
        model, ids = transition.ended(answer)
        return announce_outcomes(model, ids) if ids else None
