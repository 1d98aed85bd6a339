"""The ledger in front of a real Redis: scripts, faults, texts, and both ways to wait."""

import asyncio
import json
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import redis

from contract.errors import LedgerFull, LedgerUnavailable
from contract.ledger.client import AsyncLedger, Ledger
from contract.ledger.lease_terms import LeaseTerms
from contract.ledger.new_prediction import NewPrediction
from contract.ledger.transitions import (
    Claim,
    Transition,
    claim,
    create,
    expire,
    read_predictions,
)
from contract.prediction import Prediction, Status
from contract.settings import Settings
from local.redis import EmbeddedRedis
from tests.support.ledger_harness import LedgerHarness


def new_prediction(**what: Any) -> NewPrediction:
    return NewPrediction(Prediction(**{"id": "a", "model": "m", **what}), 100, 4)


def test_the_ledgers_clock_is_the_one_of_redis(ledger: Ledger) -> None:
    before = time.time()
    creation = ledger.run(create([new_prediction()]))

    assert before - 1 < creation.now < time.time() + 1
    assert creation.results[0].prediction.created_at == pytest.approx(creation.now, abs=1e-3)


def test_the_contract_is_tested_on_two_generations_of_redis(
    ledger: Ledger, own_redis: EmbeddedRedis, redis_program: Path | None
) -> None:
    oldest, newest = (6, 6) if redis_program is None else (7, 99)
    with redis.Redis(port=own_redis.port) as own:
        for client in (ledger.redis, own):
            assert oldest <= int(client.info("server")["redis_version"].split(".")[0]) <= newest


def test_a_ledger_that_forgot_its_scripts_gets_them_again(harness: LedgerHarness) -> None:
    harness.accept(id="a")
    harness.redis.script_flush()
    harness.accept(id="b")
    harness.redis.script_flush()

    assert [c.id for c in harness.claim()] == ["a", "b"]


def test_scripts_are_sent_by_their_hash(settings: Settings, ledger: Ledger) -> None:
    ledger.run(create([new_prediction()]))
    ledger.redis.config_resetstat()
    for n in range(5):
        ledger.run(create([new_prediction(id=f"p{n}")]))
    stats = ledger.redis.info("commandstats")

    assert stats["cmdstat_evalsha"]["calls"] == 5
    assert "cmdstat_eval" not in stats


def test_a_ledger_that_is_frozen_is_reported_in_time_and_found_again(
    own_redis: EmbeddedRedis,
) -> None:
    ledger = Ledger(Settings(redis_url=own_redis.url, ledger_timeout_seconds=0.2))
    ledger.run(create([new_prediction()]))
    own_redis.pause()
    for act in (ledger.check, lambda: ledger.run(read_predictions([("a", -1)]))):
        with pytest.raises(LedgerUnavailable, match="does not answer"):
            act()
    own_redis.resume()

    assert ledger.run(read_predictions([("a", -1)]))[0] is not None
    ledger.close()


def test_a_ledger_that_restarted_is_found_again_without_an_error(own_redis: EmbeddedRedis) -> None:
    ledger = Ledger(Settings(redis_url=own_redis.url))
    ledger.run(create([new_prediction()]))
    own_redis.restart()
    (view,) = ledger.run(read_predictions([("a", -1)]))

    assert view is not None
    assert view.prediction.status is Status.STARTING
    ledger.close()


def test_a_ledger_that_is_gone_is_reported(own_redis: EmbeddedRedis) -> None:
    ledger = Ledger(Settings(redis_url=own_redis.url))
    own_redis.stop()
    with pytest.raises(LedgerUnavailable) as caught:
        ledger.run(expire())
    with pytest.raises(LedgerUnavailable):
        ledger.check()

    assert own_redis.url not in str(caught.value)
    ledger.close()


def test_a_full_ledger_records_nothing_new_but_what_runs_goes_on_and_ends(
    own_redis: EmbeddedRedis,
) -> None:
    harness = LedgerHarness(Settings(redis_url=own_redis.url))

    def let_pass(seconds: float) -> None:
        harness.redis.config_set("maxmemory", 0)  # the test's clock needs room too
        harness.advance(seconds)
        harness.redis.config_set("maxmemory", 1)

    for id in "abcde":
        harness.accept(id=id)
    claimed = harness.claim(limit=2)
    harness.redis.config_set("maxmemory", 1)
    with pytest.raises(LedgerFull, match="nothing was recorded"):
        harness.accept(id="f")
    assert harness.ledger.redis.zcard(harness.ledger.key("created", "local")) == 5
    assert harness.record("f") == {}
    assert harness.status("c") is Status.STARTING, "reading goes on"

    assert harness.extend(claimed) == []
    assert harness.finish(claimed[:1]) == []
    assert harness.status("a") is Status.SUCCEEDED
    assert harness.cancel("c").status is Status.CANCELED
    assert harness.view("d", watcher="gw") is not None, "a gateway that waits is told"
    fresh = harness.claim("w2")
    assert [c.id for c in fresh] == ["d", "e"]
    harness.release(fresh, worker="w2")
    let_pass(16)
    assert harness.sweep().taken_back == 1
    assert harness.expire().limits == 0
    let_pass(3600)
    assert harness.prune() == 2
    assert harness.view("a") is None
    harness.close()


STRINGS = [
    '{"__type__": "datetime", "__value__": "2020-01-01T00:00:00"}',
    '{"__type__": "uuid", "__value__": {"hex": "0"}}',
    '{"text": "👩\u200d👩\u200d👧 🙂 é \u202e \\u0000 \\ud83d"}',
    '{"text": "\u2028\u2029\x7f"}',
    '{"n": 0.1, "big": 12345678901234567890123, "e": 1e400}',
    '{ "spaces" :  [ ] }\n',
    '"%s ${7*7} {{x}} \' \\" -- "',
    json.dumps("x" * (1024 * 1024)),
    json.dumps("🙂" * (256 * 1024), ensure_ascii=False),
]


@pytest.mark.parametrize("text", STRINGS, ids=range(len(STRINGS)))
def test_an_input_and_an_output_come_back_byte_for_byte(harness: LedgerHarness, text: str) -> None:
    harness.accept(id="a", input=text)
    claimed = harness.claim()
    assert claimed[0].input == text
    harness.finish(claimed, text)

    found = harness.get("a")
    assert (found.input, found.output) == (text, text)
    assert harness.record("a")[b"input"] == text.encode()


def test_an_output_that_looks_like_a_number_stays_as_it_was_written(harness: LedgerHarness) -> None:
    for text in ("1.50", "1e3", "true", "null", '""', "0.30000000000000004"):
        id = harness.accept(input=text)
        harness.finish(harness.claim(), text)
        assert harness.get(id).output == text


def test_a_large_batch_of_large_inputs_is_one_call(harness: LedgerHarness) -> None:
    big = json.dumps("y" * 500_000)
    harness.create(*(harness.new_prediction(id=id, input=big) for id in "abcdefgh"))

    assert [len(c.input) for c in harness.claim(limit=8)] == [len(big)] * 8


def run_async(settings: Settings, act: Callable[[AsyncLedger], Any]) -> Any:
    async def main() -> Any:
        ledger = AsyncLedger(settings)
        try:
            return await act(ledger)
        finally:
            await ledger.close()

    return asyncio.run(main())


def test_the_event_loops_ledger_is_the_same_ledger(settings: Settings, ledger: Ledger) -> None:
    async def act(other: AsyncLedger) -> Claim:
        await other.check()
        await other.run(create([new_prediction(id="a")]))
        await other.redis.script_flush()
        return await other.run(claim(LeaseTerms("m", "w1", 4), 1))

    claimed = run_async(settings, act)

    assert [c.id for c in claimed.predictions] == ["a"]
    assert ledger.run(read_predictions([("a", -1)]))[0].prediction.status is Status.PROCESSING


def test_the_event_loops_ledger_reports_one_that_is_frozen(own_redis: EmbeddedRedis) -> None:
    settings = Settings(redis_url=own_redis.url, ledger_timeout_seconds=0.2)

    async def act(ledger: AsyncLedger) -> None:
        await ledger.check()
        own_redis.pause()
        try:
            with pytest.raises(LedgerUnavailable):
                await ledger.run(expire())
            with pytest.raises(LedgerUnavailable):
                await ledger.check()
        finally:
            own_redis.resume()

    run_async(settings, act)


def test_an_error_of_our_own_script_is_not_taken_for_a_fault_of_redis(
    harness: LedgerHarness,
) -> None:
    with pytest.raises(redis.ResponseError, match=re.compile("script", re.I)):
        harness.run(Transition("claim", {"model": None}, lambda answer: answer))
