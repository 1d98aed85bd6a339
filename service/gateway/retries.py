"""Calls that change the ledger, tried again until it is known what became of them."""

import asyncio
from typing import TypeVar

from contract.errors import LedgerFull, LedgerUnavailable
from contract.ledger.client import AsyncLedger
from contract.ledger.transitions import Transition
from service.gateway import metrics

T = TypeVar("T")

ANSWER_SECONDS = 2.5
"""Every request but a waiting one is answered within 3 s, whatever is away."""
TRY_SECONDS = 1.15
"""How long one try may take: a little longer than it waits for replicas, and so short that another one, on a
fresh connection, fits into the time of a request."""
LEAST_SECONDS = 0.1
"""With less time left no try begins."""
FIRST_PAUSE_SECONDS = 0.02
MOST_PAUSE_SECONDS = 0.25


class Retries:
    """The tries of one call, each on a fresh connection, until the time of those who wait is over."""

    def __init__(self, ledger: AsyncLedger, until: float) -> None:
        """`until` is by the event loop's clock."""
        self._ledger = ledger
        self._loop = asyncio.get_running_loop()
        self._until = until
        self._pause = FIRST_PAUSE_SECONDS
        self._attempt = 0
        self.in_doubt = False
        """True once a try was on its way and had no answer: the ledger may carry it out yet."""
        self.seconds = 0.0
        """How long the last try took."""

    async def run_transition(self, transition: Transition[T]) -> T:
        """The first answer. The transition is one that may be sent again.

        Raises:
            LedgerUnavailable: there was none; `sent` says whether any try was on its way.
            LedgerFull: it was refused, and no earlier try was on its way.
        """
        with metrics.ledger_call():
            while True:
                try:
                    return await self._try_once(transition)
                except LedgerFull as error:
                    if not self.in_doubt:
                        raise
                    trouble: LedgerUnavailable | LedgerFull = error
                except LedgerUnavailable as error:
                    if not self.in_doubt and self._attempt > 1:
                        raise
                    trouble = error
                await self.wait_before_next(trouble)

    async def wait_before_next(self, trouble: LedgerUnavailable | LedgerFull | None = None) -> None:
        """Wait a little before the next try.

        Raises:
            LedgerUnavailable, LedgerFull: no time is left for one.
        """
        if self._left < self._pause + LEAST_SECONDS:
            if self.in_doubt or trouble is None:
                raise LedgerUnavailable(
                    "the ledger does not answer in time", sent=self.in_doubt
                ) from trouble
            raise trouble
        await asyncio.sleep(self._pause)
        self._pause = min(2 * self._pause, MOST_PAUSE_SECONDS)

    async def _try_once(self, transition: Transition[T]) -> T:
        started = self._loop.time()
        self._attempt += 1
        try:
            usual = self._ledger.settings.ledger_timeout_seconds
            seconds = min(TRY_SECONDS, usual, self._left)
            return await self._ledger.run(transition, seconds=seconds, attempt=self._attempt)
        except LedgerUnavailable as error:
            self.in_doubt = self.in_doubt or error.sent
            raise
        finally:
            self.seconds = self._loop.time() - started

    @property
    def _left(self) -> float:
        return self._until - self._loop.time()
