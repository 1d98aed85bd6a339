"""The ledger at the start of a gateway or keeper: waited for while it is away, and not used before it is safe."""

import asyncio
import logging
from typing import TypeVar

from starlette.applications import Starlette

from contract.errors import LedgerUnavailable, SoloistError, StartRefused
from contract.ledger.client import AsyncLedger, ledger_trouble
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
        asked, logged = AsyncLedger(self.settings), set[str]()
        try:
            while not self.safe:
                try:
                    await asked.check()
                    self.safe = True
                except StartRefused:
                    raise
                except Exception as error:  # whatever it is, it may pass, and has to be logged
                    trouble = error if isinstance(error, SoloistError) else _strange(error)
                    self.trouble = trouble.detail
                    if self.trouble not in logged:
                        extra = ledger_trouble(self.settings, trouble)
                        logger.warning("waiting for the ledger", extra=extra)
                    logged.add(self.trouble)
                    await asyncio.sleep(AGAIN_SECONDS)
        finally:
            await asked.close()
        if logged:
            logger.info("the ledger is there")


def _strange(error: Exception) -> LedgerUnavailable:
    """What nobody expected of a ledger."""
    found = LedgerUnavailable(f"the ledger's answer cannot be read ({type(error).__name__})")
    found.__cause__ = error
    return found


async def wait_for_ledger(app: Starlette, ledger: CheckedLedger) -> bool:
    """Wait for a process's ledger; False when it is wrong, and the process must end (service/process.py)."""
    try:
        await ledger.wait_until_safe()
    except StartRefused as error:
        ledger.trouble = error.title
        app.state.refusal = error
        return False
    return True
