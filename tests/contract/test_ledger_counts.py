"""What the ledger counts of a model: each prediction once for all that becomes of it, whatever is sent twice."""

import pytest
from desk import Desk

from contract.ledger.transitions import dead, release, replay


def counts(desk: Desk) -> dict[str, int]:
    return desk.sweep().counts


def test_a_model_without_predictions_has_no_counts(desk: Desk) -> None:
    assert counts(desk) == {}


def test_what_is_accepted_together_is_counted_each(desk: Desk) -> None:
    desk.create(*(desk.submission() for _ in range(5)))
    desk.accept()
    assert counts(desk) == {"accepted": 6}


def test_a_request_that_is_repeated_or_refused_is_not_accepted_again(desk: Desk) -> None:
    again = desk.submission(id="p", digest="d")
    desk.create(again)
    desk.create(again)
    desk.create(desk.submission(id="p", digest="another"))
    desk.create(desk.submission(max_queue=1))
    assert counts(desk) == {"accepted": 1}


def test_a_batch_is_counted_by_outcome_and_code_and_once_when_it_is_sent_again(desk: Desk) -> None:
    for _ in range(6):
        desk.accept()
    good, bad = desk.claim(), desk.claim("w2")
    for _ in range(2):
        desk.finish(good)
        desk.finish(bad, worker="w2", output="", error="no", error_code="model_error")
    assert counts(desk) == {
        "accepted": 6,
        "finished:succeeded": 4,
        "finished:failed": 2,
        "failed:model_error": 2,
    }


def test_an_answer_that_is_fenced_off_counts_nothing(desk: Desk) -> None:
    desk.accept()
    late = desk.claim()
    desk.advance(16)
    desk.sweep()
    desk.finish(desk.claim("w2"), worker="w2")
    assert desk.finish(late) == [late[0].id]
    assert counts(desk) == {"accepted": 1, "finished:succeeded": 1}


def test_a_cancel_counts_once_at_any_stage(desk: Desk) -> None:
    waits, runs = desk.accept(), desk.accept(credit_seconds=300.0)
    assert [one.id for one in desk.claim(limit=1)] == [runs]
    for id in (waits, runs, waits, runs):
        desk.cancel(id)
    assert counts(desk) == {"accepted": 2, "finished:canceled": 2}


@pytest.mark.parametrize("by", ["keeper", "claim"])
def test_a_missed_deadline_is_a_cancel_whoever_finds_it(desk: Desk, by: str) -> None:
    desk.accept(deadline_seconds=5.0)
    desk.advance(6)
    assert not (desk.claim() if by == "claim" else desk.expire().limits)
    desk.expire()
    assert counts(desk) == {"accepted": 1, "finished:canceled": 1}


def test_a_hard_limit_that_the_keeper_enforces_is_a_timeout(desk: Desk) -> None:
    desk.accept()
    desk.claim(timeout_seconds=10.0)
    desk.advance(13)
    desk.expire()
    assert counts(desk) == {"accepted": 1, "finished:failed": 1, "failed:timeout": 1}


def test_a_dead_prediction_fails_once_and_its_replay_is_a_new_one(desk: Desk) -> None:
    id = desk.accept()
    desk.lose(3)
    assert [kept.id for kept in desk.run(dead("m"))] == [id]
    for _ in range(2):
        desk.run(replay(id, "again", 4))
    assert counts(desk) == {"accepted": 2, "finished:failed": 1, "failed:worker_lost": 1}


@pytest.mark.parametrize("reason", ["drain", "device_lost", "timeout"])
def test_what_is_handed_back_is_counted_by_its_reason(desk: Desk, reason: str) -> None:
    desk.accept()
    desk.accept()
    attempts = [(c.id, c.attempt) for c in desk.claim()]
    for _ in range(2):
        desk.run(release(desk.holder(), attempts, idle=True, suspect=False, reason=reason))
    assert counts(desk) == {"accepted": 2, f"handed_back:{reason}": 2}


def test_counts_outlive_the_records(desk: Desk) -> None:
    desk.accept(result_ttl=10.0)
    desk.finish(desk.claim())
    desk.advance(11)
    assert desk.prune() == 1
    assert counts(desk) == {"accepted": 1, "finished:succeeded": 1}


def test_a_typical_time_is_unknown_as_long_as_nothing_ran(desk: Desk) -> None:
    assert desk.sweep().eta_seconds == 0
    desk.accept()
    assert desk.sweep().eta_seconds is None
    desk.finish(desk.claim())
    desk.accept()
    assert desk.sweep().eta_seconds == 0.5


def test_error_codes_that_a_model_makes_up_are_counted_together_beyond_a_hundred(
    desk: Desk,
) -> None:
    for n in range(150):
        desk.accept()
        desk.finish(desk.claim(limit=1), error="no", error_code=f"made_up_{n}" + "x" * 1000)
    found = counts(desk)
    assert len(found) == 101
    assert found["finished:failed"] == 150
    assert sum(number for what, number in found.items() if what.startswith("failed:")) == 150
    assert found["failed:other"] > 50
    assert max(map(len, found)) < 100
