"""The ledger while workers run: claims, leases, fencing, outcomes and reports."""

import msgpack
import pytest
from desk import START, Desk

from contract.prediction import Prediction, Status
from contract.transitions import (
    MOST_FINISH_BYTES,
    MOST_LOG_BYTES,
    Claimed,
    Outcome,
    Report,
    finish,
    finish_in_parts,
    report,
)


def test_a_claim_takes_the_oldest_up_to_a_batch_and_rings_for_the_rest(desk: Desk) -> None:
    desk.create(*(desk.submission(id=id, input=f'"{id}"') for id in "abcde"))
    assert desk.rings == [1, 2]
    desk.advance(3)
    claimed = desk.claim(ring=1)

    assert [c.id for c in claimed] == list("abcd")
    assert [c.input for c in claimed] == ['"a"', '"b"', '"c"', '"d"']
    assert {c.attempt for c in claimed} == {1}
    assert claimed[0].queue_seconds == pytest.approx(3, abs=1e-3)
    assert desk.members("queued") == ["e"]
    assert desk.members("running") == list("abcd")
    assert desk.members("busy") == ["w1"]
    assert desk.members("rings") == ["2"]
    found = desk.get("a")
    assert (found.status, found.attempt, found.worker) == (Status.PROCESSING, 1, "w1")
    assert found.started_at == START + 3
    assert found.queue_position is None


def test_a_claim_may_ask_for_less_than_a_batch(desk: Desk) -> None:
    desk.create(*(desk.submission(id=id) for id in "abc"))

    assert [c.id for c in desk.claim(limit=2)] == ["a", "b"]


@pytest.mark.parametrize("ring", [0, 1, 999])
def test_a_claim_by_a_stale_or_doubled_ring_is_harmless(desk: Desk, ring: int) -> None:
    desk.accept(id="a")
    desk.claim(ring=1)

    assert desk.claim("w2", ring=ring) == []
    assert desk.members("running") == ["a"]
    assert desk.members("busy") == ["w1"], "who found nothing is not busy"


def test_a_stale_ring_takes_what_waits_and_leaves_the_bell_of_others(desk: Desk) -> None:
    desk.accept(id="a")
    (claimed,) = desk.claim(ring=999)

    assert claimed.id == "a"
    assert desk.members("rings") == ["1"], "its message is still on its way"
    assert desk.claim("w2", ring=1) == []


def test_a_claim_that_leaves_something_waiting_rings_when_no_message_is_out(desk: Desk) -> None:
    desk.create(*(desk.submission() for _ in range(5)))
    desk.claim(ring=2)
    desk.rings.clear()
    desk.create(*(desk.submission() for _ in range(4)))
    desk.claim(ring=1)

    assert len(desk.members("queued")) == 1
    assert desk.members("rings") == [str(ring) for ring in desk.rings]
    assert len(desk.rings) == 1


def test_what_passed_its_deadline_never_runs(desk: Desk) -> None:
    desk.accept(id="a", deadline_seconds=5)
    desk.accept(id="b")
    desk.advance(5)

    assert [c.id for c in desk.claim()] == ["b"]
    found = desk.get("a")
    assert (found.status, found.error_code) == (Status.CANCELED, "deadline_exceeded")
    assert found.attempt == 0
    assert found.started_at is None


def test_a_suspect_runs_alone(desk: Desk) -> None:
    desk.create(*(desk.submission(id=id) for id in "abc"))
    desk.release(desk.claim(), suspect=True)
    desk.advance(1)
    desk.accept(id="d")

    batches = [[c.id for c in desk.claim(f"w{n}")] for n in range(4)]
    assert batches == [["a"], ["b"], ["c"], ["d"]]


def test_a_suspect_ends_the_batch_before_it(desk: Desk) -> None:
    desk.create(*(desk.submission(id=id) for id in "ab"))
    desk.release(desk.claim(), suspect=True)
    desk.accept(id="early", credit_seconds=300)

    assert [c.id for c in desk.claim()] == ["early"]
    assert [c.id for c in desk.claim()] == ["a"]


def test_a_record_that_was_evicted_does_not_hold_up_the_queue(desk: Desk) -> None:
    desk.create(*(desk.submission(id=id) for id in "ab"))
    desk.redis.delete(desk.ledger.key("prediction", "a"))

    assert [c.id for c in desk.claim()] == ["b"]
    assert desk.members("queued") == []


def test_extending_holds_the_lease(desk: Desk) -> None:
    desk.accept(id="a")
    claimed = desk.claim()
    for _ in range(4):
        desk.advance(10)
        assert desk.extend(claimed) == []
        assert desk.sweep().taken_back == 0

    assert desk.members("busy") == ["w1"]
    assert desk.finish(claimed) == []


def test_extending_reports_what_was_canceled(desk: Desk) -> None:
    desk.create(*(desk.submission(id=id) for id in "abc"))
    claimed = desk.claim()
    desk.cancel("b")

    assert desk.extend(claimed) == ["b"]
    assert desk.members("running") == ["a", "c"]


def test_extending_reports_what_was_taken_back_or_given_to_another(desk: Desk) -> None:
    desk.accept(id="a")
    claimed = desk.claim("w1")
    desk.advance(16)
    desk.sweep()
    assert desk.extend(claimed) == [], "nobody has it yet, so it may still be finished"
    assert desk.members("running") == []

    desk.claim("w2")
    assert desk.extend(claimed) == ["a"]
    assert desk.redis.zscore(desk.ledger.key("running", "m"), "a") == desk.now + 15


def test_a_lease_that_ended_unnoticed_can_still_be_extended(desk: Desk) -> None:
    desk.accept(id="a")
    claimed = desk.claim()
    desk.advance(100)

    assert desk.extend(claimed) == []
    assert desk.sweep().taken_back == 0


def test_one_call_finishes_a_batch(desk: Desk) -> None:
    desk.create(*(desk.submission(id=id) for id in "abc"))
    claimed = desk.claim()
    desk.advance(2)
    assert desk.finish(claimed, '{"label": "é"}') == []

    for id in "abc":
        found = desk.get(id)
        assert (found.status, found.output) == (Status.SUCCEEDED, '{"label": "é"}')
        assert found.completed_at == START + 2
        assert found.predict_seconds == 0.5
    assert desk.members("running") == []
    assert desk.members("busy") == []
    assert desk.members("limits", "") == []
    assert desk.members("retained", "") == list("abc")


def test_one_of_a_batch_may_fail_alone(desk: Desk) -> None:
    desk.create(*(desk.submission(id=id) for id in "ab"))
    good, bad = desk.claim()
    desk.finish([good], idle=False)
    desk.finish([bad], error="too long", error_code="invalid_input")

    found = desk.get("b")
    assert (found.status, found.error, found.error_code) == (
        Status.FAILED,
        "too long",
        "invalid_input",
    )
    assert found.output is None
    assert desk.status("a") is Status.SUCCEEDED


def test_a_worker_with_another_batch_stays_busy(desk: Desk) -> None:
    desk.create(*(desk.submission() for _ in range(5)))
    first, second = desk.claim(), desk.claim()
    desk.finish(first, idle=False)
    assert desk.members("busy") == ["w1"]
    desk.finish(second)
    assert desk.members("busy") == []


def test_finishing_twice_is_harmless(desk: Desk) -> None:
    desk.accept(id="a")
    claimed = desk.claim()
    desk.finish(claimed, "1")
    before = desk.record("a")
    desk.advance(5)

    assert desk.finish(claimed, "2") == [], "the same finish, sent again"
    assert desk.record("a") == before


def test_a_stale_attempt_cannot_write_while_another_runs(desk: Desk) -> None:
    desk.accept(id="a")
    stale = desk.claim("w1")
    desk.advance(16)
    desk.sweep()
    fresh = desk.claim("w2")

    assert desk.finish(stale, '"stale"', worker="w1") == ["a"]
    assert desk.status("a") is Status.PROCESSING
    assert desk.finish(fresh, '"fresh"', worker="w2") == []
    assert desk.finish(stale, '"stale"', worker="w1") == ["a"]
    assert desk.get("a").output == '"fresh"'


def test_an_attempt_that_was_given_back_may_be_finished_while_nobody_has_claimed_it_since(
    desk: Desk,
) -> None:
    desk.create(*(desk.submission(id=id, deadline_seconds=1000) for id in "ab"))
    claimed = desk.claim()
    desk.advance(16)
    desk.sweep()
    again = desk.claim("w2")
    assert [c.id for c in again] == ["a"], "a suspect runs alone"

    assert desk.finish(claimed) == ["a"]
    found = desk.get("b")
    assert (found.status, found.attempt, found.worker) == (Status.SUCCEEDED, 1, "w1")
    for kind in ("queued", "limits", "deadlines"):
        assert "b" not in desk.members(kind, "m" if kind == "queued" else "")
    assert desk.members("running") == ["a"]
    assert desk.claim("w3") == []
    assert desk.finish(again, worker="w2") == []
    assert desk.sweep().queued == 0


def test_a_canceled_prediction_fences_its_outcome_off(desk: Desk) -> None:
    desk.create(*(desk.submission(id=id) for id in "ab"))
    claimed = desk.claim()
    desk.cancel("a")

    assert desk.finish(claimed) == ["a"]
    assert desk.status("a") is Status.CANCELED
    assert desk.get("a").output is None
    assert desk.status("b") is Status.SUCCEEDED


def test_an_outcome_for_a_prediction_that_is_gone_is_fenced_off(desk: Desk) -> None:
    assert desk.finish([Claimed("nobody", 1, "{}", 0.0)]) == ["nobody"]
    assert desk.record("nobody") == {}


def test_a_batch_is_announced_to_a_gateway_in_one_message_after_it_is_recorded(desk: Desk) -> None:
    for id in "abc":
        desk.accept(id=id, watcher="gw")
    desk.accept(id="d", watcher="other")
    claimed = desk.claim()
    with desk.redis.pubsub(ignore_subscribe_messages=True) as channel:
        channel.subscribe(desk.ledger.key("answers", "gw"))
        assert channel.get_message(timeout=5) is None  # the subscription itself
        desk.finish(claimed, '"é"')
        message = channel.get_message(timeout=5)
        assert [desk.status(id) for id in "abc"] == [Status.SUCCEEDED] * 3
        desk.finish(claimed, '"é"')  # announces nothing again
        desk.redis.publish(desk.ledger.key("answers", "gw"), "last")
        assert channel.get_message(timeout=5)["data"] == b"last"

    announced = msgpack.unpackb(message["data"])
    assert [(id, kind) for id, kind, _ in announced] == [(id, "outcome") for id in "abc"]
    told = Prediction("a", "m")
    told.update(announced[0][2])
    assert told.outcome == desk.get("a").outcome
    assert (told.status, told.output, told.attempt) == (Status.SUCCEEDED, '"é"', 1)


def test_every_gateway_that_asked_is_told_once(desk: Desk) -> None:
    desk.accept(id="a", watcher="one", digest="d")
    desk.create(desk.submission(id="a", watcher="two", digest="d"))
    desk.create(desk.submission(id="a", watcher="two", digest="d"))
    desk.view("a", watcher="three")
    desk.view("a", watcher="three")

    assert desk.record("a")[b"watchers"] == b"one two three"


def test_released_predictions_wait_in_their_old_place(desk: Desk) -> None:
    desk.create(*(desk.submission(id=id) for id in "ab"))
    claimed = desk.claim(ring=1)
    desk.advance(1)
    desk.accept(id="c")
    desk.advance(1)
    desk.rings.clear()
    rings = desk.release(claimed)

    assert desk.members("queued") == ["a", "b", "c"]
    assert desk.members("running") == []
    assert desk.members("busy") == []
    assert desk.members("limits", "") == []
    assert rings == [], "the message of c is still out there"
    assert desk.status("a") is Status.STARTING
    assert [(c.id, c.attempt) for c in desk.claim()] == [("a", 2), ("b", 2), ("c", 1)]


def test_a_release_asks_for_a_ring_when_no_message_is_out(desk: Desk) -> None:
    desk.accept()

    assert len(desk.release(desk.claim(ring=1))) == 1


def test_a_release_by_a_stale_attempt_changes_nothing(desk: Desk) -> None:
    desk.accept(id="a")
    stale = desk.claim("w1")
    desk.advance(16)
    desk.sweep()
    desk.claim("w2")
    desk.release(stale, worker="w1", suspect=True)

    assert desk.members("running") == ["a"]
    assert desk.status("a") is Status.PROCESSING


def test_reports_add_up_in_order(desk: Desk) -> None:
    desk.accept(id="a")
    desk.claim()
    desk.run(report([Report("a", 1, 0.25, "one ", [("output", "He"), ("logs", "one ")])]))
    desk.run(report([Report("a", 1, None, "two", [("output", "llo\n🙂")])]))

    view = desk.view("a")
    assert view.events == [("output", "He"), ("logs", "one "), ("output", "llo\n🙂")]
    assert (view.prediction.progress, view.prediction.logs) == (0.25, "one two")
    assert desk.view("a", since=2).events == [("output", "llo\n🙂")]
    assert desk.view("a", since=-1).events == []


def test_a_report_that_is_sent_again_adds_nothing(desk: Desk) -> None:
    desk.accept(id="a")
    desk.claim()
    again = report([Report("a", 1, None, "once", [("output", "once")])])
    desk.run(again)
    desk.run(again)

    assert desk.view("a").events == [("output", "once")]
    assert desk.get("a").logs == "once"


def test_a_report_may_hold_very_many_pieces(desk: Desk) -> None:
    desk.accept(id="a")
    desk.claim()
    pieces = [("output", str(n)) for n in range(20_000)]
    desk.run(report([Report("a", 1, events=pieces)]))

    assert desk.view("a").events == pieces


def test_logs_keep_their_last_64_kib(desk: Desk) -> None:
    desk.accept(id="a")
    desk.claim()
    for _ in range(3):
        desk.run(report([Report("a", 1, logs="é" * 20_000)]))
    desk.run(report([Report("a", 1, logs="the end")]))

    raw = desk.record("a")[b"logs"]
    assert len(raw) == MOST_LOG_BYTES == 65536
    assert desk.get("a").logs.endswith("é" * 100 + "the end")


def test_a_stale_attempts_report_is_ignored(desk: Desk) -> None:
    desk.accept(id="a")
    desk.lose(1)
    desk.claim("w2")
    desk.run(report([Report("a", 1, 0.9, "stale", [("output", "stale")])]))

    view = desk.view("a")
    assert view.events == []
    assert view.prediction.progress is None
    assert view.prediction.logs == ""


def test_events_begin_again_with_a_new_attempt(desk: Desk) -> None:
    desk.accept(id="a")
    desk.claim()
    desk.run(report([Report("a", 1, events=[("output", "first")])]))
    desk.advance(16)
    desk.sweep()
    assert desk.view("a").events == []
    desk.claim("w2")
    desk.run(report([Report("a", 2, events=[("output", "second")])]))

    assert desk.view("a").events == [("output", "second")]


def test_reports_are_announced_to_who_watches(desk: Desk) -> None:
    desk.accept(id="a", watcher="gw")
    desk.accept(id="b")
    desk.claim()
    with desk.redis.pubsub(ignore_subscribe_messages=True) as channel:
        channel.subscribe(desk.ledger.key("answers", "gw"))
        channel.get_message(timeout=5)
        desk.run(report([Report(id, 1, events=[("output", "x")]) for id in "ab"]))
        message = channel.get_message(timeout=5)

    assert msgpack.unpackb(message["data"]) == [["a", "events"]]


def test_a_batch_of_large_outputs_is_written_in_several_steps(desk: Desk) -> None:
    for id in "abcd":
        desk.accept(id=id, watcher="gw")
    claimed = desk.claim()
    sizes = [MOST_FINISH_BYTES - 9, 10, 2 * MOST_FINISH_BYTES, 10]
    outcomes = [
        Outcome(c.id, c.attempt, b'"' + b"x" * (size - 2) + b'"')
        for c, size in zip(claimed, sizes, strict=True)
    ]
    steps = finish_in_parts(desk.holder(), outcomes, idle=True, seconds=2.0)
    assert [[row["id"] for row in step.args["predictions"]] for step in steps] == [
        *(["a"], ["b"], ["c"], ["d"]),
    ]
    for step in steps[:-1]:
        assert desk.run(step) == []
    assert desk.members("busy") == ["w1"]
    assert desk.status("d") is Status.PROCESSING
    # The ledger was away, and all are sent again.
    assert [desk.run(step) for step in steps] == [[]] * 4
    assert [len(desk.get(c.id).output or "") for c in claimed] == sizes
    assert desk.members("busy") == []
    pace = desk.redis.hmget(desk.ledger.key("pace", "m"), "seconds", "items")
    assert pace == [b"2.000000", b"4.000000"]


def test_a_batch_of_small_outputs_is_written_in_one_step(desk: Desk) -> None:
    outcomes = [Outcome(id, 1, b"1") for id in "abc"] + [Outcome("d", 1, error="no")]
    (step,) = finish_in_parts(desk.holder(), outcomes, idle=True, seconds=2.0)
    assert step.args == finish(desk.holder(), outcomes, idle=True, seconds=2.0).args
    assert len(finish_in_parts(desk.holder(), [], idle=True, seconds=2.0)) == 1


def test_a_finish_without_outcomes_only_frees_the_worker(desk: Desk) -> None:
    desk.accept()
    desk.claim()
    desk.run(finish(desk.holder(), [], idle=True, seconds=1.0))

    assert desk.members("busy") == []
    assert desk.redis.exists(desk.ledger.key("pace", "m")) == 0
