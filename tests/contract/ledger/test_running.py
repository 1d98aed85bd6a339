"""What a worker does with predictions: claims, leases that are renewed, and what it hands back."""

import pytest

from contract.prediction import Status
from tests.support.ledger_harness import START, LedgerHarness


def test_a_claim_takes_the_oldest_up_to_a_batch_and_sends_wakeups_for_the_rest(
    harness: LedgerHarness,
) -> None:
    harness.create(*(harness.new_prediction(id=id, input=f'"{id}"') for id in "abcde"))
    assert harness.wakeups == [1, 2]
    harness.advance(3)
    claimed = harness.claim(wakeup=1)

    assert [c.id for c in claimed] == list("abcd")
    assert [c.input for c in claimed] == ['"a"', '"b"', '"c"', '"d"']
    assert {c.attempt for c in claimed} == {1}
    assert claimed[0].queue_seconds == pytest.approx(3, abs=1e-3)
    assert harness.members("queued") == ["e"]
    assert harness.members("running") == list("abcd")
    assert harness.members("busy") == ["w1"]
    assert harness.members("wakeups") == ["2"]
    found = harness.get("a")
    assert (found.status, found.attempt, found.worker) == (Status.PROCESSING, 1, "w1")
    assert found.started_at == START + 3
    assert found.queue_position is None


def test_a_claim_may_ask_for_less_than_a_batch(harness: LedgerHarness) -> None:
    harness.create(*(harness.new_prediction(id=id) for id in "abc"))

    assert [c.id for c in harness.claim(limit=2)] == ["a", "b"]


@pytest.mark.parametrize("wakeup", [0, 1, 999])
def test_a_claim_by_a_stale_or_doubled_wakeup_is_harmless(
    harness: LedgerHarness, wakeup: int
) -> None:
    harness.accept(id="a")
    harness.claim(wakeup=1)

    assert harness.claim("w2", wakeup=wakeup) == []
    assert harness.members("running") == ["a"]
    assert harness.members("busy") == ["w1"], "who found nothing is not busy"


def test_a_stale_wakeup_takes_what_waits_and_leaves_the_wakeups_of_others(
    harness: LedgerHarness,
) -> None:
    harness.accept(id="a")
    (claimed,) = harness.claim(wakeup=999)

    assert claimed.id == "a"
    assert harness.members("wakeups") == ["1"], "its message is still on its way"
    assert harness.claim("w2", wakeup=1) == []


def test_a_claim_that_leaves_something_waiting_sends_a_wakeup_when_no_message_is_out(
    harness: LedgerHarness,
) -> None:
    harness.create(*(harness.new_prediction() for _ in range(5)))
    harness.claim(wakeup=2)
    harness.wakeups.clear()
    harness.create(*(harness.new_prediction() for _ in range(4)))
    harness.claim(wakeup=1)

    assert len(harness.members("queued")) == 1
    assert harness.members("wakeups") == [str(wakeup) for wakeup in harness.wakeups]
    assert len(harness.wakeups) == 1


def test_what_passed_its_deadline_never_runs(harness: LedgerHarness) -> None:
    harness.accept(id="a", deadline_seconds=5)
    harness.accept(id="b")
    harness.advance(5)

    assert [c.id for c in harness.claim()] == ["b"]
    found = harness.get("a")
    assert (found.status, found.error_code) == (Status.CANCELED, "deadline_exceeded")
    assert found.attempt == 0
    assert found.started_at is None


def test_a_suspect_runs_alone(harness: LedgerHarness) -> None:
    harness.create(*(harness.new_prediction(id=id) for id in "abc"))
    harness.release(harness.claim(), suspect=True)
    harness.advance(1)
    harness.accept(id="d")

    batches = [[c.id for c in harness.claim(f"w{n}")] for n in range(4)]
    assert batches == [["a"], ["b"], ["c"], ["d"]]


def test_a_suspect_ends_the_batch_before_it(harness: LedgerHarness) -> None:
    harness.create(*(harness.new_prediction(id=id) for id in "ab"))
    harness.release(harness.claim(), suspect=True)
    harness.accept(id="early", credit_seconds=300)

    assert [c.id for c in harness.claim()] == ["early"]
    assert [c.id for c in harness.claim()] == ["a"]


def test_a_record_that_was_evicted_does_not_hold_up_the_queue(harness: LedgerHarness) -> None:
    harness.create(*(harness.new_prediction(id=id) for id in "ab"))
    harness.redis.delete(harness.ledger.key("prediction", "a"))

    assert [c.id for c in harness.claim()] == ["b"]
    assert harness.members("queued") == []


def test_extending_holds_the_lease(harness: LedgerHarness) -> None:
    harness.accept(id="a")
    claimed = harness.claim()
    for _ in range(4):
        harness.advance(10)
        assert harness.extend(claimed) == []
        assert harness.sweep().taken_back == 0

    assert harness.members("busy") == ["w1"]
    assert harness.finish(claimed) == []


def test_extending_reports_what_was_canceled(harness: LedgerHarness) -> None:
    harness.create(*(harness.new_prediction(id=id) for id in "abc"))
    claimed = harness.claim()
    harness.cancel("b")

    assert harness.extend(claimed) == ["b"]
    assert harness.members("running") == ["a", "c"]


def test_extending_reports_what_was_taken_back_or_given_to_another(harness: LedgerHarness) -> None:
    harness.accept(id="a")
    claimed = harness.claim("w1")
    harness.advance(16)
    harness.sweep()
    assert harness.extend(claimed) == [], "nobody has it yet, so it may still be finished"
    assert harness.members("running") == []

    harness.claim("w2")
    assert harness.extend(claimed) == ["a"]
    assert harness.redis.zscore(harness.ledger.key("running", "m"), "a") == harness.now + 15


def test_a_lease_that_ended_unnoticed_can_still_be_extended(harness: LedgerHarness) -> None:
    harness.accept(id="a")
    claimed = harness.claim()
    harness.advance(100)

    assert harness.extend(claimed) == []
    assert harness.sweep().taken_back == 0


def test_released_predictions_wait_in_their_old_place(harness: LedgerHarness) -> None:
    harness.create(*(harness.new_prediction(id=id) for id in "ab"))
    claimed = harness.claim(wakeup=1)
    harness.advance(1)
    harness.accept(id="c")
    harness.advance(1)
    harness.wakeups.clear()
    wakeups = harness.release(claimed)

    assert harness.members("queued") == ["a", "b", "c"]
    assert harness.members("running") == []
    assert harness.members("busy") == []
    assert harness.members("limits", "") == []
    assert wakeups == [], "the message of c is still out there"
    assert harness.status("a") is Status.STARTING
    assert [(c.id, c.attempt) for c in harness.claim()] == [("a", 2), ("b", 2), ("c", 1)]


def test_a_release_asks_for_a_wakeup_when_no_message_is_out(harness: LedgerHarness) -> None:
    harness.accept()

    assert len(harness.release(harness.claim(wakeup=1))) == 1


def test_a_release_by_a_stale_attempt_changes_nothing(harness: LedgerHarness) -> None:
    harness.accept(id="a")
    stale = harness.claim("w1")
    harness.advance(16)
    harness.sweep()
    harness.claim("w2")
    harness.release(stale, worker="w1", suspect=True)

    assert harness.members("running") == ["a"]
    assert harness.status("a") is Status.PROCESSING


def test_a_claim_takes_inputs_up_to_a_bound_and_one_that_is_larger_alone(
    harness: LedgerHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("contract.ledger.transitions.running.MOST_CLAIM_BYTES", 1000)
    for id, size in (("a", 600), ("b", 300), ("c", 300), ("d", 5000), ("e", 10)):
        harness.advance(1)
        harness.accept(id=id, input="x" * size)
    claimed = [[c.id for c in harness.claim(f"w{n}")] for n in range(4)]
    assert claimed == [["a", "b"], ["c"], ["d"], ["e"]]
