"""A ledger behind Sentinel: both clients follow the primary, whatever happens to it."""

import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from contract.errors import LedgerRefuses, LedgerUnavailable
from contract.ledger.client import AsyncLedger, Ledger
from contract.ledger.transitions import (
    create,
    read_predictions,
)
from contract.settings import Settings
from tests.support.ledger_harness import LedgerHarness
from tests.support.sentinels import Guarded
from tests.support.waiting import until

ODD = "p@ss/w:rd#%"
OTHER = "watchword"


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    """A primary and a replica, both with a password, and sentinels with another. No test ends one."""
    folder = tmp_path_factory.mktemp("guarded")
    with Guarded(folder, sentinels=1, password=ODD, sentinel_password=OTHER) as started:
        yield started


@pytest.fixture
def ours(guarded: Guarded) -> Settings:
    guarded.primary.asked("flushall")
    return Settings(
        redis_url=guarded.url,
        redis_password=ODD,
        redis_sentinel_password=OTHER,
        ledger_replicas=1,
        ledger_timeout_seconds=0.6,
    )


def again(act: Callable[[], Any]) -> int:
    """Do it until it raises LedgerUnavailable no more; how often it did."""
    failures = 0

    def done() -> bool:
        nonlocal failures
        try:
            act()
        except LedgerUnavailable:
            failures += 1
            return False
        return True

    until("the ledger answers", done)
    return failures


def asked_sentinels(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The ports of the sentinels, as they are asked from now on."""
    asked: list[int] = []
    for sentinel in ledger.redis.connection_pool.sentinel_manager.sentinels:
        port = sentinel.connection_pool.connection_kwargs["port"]

        def ask(port: int = port, once: Callable[[], Any] = sentinel.sentinel_masters) -> Any:
            asked.append(port)
            return once()

        monkeypatch.setattr(sentinel, "sentinel_masters", ask)
    return asked


@pytest.mark.slow
def test_both_ledgers_follow_the_primary_when_it_is_killed(tmp_path: Path) -> None:
    async def story(guarded: Guarded) -> None:
        settings = Settings(redis_url=guarded.url)
        ledger, asynchronous = Ledger(settings), AsyncLedger(settings)
        await asynchronous.check()
        ledger.check()
        ledger.run(read_predictions([("a", -1)]))
        first = guarded.primary
        first.kill()
        guarded.promoted(first)

        assert again(lambda: ledger.run(read_predictions([("a", -1)]))) <= 3
        assert await asynchronous.run(read_predictions([("a", -1)])) == [None]
        # The old one comes back, takes writes for a moment, and is made a replica.
        first.start()
        until("it is a replica", lambda: first.role() == "slave", 90)
        ledger.check()
        await asynchronous.check()
        assert guarded.primary is not first
        ledger.close()
        await asynchronous.close()

    with Guarded(tmp_path) as guarded:
        asyncio.run(story(guarded))


@pytest.mark.slow
def test_a_primary_that_froze_and_was_replaced_loses_its_connections(tmp_path: Path) -> None:
    with Guarded(tmp_path) as guarded:
        harness = LedgerHarness(
            Settings(redis_url=guarded.url, ledger_replicas=1, ledger_timeout_seconds=0.6)
        )
        harness.accept()
        first = guarded.primary
        first.pause()
        second = guarded.promoted(first)
        first.resume()
        # The open connections lead to one that thinks it is the primary still, and has no replica.
        new = harness.new_prediction(id="a")
        with pytest.raises(LedgerUnavailable):
            harness.run(create([new]))
        until("it is a replica", lambda: first.role() == "slave", 90)
        until("it has all", first.in_step)
        again(lambda: harness.run(create([new])))

        with second.client() as client:
            assert client.exists(harness.ledger.key("prediction", "a"))
        harness.close()


@pytest.mark.slow
def test_without_replicas_what_a_replaced_primary_still_answers_is_lost(tmp_path: Path) -> None:
    """What SOLOIST_LEDGER_REPLICAS is for."""
    with Guarded(tmp_path) as guarded:
        harness = LedgerHarness(Settings(redis_url=guarded.url))
        kept = harness.accept()
        first = guarded.primary
        first.pause()
        guarded.promoted(first)
        first.resume()
        lost = harness.accept()
        until("it is a replica", lambda: first.role() == "slave", 90)
        until("it has all that the other has", first.in_step)

        views: list[Any] = []
        again(lambda: views.extend(harness.run(read_predictions([(kept, -1), (lost, -1)]))))
        assert [view is not None for view in views] == [True, False]
        harness.close()


@pytest.mark.slow
@pytest.mark.parametrize("how", ["killed", "frozen"])
def test_a_sentinel_that_is_away_is_asked_once_and_no_more(
    tmp_path: Path, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Guarded(tmp_path) as guarded:
        guarded.kill_sentinel() if how == "killed" else guarded.freeze_sentinel()
        ledger = Ledger(Settings(redis_url=guarded.url))
        asked = asked_sentinels(ledger, monkeypatch)
        ledger.check()
        assert set(asked) == set(guarded.sentinel_ports[:2])
        assert asked.count(guarded.sentinel_ports[0]) == 1

        asked.clear()
        ledger.connections.renew()
        ledger.check()
        assert set(asked) == {guarded.sentinel_ports[1]}, "the one that answered is asked first"
        ledger.close()


def test_sentinels_that_do_not_know_the_service_are_a_ledger_that_is_away(
    guarded: Guarded,
) -> None:
    wrong = guarded.url.replace("/ledger/", "/other/")
    ledger = Ledger(Settings(redis_url=wrong, redis_sentinel_password=OTHER))
    with pytest.raises(LedgerUnavailable, match="sentinels name no primary"):
        ledger.check()
    ledger.close()


def test_a_wrong_password_behind_sentinels_is_said(guarded: Guarded) -> None:
    settings = Settings(redis_url=guarded.url, redis_password=OTHER, redis_sentinel_password=OTHER)
    ledger = Ledger(settings)
    with pytest.raises(LedgerRefuses, match="refuses our user or password at ledger"):
        ledger.check()
    ledger.close()


def test_threads_that_ask_at_once_lose_no_sentinel(guarded: Guarded, ours: Settings) -> None:
    ports = [1, 2, guarded.sentinel_ports[0]]
    hosts = ",".join(f"127.0.0.1:{port}" for port in ports)
    url = f"redis+sentinel://{hosts}/ledger/0"
    ledger = Ledger(ours.model_copy(update={"redis_url": type(ours.redis_url)(url)}))
    with ThreadPoolExecutor(8) as threads:
        for _ in range(10):
            ledger.connections.renew()
            list(threads.map(lambda _: ledger.check(), range(8)))
    known = ledger.redis.connection_pool.sentinel_manager.sentinels

    assert sorted(s.connection_pool.connection_kwargs["port"] for s in known) == sorted(ports)
    ledger.close()
