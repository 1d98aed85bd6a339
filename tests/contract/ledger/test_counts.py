"""What the ledger counts of a model: each prediction once for all that becomes of it, whatever is sent twice."""

import pytest

from contract.ledger.transitions import read_dead_list, release, replay
from tests.support.ledger_harness import LedgerHarness


def counts(harness: LedgerHarness) -> dict[str, int]:
    return harness.sweep().counts


def test_a_model_without_predictions_has_no_counts(harness: LedgerHarness) -> None:
    assert counts(harness) == {}


def test_what_is_accepted_together_is_counted_each(harness: LedgerHarness) -> None:
    harness.create(*(harness.new_prediction() for _ in range(5)))
    harness.accept()
    assert counts(harness) == {"accepted": 6}


def test_a_request_that_is_repeated_or_refused_is_not_accepted_again(
    harness: LedgerHarness,
) -> None:
    again = harness.new_prediction(id="p", digest="d")
    harness.create(again)
    harness.create(again)
    harness.create(harness.new_prediction(id="p", digest="another"))
    harness.create(harness.new_prediction(max_queue=1))
    assert counts(harness) == {"accepted": 1}


def test_a_batch_is_counted_by_outcome_and_code_and_once_when_it_is_sent_again(
    harness: LedgerHarness,
) -> None:
    for _ in range(6):
        harness.accept()
    good, bad = harness.claim(), harness.claim("w2")
    for _ in range(2):
        harness.finish(good)
        harness.finish(bad, worker="w2", output="", error="no", error_code="model_error")
    assert counts(harness) == {
        "accepted": 6,
        "finished:succeeded": 4,
        "finished:failed": 2,
        "failed:model_error": 2,
    }


def test_an_answer_that_is_fenced_off_counts_nothing(harness: LedgerHarness) -> None:
    harness.accept()
    late = harness.claim()
    harness.advance(16)
    harness.sweep()
    harness.finish(harness.claim("w2"), worker="w2")
    assert harness.finish(late) == [late[0].id]
    assert counts(harness) == {"accepted": 1, "finished:succeeded": 1}


def test_a_cancel_counts_once_at_any_stage(harness: LedgerHarness) -> None:
    waits, runs = harness.accept(), harness.accept(credit_seconds=300.0)
    assert [one.id for one in harness.claim(limit=1)] == [runs]
    for id in (waits, runs, waits, runs):
        harness.cancel(id)
    assert counts(harness) == {"accepted": 2, "finished:canceled": 2}


@pytest.mark.parametrize("by", ["keeper", "claim"])
def test_a_missed_deadline_is_a_cancel_whoever_finds_it(harness: LedgerHarness, by: str) -> None:
    harness.accept(deadline_seconds=5.0)
    harness.advance(6)
    assert not (harness.claim() if by == "claim" else harness.expire().limits)
    harness.expire()
    assert counts(harness) == {"accepted": 1, "finished:canceled": 1}


def test_a_hard_limit_that_the_keeper_enforces_is_a_timeout(harness: LedgerHarness) -> None:
    harness.accept()
    harness.claim(timeout_seconds=10.0)
    harness.advance(13)
    harness.expire()
    assert counts(harness) == {"accepted": 1, "finished:failed": 1, "failed:timeout": 1}


def test_a_dead_prediction_fails_once_and_its_replay_is_a_new_one(harness: LedgerHarness) -> None:
    id = harness.accept()
    harness.lose(3)
    assert [kept.id for kept in harness.run(read_dead_list("m"))] == [id]
    for _ in range(2):
        harness.run(replay(id, "again", 4))
    assert counts(harness) == {"accepted": 2, "finished:failed": 1, "failed:worker_lost": 1}


@pytest.mark.parametrize("reason", ["drain", "device_lost", "timeout"])
def test_what_is_handed_back_is_counted_by_its_reason(harness: LedgerHarness, reason: str) -> None:
    harness.accept()
    harness.accept()
    attempts = [(c.id, c.attempt) for c in harness.claim()]
    for _ in range(2):
        harness.run(release(harness.terms(), attempts, idle=True, suspect=False, reason=reason))
    assert counts(harness) == {"accepted": 2, f"handed_back:{reason}": 2}


def test_counts_outlive_the_records(harness: LedgerHarness) -> None:
    harness.accept(result_ttl=10.0)
    harness.finish(harness.claim())
    harness.advance(11)
    assert harness.prune() == 1
    assert counts(harness) == {"accepted": 1, "finished:succeeded": 1}


def test_a_typical_time_is_unknown_as_long_as_nothing_ran(harness: LedgerHarness) -> None:
    assert harness.sweep().eta_seconds == 0
    harness.accept()
    assert harness.sweep().eta_seconds is None
    harness.finish(harness.claim())
    harness.accept()
    assert harness.sweep().eta_seconds == 0.5


def test_error_codes_that_a_model_makes_up_are_counted_together_beyond_a_hundred(
    harness: LedgerHarness,
) -> None:
    for n in range(150):
        harness.accept()
        harness.finish(harness.claim(limit=1), error="no", error_code=f"made_up_{n}" + "x" * 1000)
    found = counts(harness)
    assert len(found) == 101
    assert found["finished:failed"] == 150
    assert sum(number for what, number in found.items() if what.startswith("failed:")) == 150
    assert found["failed:other"] > 50
    assert max(map(len, found)) < 100
