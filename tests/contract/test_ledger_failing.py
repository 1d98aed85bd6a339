"""A model whose workers cannot start is called failing, with what the last one said, until one is ready."""

import pytest
from desk import Desk

from contract.ledger.transitions import (
    MOST_FAILURE_CHARACTERS,
    Created,
    ModelState,
    announce,
    fail,
    forget,
    leave,
    state,
)
from contract.ledger.workers import StartFailure, Worker, model_word

FAILURE = StartFailure("model_unloadable", "models.m: no such folder", 0.0)


def say(
    desk: Desk, name: str = "w1", state: str = "ready", *, start: str = "1", **more: str
) -> None:
    desk.run(announce("m", Worker(name, state, **more), start=start))


def break_down(desk: Desk, name: str = "w1") -> None:
    desk.run(fail("m", name, FAILURE.code, FAILURE.detail))


def seen(desk: Desk) -> ModelState:
    return desk.run(state(["m"]))["m"]


def created(desk: Desk) -> Created:
    (result,) = desk.create(desk.submission()).results
    assert isinstance(result, Created)
    return result


def test_what_a_worker_said_before_it_ended_is_told_with_its_age(desk: Desk) -> None:
    say(desk, state="starting", phase="loading")
    break_down(desk)
    desk.advance(40)

    failure = seen(desk).failure
    assert failure is not None
    assert (failure.code, failure.detail) == (FAILURE.code, FAILURE.detail)
    assert failure.seconds == pytest.approx(40, abs=1e-3)
    assert (seen(desk).word, seen(desk).workers) == ("failing", [])


def test_it_is_failing_while_the_next_one_starts_and_no_more_when_that_is_ready(desk: Desk) -> None:
    break_down(desk)
    say(desk, "w2", "starting", phase="loading")
    assert seen(desk).word == "failing"
    say(desk, "w2")
    assert (seen(desk).word, seen(desk).failure) == ("ready", None)


def test_a_worker_that_was_ready_before_does_not_take_it_back(desk: Desk) -> None:
    say(desk, "old")
    break_down(desk, "new")
    say(desk, "old")

    assert seen(desk).word == "ready"
    assert seen(desk).failure == FAILURE


def test_it_runs_out_by_itself(desk: Desk) -> None:
    break_down(desk)
    desk.advance(899)
    assert seen(desk).word == "failing"
    desk.advance(2)
    assert (seen(desk).word, seen(desk).failure) == ("cold", None)
    assert 0 < desk.redis.ttl(desk.ledger.key("failure", "m")) <= 900 + 86400


def test_it_is_bounded(desk: Desk) -> None:
    desk.run(fail("m", "w1", "c" * 1000, "d" * 10_000))

    failure = seen(desk).failure
    assert failure is not None
    assert (len(failure.code), len(failure.detail)) == (64, MOST_FAILURE_CHARACTERS)


def test_a_create_is_accepted_and_told_of_it_as_long_as_nobody_serves(desk: Desk) -> None:
    assert created(desk).failure is None
    break_down(desk)
    assert created(desk).failure == FAILURE
    say(desk, "w2", "starting", phase="loading")
    assert created(desk).failure == FAILURE
    say(desk, "w2")
    break_down(desk, "w3")
    assert created(desk).failure is None
    assert len(desk.claim("w2")) == 4
    say(desk, "w2", "draining")
    assert created(desk).failure is None


def test_a_worker_that_vanished_while_it_started_is_told_by_the_sweep(desk: Desk) -> None:
    say(desk, state="starting", phase="loading")
    desk.advance(16)
    desk.sweep()

    failure = seen(desk).failure
    assert failure is not None
    assert failure.code == "worker_lost"
    assert "while it was loading" in failure.detail


def test_a_worker_that_vanished_when_it_was_ready_is_no_failure_of_a_start(desk: Desk) -> None:
    say(desk)
    desk.advance(16)
    desk.sweep()

    assert seen(desk).failure is None


@pytest.mark.parametrize("phase", ["starting", "importing", "loading"])
def test_the_next_container_of_a_pod_tells_that_the_one_before_was_killed(
    desk: Desk, phase: str
) -> None:
    """Whatever either was at when it was heard first."""
    say(desk, state="starting", phase="starting")
    say(desk, state="starting", phase="importing")
    say(desk, state="starting", phase="importing")
    assert seen(desk).failure is None
    say(desk, state="starting", phase=phase, start="2")

    failure = seen(desk).failure
    assert failure is not None
    assert "while it was importing" in failure.detail


def test_the_next_container_of_one_that_served_tells_of_no_failed_start(desk: Desk) -> None:
    say(desk)
    say(desk, state="starting", phase="starting", start="2")

    assert seen(desk).failure is None


def test_a_worker_that_left_before_it_was_ready_without_words_is_told_of_and_one_that_had_words_is_not(
    desk: Desk,
) -> None:
    say(desk, state="starting", phase="importing")
    desk.run(leave("m", "w1", early=True))
    failure = seen(desk).failure
    assert failure is not None
    assert "while it was importing" in failure.detail

    say(desk, state="starting", phase="importing")
    break_down(desk)
    desk.run(leave("m", "w1", early=True))
    assert seen(desk).failure == FAILURE


def test_a_model_that_is_forgotten_has_no_failure_left(desk: Desk) -> None:
    break_down(desk)
    desk.run(forget("m", 0.0))
    desk.advance(1)
    assert desk.run(forget("m", 0.0))

    assert not desk.redis.exists(desk.ledger.key("failure", "m"))


@pytest.mark.parametrize(
    ("states", "word"),
    [([], "failing"), (["starting"], "failing"), (["draining"], "failing"), (["busy"], "busy")],
)
def test_failing_is_what_the_next_prediction_meets_unless_somebody_serves(
    states: list[str], word: str
) -> None:
    workers = [Worker(f"w{n}", state) for n, state in enumerate(states)]

    assert model_word(workers, FAILURE) == word
