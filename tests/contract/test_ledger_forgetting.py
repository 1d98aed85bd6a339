"""A model that left every catalog is forgotten once nothing of it is left, and not a moment before."""

from collections.abc import Callable

import pytest
from desk import Desk

from contract.ledger.transitions import announce, forget, leave
from contract.ledger.workers import Worker

PATIENCE = 1000.0


def forgotten(desk: Desk) -> bool:
    return desk.run(forget("m", PATIENCE))


def keys_of_the_model(desk: Desk) -> list[str]:
    found = desk.redis.scan_iter(f"{desk.ledger.prefix}*:m")
    return sorted(key.decode().removeprefix(desk.ledger.prefix) for key in found)


def known(desk: Desk) -> bool:
    return bool(desk.redis.sismember(desk.ledger.key("models"), "m"))


def serve(desk: Desk) -> None:
    """One prediction from begin to end; its message is still there."""
    desk.accept(result_ttl=100.0)
    desk.finish(desk.claim())


def test_what_is_left_of_a_served_model_goes_with_its_last_record(desk: Desk) -> None:
    serve(desk)
    desk.advance(99)
    assert not forgotten(desk)
    desk.advance(2)
    desk.prune()
    assert forgotten(desk)
    assert not known(desk)
    assert keys_of_the_model(desk) == []
    assert desk.redis.zscore(desk.ledger.key("kept"), "m") is None


def waits(desk: Desk) -> None:
    desk.accept()


def runs(desk: Desk) -> None:
    desk.accept()
    desk.claim()


def is_dead(desk: Desk) -> None:
    desk.accept()
    desk.lose(3)


def has_a_worker(desk: Desk) -> None:
    desk.run(announce("m", Worker("w1", state="ready"), lifetime_seconds=500.0))


@pytest.mark.parametrize("state", [waits, runs, is_dead, has_a_worker])
def test_a_model_with_anything_left_is_kept(desk: Desk, state: Callable[[Desk], None]) -> None:
    serve(desk)
    desk.advance(101)
    desk.prune()
    state(desk)
    before = keys_of_the_model(desk)
    assert not forgotten(desk)
    assert known(desk)
    assert keys_of_the_model(desk) == before


def test_a_worker_makes_its_model_known(desk: Desk) -> None:
    has_a_worker(desk)
    assert known(desk)
    desk.run(leave("m", "w1"))
    assert not forgotten(desk)
    desk.advance(PATIENCE + 1)
    assert forgotten(desk)
    assert keys_of_the_model(desk) == []


def test_a_ledger_that_does_not_say_how_long_records_are_kept_is_given_time(desk: Desk) -> None:
    serve(desk)
    desk.redis.delete(desk.ledger.key("kept"))
    assert not forgotten(desk)
    desk.advance(PATIENCE - 1)
    assert not forgotten(desk)
    desk.advance(2)
    assert forgotten(desk)


def test_the_longest_kept_record_counts(desk: Desk) -> None:
    desk.accept(result_ttl=500.0)
    desk.finish(desk.claim())
    serve(desk)
    desk.advance(200)
    assert not forgotten(desk)
    desk.advance(301)
    assert forgotten(desk)


def test_a_model_that_comes_back_begins_anew(desk: Desk) -> None:
    serve(desk)
    desk.advance(101)
    assert forgotten(desk)
    serve(desk)
    assert known(desk)
    assert desk.sweep().counts == {"accepted": 1, "finished:succeeded": 1}
