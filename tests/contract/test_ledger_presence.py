"""Workers announce themselves, and a model's state follows from who is there."""

import pytest
from desk import Desk

from contract.ledger.transitions import ModelState, announce, leave, name, state
from contract.ledger.workers import REPEAT_SHARE, Worker, model_word


def say(desk: Desk, name: str = "w1", state: str = "ready", **more: str) -> None:
    desk.run(announce("m", Worker(name, state, **more)))


def seen(desk: Desk) -> ModelState:
    return desk.run(state(["m"]))["m"]


def words(desk: Desk) -> dict[str, str]:
    return {worker.name: worker.state for worker in seen(desk).workers}


def test_what_a_worker_says_of_itself_is_read_in_full(desk: Desk) -> None:
    device = {"device": "cuda:0", "gpu_name": "NVIDIA H200", "gpu_uuid": "GPU-1", "version": "1.2"}
    say(desk, state="starting", phase="loading", **device)

    assert seen(desk).workers == [Worker("w1", "starting", "loading", **device)]


def test_a_model_without_workers_is_cold(desk: Desk) -> None:
    desk.accept()

    assert (seen(desk).word, seen(desk).workers) == ("cold", [])


def test_a_model_goes_from_starting_to_ready_to_busy_and_back(desk: Desk) -> None:
    said = [seen(desk).word]
    say(desk, state="starting", phase="loading")
    said.append(seen(desk).word)
    say(desk)
    said.append(seen(desk).word)
    desk.accept()
    claimed = desk.claim()
    said.append(seen(desk).word)
    desk.finish(claimed)
    said.append(seen(desk).word)
    desk.run(leave("m", "w1"))
    said.append(seen(desk).word)

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
    assert model_word(Worker(f"w{n}", state) for n, state in enumerate(states)) == word


def test_a_worker_that_died_is_gone_when_its_time_is_over(desk: Desk) -> None:
    say(desk, "w1")
    desk.advance(10)
    say(desk, "w2")
    assert list(words(desk)) == ["w1", "w2"]
    desk.advance(5.001)
    assert list(words(desk)) == ["w2"]

    desk.sweep()
    assert list(desk.redis.hgetall(desk.ledger.key("workers", "m"))) == [b"w2"]


def test_announcements_of_a_model_that_nobody_sweeps_end_by_themselves_within_a_day(
    desk: Desk,
) -> None:
    say(desk)

    assert 86400 < desk.redis.ttl(desk.ledger.key("workers", "m")) <= 86415


def test_a_state_counts_its_seconds_over_repeated_announcements(desk: Desk) -> None:
    for _ in range(3):
        say(desk, state="starting", phase="loading")
        desk.advance(5)
    assert seen(desk).workers[0].state_seconds == pytest.approx(15, abs=1e-3)
    say(desk)
    desk.advance(2)
    assert seen(desk).workers[0].state_seconds == pytest.approx(2, abs=1e-3)


def test_a_busy_worker_counts_the_seconds_of_its_batch(desk: Desk) -> None:
    say(desk)
    desk.advance(10)
    desk.accept()
    desk.claim()
    desk.advance(3)
    (worker,) = seen(desk).workers

    assert (worker.state, worker.state_seconds) == ("busy", pytest.approx(3, abs=1e-3))


def test_a_worker_that_drains_with_a_batch_still_drains(desk: Desk) -> None:
    desk.accept()
    desk.claim()
    say(desk, state="draining")

    assert words(desk) == {"w1": "draining"}
    assert seen(desk).busy == 1


def test_a_worker_of_an_older_version_is_known_by_its_lease(desk: Desk) -> None:
    desk.accept()
    desk.claim("old")
    desk.redis.delete(desk.ledger.key("claimed", "m"))

    assert seen(desk).workers == [Worker("old", "busy")]
    assert seen(desk).word == "busy"
    desk.advance(15.001)
    assert seen(desk).word == "cold"


def test_what_a_newer_worker_says_beyond_us_is_left_out() -> None:
    record = {"name": "w1", "state": "ready", "since": 1.0, "expires": 2.0, "mood": "fine"}

    assert Worker.from_record(record) == Worker("w1", "ready")


def test_leaving_twice_or_without_having_come_is_no_fault(desk: Desk) -> None:
    for _ in range(2):
        desk.run(leave("m", "nobody"))


def test_the_state_estimates_the_time_of_what_waits(desk: Desk) -> None:
    assert seen(desk).eta_seconds is None
    desk.create(*(desk.submission() for _ in range(12)))
    assert seen(desk).eta_seconds is None
    desk.finish(desk.claim())  # four of them in half a second

    assert seen(desk).eta_seconds == 1.0


def test_an_idle_worker_that_speaks_as_seldom_as_it_may_is_no_outage(desk: Desk) -> None:
    for _ in range(5):
        say(desk)
        desk.be_away(REPEAT_SHARE * 15)
    say(desk)

    assert not desk.redis.hexists(desk.ledger.key("heard", "m"), "from")


def test_a_keeper_that_only_names_its_catalog_lets_a_worker_that_died_run_out_in_time(
    desk: Desk,
) -> None:
    say(desk)
    for _ in range(4):
        desk.be_away(REPEAT_SHARE * 15)
        desk.run(name({"m": "e" * 32}, 15.0, ["m"]))
    desk.sweep()

    assert words(desk) == {}
