"""A model whose workers cannot start is called failing, with what the last one said, until one is ready."""

import pytest

from contract.ledger.transitions import (
    MOST_FAILURE_CHARACTERS,
    Created,
    ModelSnapshot,
    deregister,
    forget_model,
    note_start_failure,
    read_models,
    register,
)
from contract.ledger.workers import StartFailure, Worker, model_state
from tests.support.ledger_harness import LedgerHarness

FAILURE = StartFailure("model_unloadable", "models.m: no such folder", 0.0)


def say(
    harness: LedgerHarness, name: str = "w1", state: str = "ready", *, start: str = "1", **more: str
) -> None:
    harness.run(register("m", Worker(name, state, **more), start=start))


def break_down(harness: LedgerHarness, name: str = "w1") -> None:
    harness.run(note_start_failure("m", name, FAILURE.code, FAILURE.detail))


def seen(harness: LedgerHarness) -> ModelSnapshot:
    return harness.run(read_models(["m"]))["m"]


def created(harness: LedgerHarness) -> Created:
    (result,) = harness.create(harness.new_prediction()).results
    assert isinstance(result, Created)
    return result


def test_what_a_worker_said_before_it_ended_is_shown_with_its_age(harness: LedgerHarness) -> None:
    say(harness, state="starting", phase="loading")
    break_down(harness)
    harness.advance(40)

    failure = seen(harness).failure
    assert failure is not None
    assert (failure.code, failure.detail) == (FAILURE.code, FAILURE.detail)
    assert failure.seconds == pytest.approx(40, abs=1e-3)
    assert (seen(harness).state, seen(harness).workers) == ("failing", [])


def test_it_is_failing_while_the_next_one_starts_and_no_more_when_that_is_ready(
    harness: LedgerHarness,
) -> None:
    break_down(harness)
    say(harness, "w2", "starting", phase="loading")
    assert seen(harness).state == "failing"
    say(harness, "w2")
    assert (seen(harness).state, seen(harness).failure) == ("ready", None)


def test_a_worker_that_was_ready_before_does_not_take_it_back(harness: LedgerHarness) -> None:
    say(harness, "old")
    break_down(harness, "new")
    say(harness, "old")

    assert seen(harness).state == "ready"
    assert seen(harness).failure == FAILURE


def test_it_runs_out_by_itself(harness: LedgerHarness) -> None:
    break_down(harness)
    harness.advance(899)
    assert seen(harness).state == "failing"
    harness.advance(2)
    assert (seen(harness).state, seen(harness).failure) == ("cold", None)
    assert 0 < harness.redis.ttl(harness.ledger.key("failure", "m")) <= 900 + 86400


def test_it_is_bounded(harness: LedgerHarness) -> None:
    harness.run(note_start_failure("m", "w1", "c" * 1000, "d" * 10_000))

    failure = seen(harness).failure
    assert failure is not None
    assert (len(failure.code), len(failure.detail)) == (64, MOST_FAILURE_CHARACTERS)


def test_a_create_is_accepted_with_the_failure_as_long_as_nobody_serves(
    harness: LedgerHarness,
) -> None:
    assert created(harness).failure is None
    break_down(harness)
    assert created(harness).failure == FAILURE
    say(harness, "w2", "starting", phase="loading")
    assert created(harness).failure == FAILURE
    say(harness, "w2")
    break_down(harness, "w3")
    assert created(harness).failure is None
    assert len(harness.claim("w2")) == 4
    say(harness, "w2", "draining")
    assert created(harness).failure is None


def test_a_worker_that_vanished_while_it_started_is_noted_by_the_sweep(
    harness: LedgerHarness,
) -> None:
    say(harness, state="starting", phase="loading")
    harness.advance(16)
    harness.sweep()

    failure = seen(harness).failure
    assert failure is not None
    assert failure.code == "worker_lost"
    assert "while it was loading" in failure.detail


def test_a_worker_that_vanished_when_it_was_ready_is_no_failure_of_a_start(
    harness: LedgerHarness,
) -> None:
    say(harness)
    harness.advance(16)
    harness.sweep()

    assert seen(harness).failure is None


@pytest.mark.parametrize("phase", ["starting", "importing", "loading"])
def test_the_next_container_of_a_pod_notes_that_the_one_before_was_killed(
    harness: LedgerHarness, phase: str
) -> None:
    """Whatever either was at when it was heard first."""
    say(harness, state="starting", phase="starting")
    say(harness, state="starting", phase="importing")
    say(harness, state="starting", phase="importing")
    assert seen(harness).failure is None
    say(harness, state="starting", phase=phase, start="2")

    failure = seen(harness).failure
    assert failure is not None
    assert "while it was importing" in failure.detail


def test_the_next_container_of_one_that_served_notes_no_failed_start(
    harness: LedgerHarness,
) -> None:
    say(harness)
    say(harness, state="starting", phase="starting", start="2")

    assert seen(harness).failure is None


def test_a_worker_that_left_before_it_was_ready_without_words_is_noted_and_one_that_had_words_is_not(
    harness: LedgerHarness,
) -> None:
    say(harness, state="starting", phase="importing")
    harness.run(deregister("m", "w1", early=True))
    failure = seen(harness).failure
    assert failure is not None
    assert "while it was importing" in failure.detail

    say(harness, state="starting", phase="importing")
    break_down(harness)
    harness.run(deregister("m", "w1", early=True))
    assert seen(harness).failure == FAILURE


def test_a_model_that_is_forgotten_has_no_failure_left(harness: LedgerHarness) -> None:
    break_down(harness)
    harness.run(forget_model("m", 0.0))
    harness.advance(1)
    assert harness.run(forget_model("m", 0.0))

    assert not harness.redis.exists(harness.ledger.key("failure", "m"))


@pytest.mark.parametrize(
    ("states", "word"),
    [([], "failing"), (["starting"], "failing"), (["draining"], "failing"), (["busy"], "busy")],
)
def test_failing_is_what_the_next_prediction_meets_unless_somebody_serves(
    states: list[str], word: str
) -> None:
    workers = [Worker(f"w{n}", state) for n, state in enumerate(states)]

    assert model_state(workers, FAILURE) == word
