"""Coalescing without a timer: what gathers while one call is under way goes out in the next."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

MOST = 512
"""Items in one call."""
MOST_BYTES = 8 * 1024 * 1024
"""Bytes in one call, which blocks the ledger while it runs. A larger item goes alone."""


class CallerGone(Exception):
    """The caller's time was over before its item had a result."""

    def __init__(self, *, sent: bool) -> None:
        super().__init__()
        self.sent = sent
        """False if the item was not sent, and now never will be."""


class PendingItem(Generic[Item, Result]):
    """An item whose caller waits for its result."""

    __slots__ = ("_future", "item", "sent", "until")

    def __init__(self, item: Item, until: float) -> None:
        self.item = item
        self.until = until
        """When its caller stops waiting, by the event loop's clock."""
        self.sent = False
        """Set by the handler: from then on the item may be carried out."""
        self._future: asyncio.Future[Result] = asyncio.get_running_loop().create_future()

    @property
    def over(self) -> bool:
        """True when it is settled, or when nobody waits for it any longer."""
        return self._future.done()

    def set_result(self, result: Result) -> None:
        if not self._future.done():
            self._future.set_result(result)

    def set_exception(self, error: BaseException) -> None:
        if not self._future.done():
            self._future.set_exception(error)

    async def wait_for_result(self) -> Result:
        """What it was settled with, or the exception that it failed with.

        Raises:
            CallerGone: it was not settled in time.
        """
        try:
            async with asyncio.timeout_at(self.until):
                return await self._future
        except TimeoutError:
            if self._future.done() and not self._future.cancelled():
                return self._future.result()  # it came in the same turn of the loop
            raise CallerGone(sent=self.sent) from None


class Coalescer(Generic[Item, Result]):
    """Hands items to `handle` by the batch: an idle one at once, all of one event-loop turn together,
    and under load what came in while the last batch was out.
    """

    def __init__(
        self,
        handle: Callable[[list[PendingItem[Item, Result]]], Awaitable[None]],
        size: Callable[[Item], int],
    ) -> None:
        """`handle` sets the result of each item of a batch; what it raises becomes the error of those without one.
        It skips items that are over. `size` says how many bytes an item is.
        """
        self._handle = handle
        self._size = size
        self._waiting: list[PendingItem[Item, Result]] = []
        self._running: asyncio.Task[None] | None = None

    async def submit_item(self, item: Item, until: float) -> Result:
        """The item's own result, or the exception that `handle` raised for its batch.

        An item whose caller's time is over before it was sent is dropped.

        Raises:
            CallerGone: `until`, by the event loop's clock, passed.
        """
        pending: PendingItem[Item, Result] = PendingItem(item, until)
        self._waiting.append(pending)
        if self._running is None:
            # The task begins on the next turn of the loop, when all of this turn have come.
            self._running = asyncio.create_task(self._run())
        return await pending.wait_for_result()

    async def close(self) -> None:
        """Cancel the batch that is out, and all items that wait."""
        waiting, self._waiting = self._waiting, []
        for pending in waiting:
            pending.set_exception(CallerGone(sent=False))
        if self._running is not None:
            self._running.cancel()
            await asyncio.wait([self._running])

    async def _run(self) -> None:
        try:
            while batch := self._take():
                await self._send(batch)
        finally:
            self._running = None

    def _take(self) -> list[PendingItem[Item, Result]]:
        """The oldest that somebody still waits for, as many as fit into one call."""
        waiting = [pending for pending in self._waiting if not pending.over]
        count, room = 0, MOST_BYTES
        for pending in waiting[:MOST]:
            room -= self._size(pending.item)
            if room < 0 and count:
                break
            count += 1
        self._waiting = waiting[count:]
        return waiting[:count]

    async def _send(self, batch: list[PendingItem[Item, Result]]) -> None:
        trouble: Exception = RuntimeError("the batch ended without a result for this item")
        try:
            await self._handle(batch)
        except asyncio.CancelledError:
            trouble = CallerGone(sent=any(pending.sent for pending in batch))
            raise
        except Exception as error:
            trouble = error
        finally:
            for pending in batch:
                pending.set_exception(trouble)
