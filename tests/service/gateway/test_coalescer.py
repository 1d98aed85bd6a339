"""Coalescing: what gathers while one call is out goes in the next, and nobody gets another's result."""

import asyncio
from typing import Any

import pytest

from service.gateway import coalescer
from service.gateway.coalescer import CallerGone, Coalescer, PendingItem

Batch = list[PendingItem[int, int]]


class Calls:
    """A handler that remembers its batches and can be held up."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.called = asyncio.Event()
        self.gate = asyncio.Event()
        self.gate.set()

    async def __call__(self, batch: Batch) -> None:
        self.batches.append([pending.item for pending in batch])
        for pending in batch:
            pending.sent = True
        self.called.set()
        await self.gate.wait()
        for pending in batch:
            pending.set_result(pending.item * 10)


class NumberCoalescer(Coalescer[int, int]):
    """Items of one byte, whose callers have this much time."""

    def __init__(self, handle: Any, size: Any = lambda item: 1) -> None:
        super().__init__(handle, size)

    async def ask(self, item: int, seconds: float = 10.0) -> int:
        return await self.submit_item(item, asyncio.get_running_loop().time() + seconds)


def test_a_lone_item_goes_out_at_once() -> None:
    async def scenario() -> None:
        calls = Calls()
        assert await NumberCoalescer(calls).ask(7) == 70
        assert calls.batches == [[7]]

    asyncio.run(scenario())


def test_all_of_one_turn_of_the_loop_go_out_together_in_their_order() -> None:
    async def scenario() -> None:
        calls = Calls()
        line = NumberCoalescer(calls)
        assert await asyncio.gather(*map(line.ask, range(100))) == [n * 10 for n in range(100)]
        assert calls.batches == [list(range(100))]

    asyncio.run(scenario())


def test_what_comes_while_a_call_is_out_goes_in_the_next() -> None:
    async def scenario() -> None:
        calls = Calls()
        calls.gate.clear()
        line = NumberCoalescer(calls)
        first = asyncio.create_task(line.ask(1))
        await calls.called.wait()
        later = [asyncio.create_task(line.ask(n)) for n in (2, 3)]
        await asyncio.sleep(0)
        calls.gate.set()
        assert await asyncio.gather(first, *later) == [10, 20, 30]
        assert calls.batches == [[1], [2, 3]]

    asyncio.run(scenario())


def test_a_caller_whose_time_is_over_in_the_line_takes_its_item_with_it() -> None:
    async def scenario() -> None:
        calls = Calls()
        calls.gate.clear()
        line = NumberCoalescer(calls)
        first = asyncio.create_task(line.ask(1))
        await calls.called.wait()
        with pytest.raises(CallerGone) as gone:
            await line.ask(2, seconds=0.01)
        assert not gone.value.sent
        calls.gate.set()
        assert await first == 10
        assert await line.ask(3) == 30
        assert calls.batches == [[1], [3]]

    asyncio.run(scenario())


def test_a_caller_whose_time_is_over_while_its_item_is_out_is_told_so_and_hinders_no_other() -> (
    None
):
    async def scenario() -> None:
        calls = Calls()
        calls.gate.clear()
        line = NumberCoalescer(calls)
        other = asyncio.create_task(line.ask(1))
        with pytest.raises(CallerGone) as gone:
            await line.ask(2, seconds=0.01)
        assert gone.value.sent
        calls.gate.set()
        assert await other == 10

    asyncio.run(scenario())


def test_a_caller_that_is_canceled_takes_its_item_with_it() -> None:
    async def scenario() -> None:
        calls = Calls()
        calls.gate.clear()
        line = NumberCoalescer(calls)
        first, second = (asyncio.create_task(line.ask(1)), None)
        await calls.called.wait()
        second = asyncio.create_task(line.ask(2))
        await asyncio.sleep(0)
        second.cancel()
        calls.gate.set()
        assert await first == 10
        assert await line.ask(3) == 30
        assert calls.batches == [[1], [3]]

    asyncio.run(scenario())


def test_a_result_that_comes_with_the_end_of_the_time_is_not_lost() -> None:
    async def scenario() -> None:
        loop = asyncio.get_running_loop()
        pending: PendingItem[int, int] = PendingItem(1, loop.time() + 0.01)
        # Both timers are due in the same turn, and this one was set first.
        loop.call_at(pending.until, pending.set_result, 10)
        assert await pending.wait_for_result() == 10

    asyncio.run(scenario())


def test_a_failure_reaches_all_of_its_batch_that_are_open_and_no_other() -> None:
    async def fail_on_two(batch: Batch) -> None:
        for pending in batch:
            if pending.item == 2:
                raise ValueError("two")
            pending.set_result(pending.item)

    async def scenario() -> None:
        line = NumberCoalescer(fail_on_two)
        outcomes = await asyncio.gather(*map(line.ask, (1, 2, 3)), return_exceptions=True)
        assert outcomes[0] == 1
        assert [str(outcome) for outcome in outcomes[1:]] == ["two", "two"]
        assert await line.ask(4) == 4

    asyncio.run(scenario())


def test_nobody_waits_for_what_the_handler_forgot() -> None:
    async def forget(batch: Batch) -> None:
        batch[0].set_result(1)

    async def scenario() -> None:
        line = NumberCoalescer(forget)
        outcomes = await asyncio.gather(line.ask(1), line.ask(2), return_exceptions=True)
        assert outcomes[0] == 1
        assert "without a result" in str(outcomes[1])

    asyncio.run(scenario())


def test_at_the_end_all_are_let_go_and_told_whether_their_item_was_out() -> None:
    async def scenario() -> None:
        calls = Calls()
        calls.gate.clear()
        line = NumberCoalescer(calls)
        first = asyncio.create_task(line.ask(1))
        await calls.called.wait()
        second = asyncio.create_task(line.ask(2))
        await asyncio.sleep(0)
        await line.close()
        overs = await asyncio.gather(first, second, return_exceptions=True)
        assert [isinstance(over, CallerGone) and over.sent for over in overs] == [True, False]

    asyncio.run(scenario())


def test_a_call_is_bounded_in_number_and_in_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(coalescer, "MOST", 4)
    monkeypatch.setattr(coalescer, "MOST_BYTES", 10)

    async def scenario() -> None:
        calls = Calls()
        line = NumberCoalescer(calls, lambda item: item)
        items = [1, 1, 1, 1, 1, 6, 6, 99, 1]
        await asyncio.gather(*map(line.ask, items))
        assert calls.batches == [[1, 1, 1, 1], [1, 6], [6], [99], [1]]

    asyncio.run(scenario())
