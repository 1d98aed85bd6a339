"""A model that left every catalog is forgotten once nothing of it is left, and not a moment before."""

from collections.abc import Callable

import pytest

from contract.ledger.transitions import deregister, forget_model, register
from contract.ledger.workers import Worker
from tests.support.ledger_harness import LedgerHarness

PATIENCE = 1000.0


def forgotten(harness: LedgerHarness) -> bool:
    return harness.run(forget_model("m", PATIENCE))


def keys_of_the_model(harness: LedgerHarness) -> list[str]:
    found = harness.redis.scan_iter(f"{harness.ledger.prefix}*:m")
    return sorted(key.decode().removeprefix(harness.ledger.prefix) for key in found)


def known(harness: LedgerHarness) -> bool:
    return bool(harness.redis.sismember(harness.ledger.key("models"), "m"))


def serve(harness: LedgerHarness) -> None:
    """One prediction from begin to end; its message is still there."""
    harness.accept(result_ttl=100.0)
    harness.finish(harness.claim())


def test_what_is_left_of_a_served_model_goes_with_its_last_record(harness: LedgerHarness) -> None:
    serve(harness)
    harness.advance(99)
    assert not forgotten(harness)
    harness.advance(2)
    harness.prune()
    assert forgotten(harness)
    assert not known(harness)
    assert keys_of_the_model(harness) == []
    assert harness.redis.zscore(harness.ledger.key("kept"), "m") is None


def waits(harness: LedgerHarness) -> None:
    harness.accept()


def runs(harness: LedgerHarness) -> None:
    harness.accept()
    harness.claim()


def is_dead(harness: LedgerHarness) -> None:
    harness.accept()
    harness.lose(3)


def has_a_worker(harness: LedgerHarness) -> None:
    harness.run(register("m", Worker("w1", state="ready"), lifetime_seconds=500.0))


@pytest.mark.parametrize("state", [waits, runs, is_dead, has_a_worker])
def test_a_model_with_anything_left_is_kept(
    harness: LedgerHarness, state: Callable[[LedgerHarness], None]
) -> None:
    serve(harness)
    harness.advance(101)
    harness.prune()
    state(harness)
    before = keys_of_the_model(harness)
    assert not forgotten(harness)
    assert known(harness)
    assert keys_of_the_model(harness) == before


def test_a_worker_makes_its_model_known(harness: LedgerHarness) -> None:
    has_a_worker(harness)
    assert known(harness)
    harness.run(deregister("m", "w1"))
    assert not forgotten(harness)
    harness.advance(PATIENCE + 1)
    assert forgotten(harness)
    assert keys_of_the_model(harness) == []


def test_a_ledger_that_does_not_say_how_long_records_are_kept_is_given_time(
    harness: LedgerHarness,
) -> None:
    serve(harness)
    harness.redis.delete(harness.ledger.key("kept"))
    assert not forgotten(harness)
    harness.advance(PATIENCE - 1)
    assert not forgotten(harness)
    harness.advance(2)
    assert forgotten(harness)


def test_the_longest_kept_record_counts(harness: LedgerHarness) -> None:
    harness.accept(result_ttl=500.0)
    harness.finish(harness.claim())
    serve(harness)
    harness.advance(200)
    assert not forgotten(harness)
    harness.advance(301)
    assert forgotten(harness)


def test_a_model_that_comes_back_begins_anew(harness: LedgerHarness) -> None:
    serve(harness)
    harness.advance(101)
    assert forgotten(harness)
    serve(harness)
    assert known(harness)
    assert harness.sweep().counts == {"accepted": 1, "finished:succeeded": 1}
