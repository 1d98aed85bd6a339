"""What workers say of themselves: registered, renewed, taken back, and the state of a model that follows."""

import pytest

from contract.ledger.transitions import (
    ModelSnapshot,
    deregister,
    read_models,
    register,
    register_catalog,
)
from contract.ledger.workers import REPEAT_SHARE, Worker, model_state
from tests.support.ledger_harness import LedgerHarness


def say(harness: LedgerHarness, name: str = "w1", state: str = "ready", **more: str) -> None:
    harness.run(register("m", Worker(name, state, **more)))


def seen(harness: LedgerHarness) -> ModelSnapshot:
    return harness.run(read_models(["m"]))["m"]


def words(harness: LedgerHarness) -> dict[str, str]:
    return {worker.name: worker.state for worker in seen(harness).workers}


def test_what_a_worker_says_of_itself_is_read_in_full(harness: LedgerHarness) -> None:
    device = {"device": "cuda:0", "gpu_name": "NVIDIA H200", "gpu_uuid": "GPU-1", "version": "1.2"}
    say(harness, state="starting", phase="loading", **device)

    assert seen(harness).workers == [Worker("w1", "starting", "loading", **device)]


def test_a_model_without_workers_is_cold(harness: LedgerHarness) -> None:
    harness.accept()

    assert (seen(harness).state, seen(harness).workers) == ("cold", [])


def test_a_model_goes_from_starting_to_ready_to_busy_and_back(harness: LedgerHarness) -> None:
    said = [seen(harness).state]
    say(harness, state="starting", phase="loading")
    said.append(seen(harness).state)
    say(harness)
    said.append(seen(harness).state)
    harness.accept()
    claimed = harness.claim()
    said.append(seen(harness).state)
    harness.finish(claimed)
    said.append(seen(harness).state)
    harness.run(deregister("m", "w1"))
    said.append(seen(harness).state)

    assert said == ["cold", "starting", "ready", "busy", "ready", "cold"]


@pytest.mark.parametrize(
    ("states", "word"),
    [
        ([], "cold"),
        (["draining"], "cold"),
        (["draining", "starting"], "starting"),
        (["starting", "busy"], "busy"),
        (["busy", "ready"], "ready"),
        (["starting", "ready"], "ready"),
        (["dreaming"], "cold"),
    ],
)
def test_the_word_for_a_model_says_what_its_next_prediction_meets(
    states: list[str], word: str
) -> None:
    assert model_state(Worker(f"w{n}", state) for n, state in enumerate(states)) == word


def test_a_worker_that_died_is_gone_when_its_time_is_over(harness: LedgerHarness) -> None:
    say(harness, "w1")
    harness.advance(10)
    say(harness, "w2")
    assert list(words(harness)) == ["w1", "w2"]
    harness.advance(5.001)
    assert list(words(harness)) == ["w2"]

    harness.sweep()
    assert list(harness.redis.hgetall(harness.ledger.key("workers", "m"))) == [b"w2"]


def test_announcements_of_a_model_that_nobody_sweeps_end_by_themselves_within_a_day(
    harness: LedgerHarness,
) -> None:
    say(harness)

    assert 86400 < harness.redis.ttl(harness.ledger.key("workers", "m")) <= 86415


def test_a_state_counts_its_seconds_over_repeated_announcements(harness: LedgerHarness) -> None:
    for _ in range(3):
        say(harness, state="starting", phase="loading")
        harness.advance(5)
    assert seen(harness).workers[0].state_seconds == pytest.approx(15, abs=1e-3)
    say(harness)
    harness.advance(2)
    assert seen(harness).workers[0].state_seconds == pytest.approx(2, abs=1e-3)


def test_a_busy_worker_counts_the_seconds_of_its_batch(harness: LedgerHarness) -> None:
    say(harness)
    harness.advance(10)
    harness.accept()
    harness.claim()
    harness.advance(3)
    (worker,) = seen(harness).workers

    assert (worker.state, worker.state_seconds) == ("busy", pytest.approx(3, abs=1e-3))


def test_a_worker_that_drains_with_a_batch_still_drains(harness: LedgerHarness) -> None:
    harness.accept()
    harness.claim()
    say(harness, state="draining")

    assert words(harness) == {"w1": "draining"}
    assert seen(harness).busy == 1


def test_a_worker_of_an_older_version_is_known_by_its_lease(harness: LedgerHarness) -> None:
    harness.accept()
    harness.claim("old")
    harness.redis.delete(harness.ledger.key("claimed", "m"))

    assert seen(harness).workers == [Worker("old", "busy")]
    assert seen(harness).state == "busy"
    harness.advance(15.001)
    assert seen(harness).state == "cold"


def test_what_a_newer_worker_says_beyond_us_is_left_out() -> None:
    record = {"name": "w1", "state": "ready", "since": 1.0, "expires": 2.0, "mood": "fine"}

    assert Worker.from_record(record) == Worker("w1", "ready")


def test_leaving_twice_or_without_having_come_is_no_fault(harness: LedgerHarness) -> None:
    for _ in range(2):
        harness.run(deregister("m", "nobody"))


def test_an_idle_worker_that_speaks_as_seldom_as_it_may_is_no_outage(
    harness: LedgerHarness,
) -> None:
    for _ in range(5):
        say(harness)
        harness.be_away(REPEAT_SHARE * 15)
    say(harness)

    assert not harness.redis.hexists(harness.ledger.key("heard", "m"), "from")


def test_a_keeper_that_only_names_its_catalog_lets_a_worker_that_died_run_out_in_time(
    harness: LedgerHarness,
) -> None:
    say(harness)
    for _ in range(4):
        harness.be_away(REPEAT_SHARE * 15)
        harness.run(register_catalog({"m": "e" * 32}, 15.0, ["m"]))
    harness.sweep()

    assert words(harness) == {}
