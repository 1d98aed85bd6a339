"""How predictions end: outcomes, fences, announcements, and cancels at every stage."""

import msgpack
import pytest

from contract.ledger.transitions import (
    MOST_FINISH_BYTES,
    Claimed,
    Outcome,
    finish,
    finish_in_parts,
)
from contract.prediction import Prediction, Status
from tests.support.ledger_harness import START, LedgerHarness


def test_one_call_finishes_a_batch(harness: LedgerHarness) -> None:
    harness.create(*(harness.new_prediction(id=id) for id in "abc"))
    claimed = harness.claim()
    harness.advance(2)
    assert harness.finish(claimed, '{"label": "é"}') == []

    for id in "abc":
        found = harness.get(id)
        assert (found.status, found.output) == (Status.SUCCEEDED, '{"label": "é"}')
        assert found.completed_at == START + 2
        assert found.predict_seconds == 0.5
    assert harness.members("running") == []
    assert harness.members("busy") == []
    assert harness.members("limits", "") == []
    assert harness.members("retained", "") == list("abc")


def test_one_of_a_batch_may_fail_alone(harness: LedgerHarness) -> None:
    harness.create(*(harness.new_prediction(id=id) for id in "ab"))
    good, bad = harness.claim()
    harness.finish([good], idle=False)
    harness.finish([bad], error="too long", error_code="invalid_input")

    found = harness.get("b")
    assert (found.status, found.error, found.error_code) == (
        Status.FAILED,
        "too long",
        "invalid_input",
    )
    assert found.output is None
    assert harness.status("a") is Status.SUCCEEDED


def test_a_worker_with_another_batch_stays_busy(harness: LedgerHarness) -> None:
    harness.create(*(harness.new_prediction() for _ in range(5)))
    first, second = harness.claim(), harness.claim()
    harness.finish(first, idle=False)
    assert harness.members("busy") == ["w1"]
    harness.finish(second)
    assert harness.members("busy") == []


def test_finishing_twice_is_harmless(harness: LedgerHarness) -> None:
    harness.accept(id="a")
    claimed = harness.claim()
    harness.finish(claimed, "1")
    before = harness.record("a")
    harness.advance(5)

    assert harness.finish(claimed, "2") == [], "the same finish, sent again"
    assert harness.record("a") == before


def test_a_stale_attempt_cannot_write_while_another_runs(harness: LedgerHarness) -> None:
    harness.accept(id="a")
    stale = harness.claim("w1")
    harness.advance(16)
    harness.sweep()
    fresh = harness.claim("w2")

    assert harness.finish(stale, '"stale"', worker="w1") == ["a"]
    assert harness.status("a") is Status.PROCESSING
    assert harness.finish(fresh, '"fresh"', worker="w2") == []
    assert harness.finish(stale, '"stale"', worker="w1") == ["a"]
    assert harness.get("a").output == '"fresh"'


def test_an_attempt_that_was_given_back_may_be_finished_while_nobody_has_claimed_it_since(
    harness: LedgerHarness,
) -> None:
    harness.create(*(harness.new_prediction(id=id, deadline_seconds=1000) for id in "ab"))
    claimed = harness.claim()
    harness.advance(16)
    harness.sweep()
    again = harness.claim("w2")
    assert [c.id for c in again] == ["a"], "a suspect runs alone"

    assert harness.finish(claimed) == ["a"]
    found = harness.get("b")
    assert (found.status, found.attempt, found.worker) == (Status.SUCCEEDED, 1, "w1")
    for kind in ("queued", "limits", "deadlines"):
        assert "b" not in harness.members(kind, "m" if kind == "queued" else "")
    assert harness.members("running") == ["a"]
    assert harness.claim("w3") == []
    assert harness.finish(again, worker="w2") == []
    assert harness.sweep().queued == 0


def test_a_canceled_prediction_fences_its_outcome_off(harness: LedgerHarness) -> None:
    harness.create(*(harness.new_prediction(id=id) for id in "ab"))
    claimed = harness.claim()
    harness.cancel("a")

    assert harness.finish(claimed) == ["a"]
    assert harness.status("a") is Status.CANCELED
    assert harness.get("a").output is None
    assert harness.status("b") is Status.SUCCEEDED


def test_an_outcome_for_a_prediction_that_is_gone_is_fenced_off(harness: LedgerHarness) -> None:
    assert harness.finish([Claimed("nobody", 1, "{}", 0.0)]) == ["nobody"]
    assert harness.record("nobody") == {}


def test_a_batch_is_announced_to_a_gateway_in_one_message_after_it_is_recorded(
    harness: LedgerHarness,
) -> None:
    for id in "abc":
        harness.accept(id=id, watcher="gw")
    harness.accept(id="d", watcher="other")
    claimed = harness.claim()
    with harness.redis.pubsub(ignore_subscribe_messages=True) as channel:
        channel.subscribe(harness.ledger.key("answers", "gw"))
        assert channel.get_message(timeout=5) is None  # the subscription itself
        harness.finish(claimed, '"é"')
        message = channel.get_message(timeout=5)
        assert [harness.status(id) for id in "abc"] == [Status.SUCCEEDED] * 3
        harness.finish(claimed, '"é"')  # announces nothing again
        harness.redis.publish(harness.ledger.key("answers", "gw"), "last")
        assert channel.get_message(timeout=5)["data"] == b"last"

    announced = msgpack.unpackb(message["data"])
    assert [(id, kind) for id, kind, _ in announced] == [(id, "outcome") for id in "abc"]
    told = Prediction("a", "m")
    told.update(announced[0][2])
    assert told.outcome == harness.get("a").outcome
    assert (told.status, told.output, told.attempt) == (Status.SUCCEEDED, '"é"', 1)


def test_every_gateway_that_asked_hears_once(harness: LedgerHarness) -> None:
    harness.accept(id="a", watcher="one", digest="d")
    harness.create(harness.new_prediction(id="a", watcher="two", digest="d"))
    harness.create(harness.new_prediction(id="a", watcher="two", digest="d"))
    harness.view("a", watcher="three")
    harness.view("a", watcher="three")

    assert harness.record("a")[b"watchers"] == b"one two three"


def test_a_batch_of_large_outputs_is_written_in_several_steps(harness: LedgerHarness) -> None:
    for id in "abcd":
        harness.accept(id=id, watcher="gw")
    claimed = harness.claim()
    sizes = [MOST_FINISH_BYTES - 9, 10, 2 * MOST_FINISH_BYTES, 10]
    outcomes = [
        Outcome(c.id, c.attempt, b'"' + b"x" * (size - 2) + b'"')
        for c, size in zip(claimed, sizes, strict=True)
    ]
    steps = finish_in_parts(harness.terms(), outcomes, idle=True, seconds=2.0)
    assert [[row["id"] for row in step.args["predictions"]] for step in steps] == [
        *(["a"], ["b"], ["c"], ["d"]),
    ]
    for step in steps[:-1]:
        assert harness.run(step) == []
    assert harness.members("busy") == ["w1"]
    assert harness.status("d") is Status.PROCESSING
    # The ledger was away, and all are sent again.
    assert [harness.run(step) for step in steps] == [[]] * 4
    assert [len(harness.get(c.id).output or "") for c in claimed] == sizes
    assert harness.members("busy") == []
    pace = harness.redis.hmget(harness.ledger.key("pace", "m"), "seconds", "items")
    assert pace == [b"2.000000", b"4.000000"]


def test_a_batch_of_small_outputs_is_written_in_one_step(harness: LedgerHarness) -> None:
    outcomes = [Outcome(id, 1, b"1") for id in "abc"] + [Outcome("d", 1, error="no")]
    (step,) = finish_in_parts(harness.terms(), outcomes, idle=True, seconds=2.0)
    assert step.args == finish(harness.terms(), outcomes, idle=True, seconds=2.0).args
    assert len(finish_in_parts(harness.terms(), [], idle=True, seconds=2.0)) == 1


def test_a_finish_without_outcomes_only_frees_the_worker(harness: LedgerHarness) -> None:
    harness.accept()
    harness.claim()
    harness.run(finish(harness.terms(), [], idle=True, seconds=1.0))

    assert harness.members("busy") == []
    assert harness.redis.exists(harness.ledger.key("pace", "m")) == 0


def test_an_error_is_kept_up_to_a_bound(harness: LedgerHarness) -> None:
    id = harness.accept()
    harness.finish(harness.claim(), error="e" * 1_000_000, error_code="c" * 1_000_000)
    record = harness.get(id)
    assert (len(record.error or ""), len(record.error_code or "")) == (2000, 64)


def test_a_waiting_prediction_is_canceled_and_never_runs(harness: LedgerHarness) -> None:
    harness.accept(id="a", deadline_seconds=60)
    canceled = harness.cancel("a")

    assert canceled is not None
    assert (canceled.status, canceled.completed_at) == (Status.CANCELED, START)
    assert harness.claim() == []
    for kind, name in (("queued", "m"), ("deadlines", "")):
        assert harness.members(kind, name) == []
    assert harness.members("retained", "") == ["a"]


def test_a_running_prediction_is_canceled_and_its_worker_stays_busy(harness: LedgerHarness) -> None:
    harness.accept(id="a")
    claimed = harness.claim()
    assert harness.cancel("a").status is Status.CANCELED

    assert harness.members("running") == []
    assert harness.members("limits", "") == []
    assert harness.members("busy") == ["w1"]
    assert harness.extend(claimed) == ["a"]


@pytest.mark.parametrize("error_code", [None, "model_error"])
def test_what_is_over_is_not_canceled_any_more(
    harness: LedgerHarness, error_code: str | None
) -> None:
    harness.accept(id="a")
    harness.finish(harness.claim(), error="no", error_code=error_code)
    before = harness.record("a")
    answer = harness.cancel("a")

    assert answer is not None
    assert answer.status is (Status.FAILED if error_code else Status.SUCCEEDED)
    assert harness.record("a") == before


def test_a_cancel_may_be_sent_again(harness: LedgerHarness) -> None:
    harness.accept(id="a")
    harness.cancel("a")
    before = harness.record("a")
    harness.advance(1)

    assert harness.cancel("a").status is Status.CANCELED
    assert harness.record("a") == before


def test_only_the_owner_cancels(harness: LedgerHarness) -> None:
    harness.accept(id="a", owner="alice")

    assert harness.cancel("a", "bob") is None
    assert harness.cancel("nobody") is None
    assert harness.status("a") is Status.STARTING
