"""The ledger at a start: safe, waited for, or refused in one line."""

import asyncio
import logging
from collections.abc import Callable
from typing import Any

import pytest
import redis

from contract.errors import LedgerRefuses, LedgerUnavailable, LedgerUnsafe
from contract.ledger.client import AsyncLedger, Ledger
from contract.ledger.new_prediction import NewPrediction
from contract.ledger.start import WaitLog, check_safety, describe_trouble
from contract.ledger.transitions import (
    expire,
)
from contract.prediction import Prediction
from contract.settings import Settings
from local.redis import EmbeddedRedis

SAFE = {"maxmemory_policy": "noeviction", "aof_enabled": 1}


def new_prediction(**what: Any) -> NewPrediction:
    return NewPrediction(Prediction(**{"id": "a", "model": "m", **what}), 100, 4)


def test_a_redis_that_keeps_what_it_was_told_is_accepted(ledger: Ledger) -> None:
    ledger.check()
    check_safety(SAFE, "aof")


@pytest.mark.parametrize(
    ("info", "words"),
    [
        (SAFE | {"maxmemory_policy": "allkeys-lru"}, ["'allkeys-lru'", "noeviction"]),
        (SAFE | {"maxmemory_policy": "volatile-ttl"}, ["'volatile-ttl'", "noeviction"]),
        (SAFE | {"aof_enabled": 0}, ["append-only file", "appendonly"]),
        (SAFE | {"aof_enabled": "0"}, ["append-only file"]),
        ({}, ["append-only file"]),
    ],
)
def test_a_redis_that_would_lose_predictions_is_refused_in_one_line(
    info: dict[str, Any], words: list[str]
) -> None:
    with pytest.raises(LedgerUnsafe) as caught:
        check_safety(info, "aof")

    line = str(caught.value)
    assert "\n" not in line
    assert all(word in line for word in [*words, "SOLOIST_DURABILITY=none"])
    check_safety(info, "none")


def test_a_redis_that_loads_its_data_is_waited_for_and_not_refused() -> None:
    """While it reads its append-only file it has turned it off."""
    for durability in ("aof", "none"):
        with pytest.raises(LedgerUnavailable, match="loads its data"):
            check_safety(SAFE | {"loading": 1, "aof_enabled": 0}, durability)
    check_safety(SAFE | {"loading": 0}, "aof")


def test_a_real_redis_that_evicts_or_forgets_is_refused_unless_that_is_accepted(
    own_redis: EmbeddedRedis,
) -> None:
    settings = Settings(redis_url=own_redis.url)
    ledger, carefree = Ledger(settings), Ledger(settings.model_copy(update={"durability": "none"}))
    ledger.check()
    ledger.redis.config_set("maxmemory-policy", "allkeys-lru")
    with pytest.raises(LedgerUnsafe, match="allkeys-lru"):
        ledger.check()
    ledger.redis.config_set("maxmemory-policy", "noeviction")
    ledger.redis.config_set("appendonly", "no")
    with pytest.raises(LedgerUnsafe, match="append-only"):
        ledger.check()
    carefree.check()
    ledger.close()
    carefree.close()


ODD = "p@ss/w:rd#%"


def test_a_password_of_any_signs_opens_the_ledger(own_redis: EmbeddedRedis) -> None:
    with redis.Redis(port=own_redis.port) as plain:
        plain.execute_command("ACL", "SETUSER", "a:b", "on", f">{ODD}", "~*", "&*", "+@all")
        plain.config_set("requirepass", ODD)
    for username in (None, "default", "a:b"):
        settings = Settings(redis_url=own_redis.url, redis_username=username, redis_password=ODD)
        ledger = Ledger(settings)
        ledger.check()
        ledger.close()
        run_async(settings, lambda other: other.check())


@pytest.mark.parametrize("password", [None, "hunter2"])
def test_a_ledger_that_refuses_us_says_so_and_shows_no_password(
    own_redis: EmbeddedRedis, password: str | None
) -> None:
    with redis.Redis(port=own_redis.port) as plain:
        plain.config_set("requirepass", ODD)
    settings = Settings(redis_url=own_redis.url, redis_password=password)
    ledger = Ledger(settings)
    with pytest.raises(LedgerUnavailable) as caught:
        ledger.run(expire())
    assert caught.value.detail == "the ledger refuses our user or password"
    told = describe_trouble(settings, caught.value)
    assert told["address"] == f"127.0.0.1:{own_redis.port}"
    assert "SOLOIST_REDIS_PASSWORD" in told["settings"]
    assert "hunter2" not in str(told)

    with pytest.raises(LedgerRefuses) as refused:
        ledger.check()  # at a start it is no ledger that may come yet
    place = f"at 127.0.0.1:{own_redis.port}; see {told['settings']}"
    assert refused.value.detail == f"the ledger refuses our user or password {place}"
    ledger.close()


def run_async(settings: Settings, act: Callable[[AsyncLedger], Any]) -> Any:
    async def main() -> Any:
        ledger = AsyncLedger(settings)
        try:
            return await act(ledger)
        finally:
            await ledger.close()

    return asyncio.run(main())


def test_an_answer_that_nobody_expected_is_a_ledger_that_may_come_yet(
    settings: Settings, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    def odd(found: int) -> None:
        raise ValueError("not a number")

    async def check_asynchronously() -> None:
        asynchronous = AsyncLedger(settings)
        try:
            await asynchronous.check()
        finally:
            await asynchronous.close()

    monkeypatch.setattr("contract.ledger.client.check_schema", odd)
    for check in (ledger.check, lambda: asyncio.run(check_asynchronously())):
        with pytest.raises(LedgerUnavailable, match="cannot be read \\(ValueError\\)") as caught:
            check()
        assert str(caught.value.__cause__) == "not a number"


def test_a_wait_is_logged_once_for_each_trouble_and_when_it_is_over(
    settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    log = WaitLog(settings, logging.getLogger("waiting"))
    log.report_end()
    assert caplog.messages == [], "there was no wait"
    for detail in ("away", "away", "loads", "away"):
        log.report_trouble(LedgerUnavailable(detail))
    log.report_end()
    said = [(record.message, getattr(record, "detail", "")) for record in caplog.records]
    waiting = "waiting for the ledger"
    assert said == [(waiting, "away"), (waiting, "loads"), ("the ledger is there", "")]
