"""Coalescing: what gathers while one call is out goes in the next, and nobody gets another's result."""

import asyncio

import pytest

from service import coalescer
from service.coalescer import Coalescer


class Calls:
    """A handler that remembers its batches and can be held up."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.called = asyncio.Event()
        self.gate = asyncio.Event()
        self.gate.set()

    async def __call__(self, batch: list[int]) -> list[int]:
        self.batches.append(batch)
        self.called.set()
        await self.gate.wait()
        return [item * 10 for item in batch]


def size_of_one(item: int) -> int:
    return 1


def test_a_lone_item_goes_out_at_once() -> None:
    async def scenario() -> None:
        calls = Calls()
        assert await Coalescer(calls, size_of_one).submit(7) == 70
        assert calls.batches == [[7]]

    asyncio.run(scenario())


def test_all_of_one_turn_of_the_loop_go_out_together_in_their_order() -> None:
    async def scenario() -> None:
        calls = Calls()
        line = Coalescer(calls, size_of_one)
        assert await asyncio.gather(*map(line.submit, range(100))) == [n * 10 for n in range(100)]
        assert calls.batches == [list(range(100))]

    asyncio.run(scenario())


def test_what_comes_while_a_call_is_out_goes_in_the_next() -> None:
    async def scenario() -> None:
        calls = Calls()
        calls.gate.clear()
        line = Coalescer(calls, size_of_one)
        first = asyncio.create_task(line.submit(1))
        await calls.called.wait()
        later = [asyncio.create_task(line.submit(n)) for n in (2, 3)]
        await asyncio.sleep(0)
        calls.gate.set()
        assert await asyncio.gather(first, *later) == [10, 20, 30]
        assert calls.batches == [[1], [2, 3]]

    asyncio.run(scenario())


def test_a_caller_that_gives_up_takes_its_item_with_it() -> None:
    async def scenario() -> None:
        calls = Calls()
        calls.gate.clear()
        line = Coalescer(calls, size_of_one)
        first = asyncio.create_task(line.submit(1))
        await calls.called.wait()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await line.submit(2)
        calls.gate.set()
        assert await first == 10
        assert await line.submit(3) == 30
        assert calls.batches == [[1], [3]]

    asyncio.run(scenario())


def test_a_failure_reaches_all_of_its_batch_and_no_other() -> None:
    async def fail_on_two(batch: list[int]) -> list[int]:
        if 2 in batch:
            raise ValueError("two")
        return batch

    async def scenario() -> None:
        line = Coalescer(fail_on_two, size_of_one)
        outcomes = await asyncio.gather(line.submit(1), line.submit(2), return_exceptions=True)
        assert [str(outcome) for outcome in outcomes] == ["two", "two"]
        assert await line.submit(3) == 3

    asyncio.run(scenario())


def test_a_call_is_bounded_in_number_and_in_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(coalescer, "MOST", 4)
    monkeypatch.setattr(coalescer, "MOST_BYTES", 10)

    async def scenario() -> None:
        calls = Calls()
        line = Coalescer(calls, lambda item: item)
        items = [1, 1, 1, 1, 1, 6, 6, 99, 1]
        await asyncio.gather(*map(line.submit, items))
        assert calls.batches == [[1, 1, 1, 1], [1, 6], [6], [99], [1]]

    asyncio.run(scenario())
