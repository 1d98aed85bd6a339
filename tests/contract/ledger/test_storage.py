"""The Redis of the ledger: how full it may be, what is refused then, and the schema that it is written in."""

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis

from contract.errors import LedgerNewer
from contract.ledger import keys
from contract.ledger.client import AsyncLedger, Ledger
from contract.ledger.transitions import (
    Claimed,
    Created,
    Memory,
    NoRoom,
    create,
    mark_schema,
    read_dead_list,
    read_memory,
    replay,
)
from contract.prediction import Status
from contract.settings import Settings
from local.redis import EmbeddedRedis
from tests.support.ledger_harness import LedgerHarness

MIB = 1024 * 1024
LIMIT = 48 * MIB
RESERVE = 16 * MIB


@pytest.fixture(scope="module")
def small_redis(
    redis_program: Path | None, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[EmbeddedRedis]:
    folder = tmp_path_factory.mktemp("small")
    with EmbeddedRedis(folder, program=redis_program, options={"maxmemory": LIMIT}) as server:
        yield server


@pytest.fixture
def small(small_redis: EmbeddedRedis) -> Iterator[LedgerHarness]:
    """A ledger of 48 MiB."""
    with redis.Redis.from_url(small_redis.url) as client:
        client.config_set("maxmemory", LIMIT)
        client.config_set("auto-aof-rewrite-percentage", 0)  # on Redis 6 it takes 10 MB at once
        client.flushall()
    harness = LedgerHarness(Settings(redis_url=small_redis.url))
    yield harness
    harness.close()


def big(harness: LedgerHarness, size: int = MIB // 2, **more) -> object:
    """What becomes of a prediction with an input of so many bytes, after the last look at the memory."""
    harness.advance(1)
    (result,) = harness.create(harness.new_prediction(input="x" * size, **more)).results or [None]
    return result


def fill(harness: LedgerHarness) -> list[str]:
    """Create until there is no more room; the ids."""
    ids = []
    while isinstance(result := big(harness), Created):
        ids.append(result.prediction.id)
    assert isinstance(result, NoRoom)
    return ids


def memory_of(harness: LedgerHarness, reserve_bytes: int | None = None) -> Memory:
    return harness.run(read_memory(reserve_bytes))


def test_creates_are_refused_before_the_memory_is_full_and_leave_room_for_the_outcomes(
    small: LedgerHarness,
) -> None:
    ids = fill(small)
    seen = memory_of(small)
    assert seen.limit == LIMIT
    assert LIMIT - seen.used > RESERVE + len(ids) * MIB // 2
    assert 10 < len(ids) < 40


def test_all_that_was_accepted_ends_with_outputs_as_large_as_its_inputs_and_memory_is_left(
    small: LedgerHarness,
) -> None:
    ids = fill(small)
    while claimed := small.claim():
        assert small.finish(claimed, '"' + "y" * (MIB // 2) + '"') == []
    assert {small.status(id) for id in ids} == {Status.SUCCEEDED}
    assert LIMIT - memory_of(small).used > RESERVE - 4 * MIB
    small.redis.set("a broker", "x" * 1000)


def test_there_is_room_again_when_records_are_deleted_and_the_refusal_says_when(
    small: LedgerHarness,
) -> None:
    fill(small)
    while claimed := small.claim():
        small.finish(claimed)
    refused = big(small, 18 * MIB)
    assert isinstance(refused, NoRoom)
    assert refused.more_room_seconds == pytest.approx(3600, abs=60)
    small.advance(3700)
    small.prune()
    assert isinstance(big(small), Created)


def test_a_refusal_says_no_time_as_long_as_nothing_is_over(small: LedgerHarness) -> None:
    assert big(small, 33 * MIB) == NoRoom(None)


def test_what_is_refused_leaves_nothing_behind(small: LedgerHarness) -> None:
    fill(small)
    before = (small.members("queued"), small.sweep().counts)
    assert isinstance(big(small, id="refused"), NoRoom)
    assert small.view("refused") is None
    assert (small.members("queued"), small.sweep().counts) == before


def test_a_create_that_is_sent_again_gets_the_original_also_when_there_is_no_room(
    small: LedgerHarness,
) -> None:
    first = big(small, id="mine", digest="d", receipt="1", watcher="g1")
    assert isinstance(first, Created)
    fill(small)
    again = big(small, id="mine", digest="d", receipt="2", watcher="g2")
    assert isinstance(again, Created)
    assert again.repeated
    assert small.record("mine")[b"watchers"] == b"g1 g2"


def test_one_reading_serves_for_a_moment_and_counts_what_is_accepted_in_it(
    small: LedgerHarness,
) -> None:
    small.advance(1)
    many = [small.new_prediction(input="x" * (MIB // 8)) for _ in range(60)]
    accepted = 0
    for _ in range(6):  # without a look in between: the clock stands
        results = small.create(*many).results or []
        accepted += sum(isinstance(result, Created) for result in results)
        for one in many:
            one.prediction.id += "x"
    assert isinstance(results[-1], NoRoom)
    left = LIMIT - memory_of(small).used
    assert left > RESERVE + accepted * MIB // 8


def test_outputs_are_expected_to_be_as_the_last_ones_were(small: LedgerHarness) -> None:
    reserve = memory_of(small).reserved
    assert reserve == RESERVE
    for _ in range(2):
        big(small, 100_000)
        small.finish(small.claim(), '"' + "y" * 300_000 + '"')
    assert memory_of(small).reserved == reserve
    big(small, 100_000)
    assert memory_of(small).reserved == pytest.approx(reserve + 300_000, rel=0.01)
    small.claim()
    assert memory_of(small).reserved == pytest.approx(reserve + 300_000, rel=0.01)


def test_before_any_output_one_is_expected_to_be_as_large_as_its_input(
    small: LedgerHarness,
) -> None:
    big(small, 100_000)
    assert memory_of(small).reserved == RESERVE + 100_000
    big(small, 10)
    assert memory_of(small).reserved == RESERVE + 200_000


def test_the_reserve_is_a_share_or_what_the_settings_say(small: LedgerHarness) -> None:
    assert memory_of(small, 5 * MIB).reserved == 5 * MIB
    for limit, reserve in ((10 * MIB, 5 * MIB), (800 * MIB, 100 * MIB), (LIMIT, RESERVE)):
        small.redis.config_set("maxmemory", limit)
        assert memory_of(small).reserved == reserve
    new = small.new_prediction()
    refused = small.run(create([new], reserve_bytes=LIMIT)).results
    assert refused == [NoRoom(None)]
    small.advance(1)
    accepted = small.run(create([new], reserve_bytes=0)).results
    assert accepted is not None
    assert isinstance(accepted[0], Created)


def test_the_ledger_says_how_full_it_is(small: LedgerHarness) -> None:
    before = memory_of(small)
    small.redis.mset({"a": "x" * 100_000, "b": 1})
    after = memory_of(small)
    assert after.keys - before.keys == 2
    assert after.used - before.used > 90_000
    assert after.room == after.limit - after.used - after.reserved
    assert after.used == pytest.approx(small.redis.info("memory")["used_memory"], rel=0.05)


def test_without_a_limit_there_is_always_room(harness: LedgerHarness) -> None:
    assert memory_of(harness).limit == 0
    assert isinstance(big(harness, 4 * MIB), Created)


def test_a_dead_prediction_stays_dead_while_there_is_no_room_for_its_replay(
    small: LedgerHarness,
) -> None:
    assert isinstance(big(small, 4 * MIB, id="poison"), Created)
    small.lose(3)
    fill(small)
    small.advance(1)
    no_room = small.run(replay("poison", "again", 4))
    assert isinstance(no_room, NoRoom)
    assert [kept.id for kept in small.run(read_dead_list("m"))] == ["poison"]
    small.advance(1)
    assert small.run(replay("poison", "again", 4, reserve_bytes=0))
    assert small.status("again") is Status.STARTING


def full(harness: LedgerHarness, seconds: float = 0) -> None:
    """Some seconds later the memory is full: no plain write works."""
    harness.advance(seconds)
    harness.redis.config_set("maxmemory", memory_of(harness).used // 2)
    with pytest.raises(redis.ResponseError):
        harness.redis.set("anything", "at all")


def cancel_it(harness: LedgerHarness, claimed: list[Claimed]) -> None:
    harness.cancel("p")


def extend_it(harness: LedgerHarness, claimed: list[Claimed]) -> None:
    assert harness.extend(claimed) == []


def release_it(harness: LedgerHarness, claimed: list[Claimed]) -> None:
    harness.release(claimed)


def finish_it(harness: LedgerHarness, claimed: list[Claimed]) -> None:
    assert harness.finish(claimed, '"' + "y" * MIB + '"') == []


def expire_it(harness: LedgerHarness, claimed: list[Claimed]) -> None:
    assert harness.expire().deadlines == 1


def take_it_back(harness: LedgerHarness, claimed: list[Claimed]) -> None:
    assert harness.sweep().taken_back == 1


@pytest.mark.parametrize(
    ("act", "after", "status"),
    [
        (cancel_it, 0, Status.CANCELED),
        (extend_it, 0, Status.PROCESSING),
        (release_it, 0, Status.STARTING),
        (finish_it, 0, Status.SUCCEEDED),
        (expire_it, 101, Status.CANCELED),
        (take_it_back, 16, Status.STARTING),
    ],
)
def test_what_keeps_or_ends_a_prediction_works_at_the_very_limit(
    small: LedgerHarness,
    act: Callable[[LedgerHarness, list[Claimed]], None],
    after: float,
    status: Status,
) -> None:
    small.accept(id="p", deadline_seconds=100.0)
    claimed = small.claim()
    full(small, after)
    act(small, claimed)
    assert small.status("p") is status


def test_a_claim_works_at_the_very_limit(small: LedgerHarness) -> None:
    small.accept(id="p")
    full(small)
    assert [claimed.id for claimed in small.claim()] == ["p"]


def test_the_first_start_marks_the_ledger(settings: Settings, ledger: Ledger) -> None:
    assert ledger.redis.get(ledger.key("schema")) is None
    ledger.check()
    assert int(ledger.redis.get(ledger.key("schema"))) == keys.SCHEMA
    ledger.check()


async def refused(settings: Settings) -> str:
    ledger = AsyncLedger(settings)
    try:
        await ledger.check()
    except LedgerNewer as error:
        return error.detail
    finally:
        await ledger.close()
    return ""


def test_a_ledger_of_a_newer_release_is_refused_with_the_way_out(
    settings: Settings, ledger: Ledger
) -> None:
    ledger.redis.set(ledger.key("schema"), keys.SCHEMA + 1)
    with pytest.raises(LedgerNewer, match="a newer release has written to the ledger"):
        ledger.check()
    assert "docs/backup.md" in asyncio.run(refused(settings))
    assert int(ledger.redis.get(ledger.key("schema"))) == keys.SCHEMA + 1


def test_an_older_release_never_lowers_the_mark(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("contract.ledger.transitions.storage.SCHEMA", 7)
    assert ledger.run(mark_schema()) == 7
    monkeypatch.setattr("contract.ledger.transitions.storage.SCHEMA", 3)
    assert ledger.run(mark_schema()) == 7
