"""Who is to blame when a worker ends: judged by what was claimed together; hand-backs are nobody's fault."""

import pytest

from contract.ledger.transitions import read_dead_list
from contract.prediction import Status
from tests.support.ledger_harness import LedgerHarness

LIMIT = 60.0


def past_the_limit(harness: LedgerHarness) -> None:
    harness.advance(LIMIT + 2.1)
    harness.expire()


def run_alone(harness: LedgerHarness, *ids: str) -> None:
    """Each of these runs alone and ends."""
    for id in ids:
        (alone,) = harness.claim(timeout_seconds=LIMIT)
        assert alone.id == id
        assert harness.finish([alone]) == []


@pytest.mark.parametrize("how", ["cancel", "deadline", "finish"])
def test_the_mate_of_one_that_is_over_by_the_limit_runs_again(
    harness: LedgerHarness, how: str
) -> None:
    harness.accept(id="hangs", deadline_seconds=30 if how == "deadline" else None)
    harness.accept(id="mate")
    hangs, _ = harness.claim(timeout_seconds=LIMIT)
    if how == "cancel":
        harness.cancel("hangs")
    elif how == "finish":
        harness.finish([hangs], idle=False)
    past_the_limit(harness)

    assert harness.status("hangs").terminal
    assert harness.status("mate") is Status.STARTING
    run_alone(harness, "mate")
    assert harness.status("mate") is Status.SUCCEEDED


def test_none_of_a_batch_that_is_larger_than_one_call_is_to_blame(harness: LedgerHarness) -> None:
    harness.create(*(harness.new_prediction() for _ in range(501)))
    claimed = harness.claim(limit=501, timeout_seconds=LIMIT)
    assert len(claimed) == 501
    harness.advance(LIMIT + 2.1)

    assert [harness.expire().limits for _ in range(3)] == [500, 1, 0]
    assert {harness.status(c.id) for c in claimed} == {Status.STARTING}


def test_one_that_was_claimed_alone_is_to_blame(harness: LedgerHarness) -> None:
    harness.accept(id="a")
    harness.claim(timeout_seconds=LIMIT)
    past_the_limit(harness)

    assert harness.get("a").error_code == "timeout"


def test_a_suspect_that_runs_alone_is_to_blame(harness: LedgerHarness) -> None:
    harness.create(*(harness.new_prediction(id=id) for id in "ab"))
    harness.claim(timeout_seconds=LIMIT)
    past_the_limit(harness)
    harness.claim(timeout_seconds=LIMIT)
    past_the_limit(harness)

    assert harness.get("a").error_code == "timeout"
    run_alone(harness, "b")


def test_two_batches_with_one_limit_are_judged_apart(harness: LedgerHarness) -> None:
    harness.create(*(harness.new_prediction(id=id) for id in "ab"))
    for _ in range(2):
        harness.claim(limit=1, timeout_seconds=LIMIT)
    past_the_limit(harness)

    assert {harness.get(id).error_code for id in "ab"} == {"timeout"}


def test_what_an_older_version_claimed_is_judged_by_its_limit(harness: LedgerHarness) -> None:
    harness.create(*(harness.new_prediction(id=id) for id in "abc"))
    harness.claim(limit=2, timeout_seconds=LIMIT)
    harness.advance(0.5)
    harness.claim(limit=1, timeout_seconds=LIMIT)
    for id in "abc":
        harness.redis.hdel(harness.ledger.key("prediction", id), "claimed_with")
    past_the_limit(harness)

    assert [harness.status(id) for id in "ab"] == [Status.STARTING] * 2
    assert harness.get("c").error_code == "timeout"


def test_a_suspect_that_is_handed_back_still_runs_alone(harness: LedgerHarness) -> None:
    harness.create(*(harness.new_prediction(id=id) for id in "ab"))
    harness.release(harness.claim(), suspect=True)
    (alone,) = harness.claim()
    harness.release([alone])

    assert [[c.id for c in harness.claim(f"w{n}")] for n in range(2)] == [["a"], ["b"]]


def test_hand_backs_are_no_lost_workers(harness: LedgerHarness) -> None:
    harness.accept(id="a")
    for _ in range(20):
        harness.release(harness.claim())
    (last,) = harness.claim()

    assert last.attempt == 21
    assert harness.finish([last]) == []
    assert harness.status("a") is Status.SUCCEEDED


def test_lost_workers_are_counted_apart_from_hand_backs(harness: LedgerHarness) -> None:
    harness.accept(id="a")
    for _ in range(5):
        harness.release(harness.claim())
    harness.lose(2)
    for _ in range(5):
        harness.release(harness.claim())
    assert harness.status("a") is Status.STARTING
    harness.lose(1)

    found = harness.get("a")
    assert (found.error_code, found.attempt) == ("worker_lost", 13)
    assert found.error == "it lost its worker 3 times"
    assert [p.id for p in harness.run(read_dead_list("m"))] == ["a"]


def test_a_lost_device_counts_as_a_lost_worker(harness: LedgerHarness) -> None:
    harness.accept(id="a")
    for _ in range(3):
        assert harness.status("a") is Status.STARTING
        harness.release(harness.claim(), suspect=True, lost=True)

    assert harness.get("a").error_code == "worker_lost"


def test_what_is_handed_back_for_ever_ends_and_says_why(harness: LedgerHarness) -> None:
    harness.accept(id="a")
    for _ in range(100):
        assert harness.status("a") is Status.STARTING
        harness.release(harness.claim())

    found = harness.get("a")
    assert (found.status, found.error_code, found.attempt) == (
        Status.FAILED,
        "too_many_hand_backs",
        100,
    )
    assert "handed it back 100 times" in (found.error or "")
    assert harness.members("dead") == ["a"], "it can be replayed"
    assert harness.claim() == []


def test_the_starts_of_an_older_version_count_as_lost_workers(harness: LedgerHarness) -> None:
    """It counted no hand-backs: better one start too few than a poison that goes on for ever."""
    harness.accept(id="a")
    record = harness.ledger.key("prediction", "a")
    harness.redis.hset(record, mapping={"attempt": "2", "suspect": "0"})
    harness.lose(1)

    assert harness.get("a").error_code == "worker_lost"
