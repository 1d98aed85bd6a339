"""Coalescing without a timer: what gathers while one call is under way goes out in the next."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

MOST = 512
"""Items in one call."""
MOST_BYTES = 8 * 1024 * 1024
"""Bytes in one call, but for a single item that is larger: a call blocks the ledger while it runs."""


class TimeOver(Exception):
    """The caller's time was over before its item had a result."""

    def __init__(self, *, out: bool) -> None:
        super().__init__()
        self.out = out
        """False when the item was not on its way yet; then it never will be."""


class Asked(Generic[Item, Result]):
    """An item whose caller waits for its result."""

    __slots__ = ("_future", "item", "out", "until")

    def __init__(self, item: Item, until: float) -> None:
        self.item = item
        self.until = until
        """When its caller stops waiting, by the event loop's clock."""
        self.out = False
        """Set by the handler, from when on the item may be carried out."""
        self._future: asyncio.Future[Result] = asyncio.get_running_loop().create_future()

    @property
    def over(self) -> bool:
        """True when it is settled, or when nobody waits for it any longer."""
        return self._future.done()

    def settle(self, result: Result) -> None:
        if not self._future.done():
            self._future.set_result(result)

    def fail(self, error: BaseException) -> None:
        if not self._future.done():
            self._future.set_exception(error)

    async def result(self) -> Result:
        """What it was settled with, or the exception that it failed with.

        Raises:
            TimeOver: it was not settled in time.
        """
        try:
            async with asyncio.timeout_at(self.until):
                return await self._future
        except TimeoutError:
            if self._future.done() and not self._future.cancelled():
                return self._future.result()  # it came in the same turn of the loop
            raise TimeOver(out=self.out) from None


class Coalescer(Generic[Item, Result]):
    """Hands items to `handle` by the batch: an idle one at once, all of one event-loop turn together,
    and under load what came in while the last batch was out.
    """

    def __init__(
        self,
        handle: Callable[[list[Asked[Item, Result]]], Awaitable[None]],
        size: Callable[[Item], int],
    ) -> None:
        """`handle` settles each item of a batch, or raises what those fail with that it did not settle;
        it leaves out those that are over. `size` says how many bytes an item is.
        """
        self._handle = handle
        self._size = size
        self._waiting: list[Asked[Item, Result]] = []
        self._running: asyncio.Task[None] | None = None

    async def submit(self, item: Item, until: float) -> Result:
        """The item's own result, or the exception that `handle` raised for its batch.

        A caller whose time is over before its item is on its way takes it with it.

        Raises:
            TimeOver: `until`, by the event loop's clock, passed.
        """
        asked: Asked[Item, Result] = Asked(item, until)
        self._waiting.append(asked)
        if self._running is None:
            # The task begins on the next turn of the loop, when all of this turn have come.
            self._running = asyncio.create_task(self._run())
        return await asked.result()

    async def close(self) -> None:
        """Let go of the batch that is out, and of all that wait."""
        waiting, self._waiting = self._waiting, []
        for asked in waiting:
            asked.fail(TimeOver(out=False))
        if self._running is not None:
            self._running.cancel()
            await asyncio.wait([self._running])

    async def _run(self) -> None:
        try:
            while batch := self._take():
                await self._send(batch)
        finally:
            self._running = None

    def _take(self) -> list[Asked[Item, Result]]:
        """The oldest that somebody still waits for, as many as fit into one call."""
        waiting = [asked for asked in self._waiting if not asked.over]
        count, room = 0, MOST_BYTES
        for asked in waiting[:MOST]:
            room -= self._size(asked.item)
            if room < 0 and count:
                break
            count += 1
        self._waiting = waiting[count:]
        return waiting[:count]

    async def _send(self, batch: list[Asked[Item, Result]]) -> None:
        trouble: Exception = RuntimeError("the batch ended without a result for this item")
        try:
            await self._handle(batch)
        except asyncio.CancelledError:
            trouble = TimeOver(out=any(asked.out for asked in batch))
            raise
        except Exception as error:
            trouble = error
        finally:
            for asked in batch:
                asked.fail(trouble)
