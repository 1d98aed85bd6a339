"""The ledger at the start of a gateway or keeper: waited for while it is away, and not used before it is safe."""

import asyncio
import logging
from typing import TypeVar

from starlette.applications import Starlette

from contract.errors import LedgerUnavailable, StartRefused
from contract.ledger.client import AsyncLedger
from contract.ledger.start import WaitLog
from contract.ledger.transitions import Transition
from contract.settings import Settings

logger = logging.getLogger(__name__)

T = TypeVar("T")

AGAIN_SECONDS = 0.5


class CheckedLedger(AsyncLedger):
    """A ledger that refuses every call, as if it were away, until `wait_until_safe` has found it safe: what a wrong one
    would lose must not be accepted first.
    """

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self.safe = False
        self.trouble = "the ledger was not asked yet"
        """Why it is not safe yet, in a sentence that anybody may read."""

    async def run(
        self, transition: Transition[T], *, seconds: float | None = None, attempt: int = 0
    ) -> T:
        if not self.safe:
            raise LedgerUnavailable(self.trouble)
        return await super().run(transition, seconds=seconds, attempt=attempt)

    async def wait_until_safe(self) -> None:
        """Return when it answers and is safe, however long that takes. The log has a line for each trouble, and not
        for each try.

        Raises:
            StartRefused: it answers, and is wrong for us.
        """
        asked, log = AsyncLedger(self.settings), WaitLog(self.settings, logger)
        try:
            while not self.safe:
                try:
                    await asked.check()
                    self.safe = True
                except LedgerUnavailable as error:
                    self.trouble = error.detail
                    log.report_trouble(error)
                    await asyncio.sleep(AGAIN_SECONDS)
        finally:
            await asked.close()
        log.report_end()


async def wait_for_ledger(app: Starlette, ledger: CheckedLedger) -> bool:
    """Wait for a process's ledger; False when it is wrong, and the process must end (service/process.py)."""
    try:
        await ledger.wait_until_safe()
    except StartRefused as error:
        ledger.trouble = error.title
        app.state.refusal = error
        return False
    return True
