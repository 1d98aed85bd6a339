"""Coalescing without a timer: what gathers while one call is under way goes out in the next."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

MOST = 512


class Coalescer(Generic[Item, Result]):
    """Hands items to `handle` by the batch: an idle one at once, all of one event-loop turn together,
    and under load what came in while the last batch was out.
    """

    def __init__(self, handle: Callable[[list[Item]], Awaitable[list[Result]]]) -> None:
        self._handle = handle
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
                taken, self._waiting = self._waiting[:MOST], self._waiting[MOST:]
                batch = [(item, future) for item, future in taken if not future.done()]
                if batch:
                    await self._send(batch)
        finally:
            self._running = None

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
