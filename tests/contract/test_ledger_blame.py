"""Who is to blame when a worker ends: judged by what was claimed together; hand-backs are nobody's fault."""

import pytest
from desk import Desk

from contract.ledger.transitions import dead
from contract.prediction import Status

LIMIT = 60.0


def past_the_limit(desk: Desk) -> None:
    desk.advance(LIMIT + 2.1)
    desk.expire()


def run_alone(desk: Desk, *ids: str) -> None:
    """Each of these runs alone and ends."""
    for id in ids:
        (alone,) = desk.claim(timeout_seconds=LIMIT)
        assert alone.id == id
        assert desk.finish([alone]) == []


@pytest.mark.parametrize("how", ["cancel", "deadline", "finish"])
def test_the_mate_of_one_that_is_over_by_the_limit_runs_again(desk: Desk, how: str) -> None:
    desk.accept(id="hangs", deadline_seconds=30 if how == "deadline" else None)
    desk.accept(id="mate")
    hangs, _ = desk.claim(timeout_seconds=LIMIT)
    if how == "cancel":
        desk.cancel("hangs")
    elif how == "finish":
        desk.finish([hangs], idle=False)
    past_the_limit(desk)

    assert desk.status("hangs").terminal
    assert desk.status("mate") is Status.STARTING
    run_alone(desk, "mate")
    assert desk.status("mate") is Status.SUCCEEDED


def test_none_of_a_batch_that_is_larger_than_one_look_is_to_blame(desk: Desk) -> None:
    desk.create(*(desk.submission() for _ in range(501)))
    claimed = desk.claim(limit=501, timeout_seconds=LIMIT)
    assert len(claimed) == 501
    desk.advance(LIMIT + 2.1)

    assert [desk.expire().limits for _ in range(3)] == [500, 1, 0]
    assert {desk.status(c.id) for c in claimed} == {Status.STARTING}


def test_one_that_was_claimed_alone_is_to_blame(desk: Desk) -> None:
    desk.accept(id="a")
    desk.claim(timeout_seconds=LIMIT)
    past_the_limit(desk)

    assert desk.get("a").error_code == "timeout"


def test_a_suspect_that_runs_alone_is_to_blame(desk: Desk) -> None:
    desk.create(*(desk.submission(id=id) for id in "ab"))
    desk.claim(timeout_seconds=LIMIT)
    past_the_limit(desk)
    desk.claim(timeout_seconds=LIMIT)
    past_the_limit(desk)

    assert desk.get("a").error_code == "timeout"
    run_alone(desk, "b")


def test_two_batches_with_one_limit_are_judged_apart(desk: Desk) -> None:
    desk.create(*(desk.submission(id=id) for id in "ab"))
    for _ in range(2):
        desk.claim(limit=1, timeout_seconds=LIMIT)
    past_the_limit(desk)

    assert {desk.get(id).error_code for id in "ab"} == {"timeout"}


def test_what_an_older_version_claimed_is_judged_by_its_limit(desk: Desk) -> None:
    desk.create(*(desk.submission(id=id) for id in "abc"))
    desk.claim(limit=2, timeout_seconds=LIMIT)
    desk.advance(0.5)
    desk.claim(limit=1, timeout_seconds=LIMIT)
    for id in "abc":
        desk.redis.hdel(desk.ledger.key("prediction", id), "claimed_with")
    past_the_limit(desk)

    assert [desk.status(id) for id in "ab"] == [Status.STARTING] * 2
    assert desk.get("c").error_code == "timeout"


def test_a_suspect_that_is_handed_back_still_runs_alone(desk: Desk) -> None:
    desk.create(*(desk.submission(id=id) for id in "ab"))
    desk.release(desk.claim(), suspect=True)
    (alone,) = desk.claim()
    desk.release([alone])

    assert [[c.id for c in desk.claim(f"w{n}")] for n in range(2)] == [["a"], ["b"]]


def test_hand_backs_are_no_lost_workers(desk: Desk) -> None:
    desk.accept(id="a")
    for _ in range(20):
        desk.release(desk.claim())
    (last,) = desk.claim()

    assert last.attempt == 21
    assert desk.finish([last]) == []
    assert desk.status("a") is Status.SUCCEEDED


def test_lost_workers_are_counted_apart_from_hand_backs(desk: Desk) -> None:
    desk.accept(id="a")
    for _ in range(5):
        desk.release(desk.claim())
    desk.lose(2)
    for _ in range(5):
        desk.release(desk.claim())
    assert desk.status("a") is Status.STARTING
    desk.lose(1)

    found = desk.get("a")
    assert (found.error_code, found.attempt) == ("worker_lost", 13)
    assert found.error == "it lost its worker 3 times"
    assert [p.id for p in desk.run(dead("m"))] == ["a"]


def test_a_lost_device_counts_as_a_lost_worker(desk: Desk) -> None:
    desk.accept(id="a")
    for _ in range(3):
        assert desk.status("a") is Status.STARTING
        desk.release(desk.claim(), suspect=True, lost=True)

    assert desk.get("a").error_code == "worker_lost"


def test_what_is_handed_back_for_ever_ends_and_says_why(desk: Desk) -> None:
    desk.accept(id="a")
    for _ in range(100):
        assert desk.status("a") is Status.STARTING
        desk.release(desk.claim())

    found = desk.get("a")
    assert (found.status, found.error_code, found.attempt) == (
        Status.FAILED,
        "too_many_hand_backs",
        100,
    )
    assert "handed it back 100 times" in (found.error or "")
    assert desk.members("dead") == ["a"], "it can be replayed"
    assert desk.claim() == []


def test_the_starts_of_an_older_version_count_as_lost_workers(desk: Desk) -> None:
    """It counted no hand-backs: better one start too few than a poison that goes on for ever."""
    desk.accept(id="a")
    record = desk.ledger.key("prediction", "a")
    desk.redis.hset(record, mapping={"attempt": "2", "suspect": "0"})
    desk.lose(1)

    assert desk.get("a").error_code == "worker_lost"
