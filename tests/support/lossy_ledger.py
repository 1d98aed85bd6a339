"""A ledger whose answers get lost, as a test wants it: each call meets the next fault of a list."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from contract.errors import LedgerFull, LedgerUnavailable
from contract.ledger.client import AsyncLedger
from contract.ledger.transitions import Transition
from contract.settings import Settings

T = TypeVar("T")
Fault = Callable[["LossyLedger", Transition[Any]], Awaitable[Any]]


class LossyLedger(AsyncLedger):
    """A real ledger behind faults. `calls` names the scripts that were asked for."""

    def __init__(self, settings: Settings, script: str, *faults: Fault) -> None:
        """The first calls of `script` meet one fault each, in this order; all others meet none."""
        super().__init__(settings)
        self._script = script
        self.faults = list(faults)
        self.calls: list[str] = []
        self._called = asyncio.Condition()

    async def asked_for(self, script: str, times: int = 1) -> None:
        """Return when a script was asked for so often."""
        async with self._called:
            await self._called.wait_for(lambda: self.calls.count(script) >= times)

    async def run(self, transition: Transition[T], **options: Any) -> T:
        self.calls.append(transition.script)
        async with self._called:
            self._called.notify_all()
        if transition.script == self._script and self.faults:
            return await self._meet(self.faults.pop(0), transition, **options)
        return await super().run(transition, **options)

    async def _meet(
        self,
        fault: Fault,
        transition: Transition[Any],
        *,
        seconds: float | None = None,
        **options: Any,
    ) -> Any:
        try:
            async with asyncio.timeout(seconds):
                return await fault(self, transition)
        except TimeoutError:
            raise LedgerUnavailable("silent", sent=True) from None

    async def carry_out(self, transition: Transition[T]) -> T:
        return await super().run(transition)


async def swallowed(ledger: LossyLedger, transition: Transition[Any]) -> Any:
    """Carried out, and the answer is lost."""
    await ledger.carry_out(transition)
    raise LedgerUnavailable("lost", sent=True)


async def lost(ledger: LossyLedger, transition: Transition[Any]) -> Any:
    """Written to a connection that leads nowhere."""
    raise LedgerUnavailable("lost", sent=True)


async def away(ledger: LossyLedger, transition: Transition[Any]) -> Any:
    """No connection."""
    raise LedgerUnavailable("away")


async def full(ledger: LossyLedger, transition: Transition[Any]) -> Any:
    """No memory."""
    raise LedgerFull("full")


async def silent(ledger: LossyLedger, transition: Transition[Any]) -> Any:
    """Written, and never answered."""
    await asyncio.Event().wait()


def delayed(seconds: float) -> Fault:
    """Lost for its caller, and carried out so much later."""

    async def fault(ledger: LossyLedger, transition: Transition[Any]) -> Any:
        async def later() -> None:
            await asyncio.sleep(seconds)
            await ledger.carry_out(transition)

        ledger.late = asyncio.create_task(later())  # type: ignore[attr-defined]
        raise LedgerUnavailable("lost", sent=True)

    return fault
