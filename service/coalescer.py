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


class Coalescer(Generic[Item, Result]):
    """Hands items to `handle` by the batch: an idle one at once, all of one event-loop turn together,
    and under load what came in while the last batch was out.
    """

    def __init__(
        self,
        handle: Callable[[list[Item]], Awaitable[list[Result]]],
        size: Callable[[Item], int],
    ) -> None:
        """`size` says how many bytes an item is."""
        self._handle = handle
        self._size = size
        self._waiting: list[tuple[Item, asyncio.Future[Result]]] = []
        self._running: asyncio.Task[None] | None = None

    async def submit(self, item: Item) -> Result:
        """The item's own result, or the exception that `handle` raised for its batch.

        A caller that gives up before its batch goes out takes its item with it.
        """
        future: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self._waiting.append((item, future))
        if self._running is None:
            # The task begins on the next turn of the loop, when all of this turn have come.
            self._running = asyncio.create_task(self._run())
        return await future

    async def _run(self) -> None:
        try:
            while self._waiting:
                batch = [pair for pair in self._take() if not pair[1].done()]
                if batch:
                    await self._send(batch)
        finally:
            self._running = None

    def _take(self) -> list[tuple[Item, asyncio.Future[Result]]]:
        """The oldest that fit into one call."""
        count, room = 0, MOST_BYTES
        for item, _ in self._waiting[:MOST]:
            room -= self._size(item)
            if room < 0 and count:
                break
            count += 1
        taken, self._waiting = self._waiting[:count], self._waiting[count:]
        return taken

    async def _send(self, batch: list[tuple[Item, asyncio.Future[Result]]]) -> None:
        try:
            results = await self._handle([item for item, _ in batch])
        except Exception as error:
            for _, future in batch:
                if not future.done():
                    future.set_exception(error)
            return
        for (_, future), result in zip(batch, results, strict=True):
            if not future.done():
                future.set_result(result)
