"""The ledger while workers run: claims, leases, fencing, outcomes and reports."""

import msgpack
import pytest

from contract.ledger.transitions import (
    MOST_EVENTS,
    MOST_FINISH_BYTES,
    MOST_LOG_BYTES,
    MOST_STREAMED_BYTES,
    Claimed,
    Outcome,
    Report,
    Streamed,
    finish,
    finish_in_parts,
    read_stream,
    report,
)
from contract.prediction import Prediction, Status
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


def test_every_gateway_that_asked_is_told_once(harness: LedgerHarness) -> None:
    harness.accept(id="a", watcher="one", digest="d")
    harness.create(harness.new_prediction(id="a", watcher="two", digest="d"))
    harness.create(harness.new_prediction(id="a", watcher="two", digest="d"))
    harness.view("a", watcher="three")
    harness.view("a", watcher="three")

    assert harness.record("a")[b"watchers"] == b"one two three"


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


def test_reports_add_up_in_order(harness: LedgerHarness) -> None:
    harness.accept(id="a")
    harness.claim()
    harness.run(report([Report("a", 1, 0.25, "one ", [("output", "He"), ("logs", "one ")])]))
    harness.run(report([Report("a", 1, None, "two", [("output", "llo\n🙂")], 2)]))

    view = harness.view("a")
    assert view.events == [("output", "He"), ("logs", "one "), ("output", "llo\n🙂")]
    assert (view.prediction.progress, view.prediction.logs) == (0.25, "one two")
    assert harness.view("a", since=2).events == [("output", "llo\n🙂")]
    assert harness.view("a", since=-1).events == []


def test_a_report_that_is_sent_again_adds_nothing(harness: LedgerHarness) -> None:
    harness.accept(id="a")
    harness.claim()
    again = report([Report("a", 1, None, "once", [("output", "once")])])
    harness.run(again)
    harness.run(again)

    assert harness.view("a").events == [("output", "once")]
    assert harness.get("a").logs == "once"


def test_a_report_may_hold_very_many_pieces(harness: LedgerHarness) -> None:
    harness.accept(id="a")
    harness.claim()
    pieces = [("output", str(n)) for n in range(20_000)]
    harness.run(report([Report("a", 1, events=pieces)]))

    assert harness.view("a").events == pieces


def test_logs_keep_their_last_64_kib(harness: LedgerHarness) -> None:
    harness.accept(id="a")
    harness.claim()
    for _ in range(3):
        harness.run(report([Report("a", 1, logs="é" * 20_000)]))
    harness.run(report([Report("a", 1, logs="the end")]))

    raw = harness.record("a")[b"logs"]
    assert len(raw) == MOST_LOG_BYTES == 65536
    assert harness.get("a").logs.endswith("é" * 100 + "the end")


def test_a_stale_attempts_report_is_ignored(harness: LedgerHarness) -> None:
    harness.accept(id="a")
    harness.lose(1)
    harness.claim("w2")
    harness.run(report([Report("a", 1, 0.9, "stale", [("output", "stale")])]))

    view = harness.view("a")
    assert view.events == []
    assert view.prediction.progress is None
    assert view.prediction.logs == ""


def say(harness: LedgerHarness, attempt: int, offset: int, *pieces: str) -> None:
    events = [("output", piece) for piece in pieces]
    harness.run(report([Report("a", attempt, events=events, offset=offset)]))


def test_what_was_streamed_stays_and_a_new_attempt_is_told_of_it(harness: LedgerHarness) -> None:
    harness.accept(id="a")
    (claimed,) = harness.claim()
    assert claimed.streamed == ""
    harness.run(
        report([Report("a", 1, None, "x", [("output", "é"), ("logs", "x"), ("output", "b")])])
    )
    for again in (harness.release, lambda lost: (harness.advance(16), harness.sweep())):
        again([claimed])
        (claimed,) = harness.claim("w1")
        assert claimed.streamed == "éb"
    assert harness.view("a").events == [("output", "é"), ("logs", "x"), ("output", "b")]
    say(harness, 3, 3, "c")
    assert harness.view("a").events[3:] == [("output", "c")]


def test_pieces_that_were_streamed_before_are_not_streamed_again(harness: LedgerHarness) -> None:
    harness.accept(id="a")
    harness.claim()
    say(harness, 1, 0, "a", "b")
    harness.advance(16)
    harness.sweep()
    harness.claim("w2")
    for offset, piece in enumerate("abcd"):
        say(harness, 2, offset, piece)

    assert [text for _, text in harness.view("a").events] == ["a", "b", "c", "d"]


def test_a_gap_in_a_stream_is_never_closed_up(harness: LedgerHarness) -> None:
    harness.accept(id="a")
    harness.claim()
    say(harness, 1, 0, "a")
    say(harness, 1, 2, "c", "d")  # what stood between them was lost
    assert [text for _, text in harness.view("a").events] == ["a"]
    say(harness, 1, 1, "b", "c")
    assert [text for _, text in harness.view("a").events] == ["a", "b", "c"]


def test_what_a_worker_of_an_older_version_streamed_counts(harness: LedgerHarness) -> None:
    harness.accept(id="a")
    harness.claim()
    old = [msgpack.packb(event) for event in (("output", "He"), ("logs", "x"), ("output", "l"))]
    harness.redis.rpush(harness.ledger.key("events", "a"), *old)
    harness.advance(16)
    harness.sweep()
    (claimed,) = harness.claim("w2")
    say(harness, 2, len(claimed.streamed), "lo")

    assert claimed.streamed == "Hel"
    assert harness.view("a").events[3:] == [("output", "lo")]


def test_what_an_older_version_took_back_is_streamed_again(harness: LedgerHarness) -> None:
    harness.accept(id="a")
    claimed = harness.claim()
    say(harness, 1, 0, "Hel")
    harness.release(claimed)
    harness.redis.delete(harness.ledger.key("events", "a"))  # as its scripts did
    (claimed,) = harness.claim("w2")
    say(harness, 2, 0, "Hello")

    assert claimed.streamed == ""
    assert harness.view("a").events == [("output", "Hello")]


def test_a_stream_is_bounded_in_bytes_and_ends_at_a_piece(harness: LedgerHarness) -> None:
    harness.accept(id="a")
    harness.claim()
    third = "é" * (MOST_STREAMED_BYTES // 6)
    say(harness, 1, 0, third, third, third, third, "x")
    say(harness, 1, 4 * len(third.encode()) + 1, "x")
    assert [text for _, text in harness.view("a").events] == [third] * 3
    harness.run(report([Report("a", 1, None, "still\n", [("logs", "still\n")])]))
    assert harness.view("a").events[3:] == [("logs", "still\n")]


def test_a_stream_is_bounded_in_events(harness: LedgerHarness) -> None:
    harness.accept(id="a")
    harness.claim()
    for offset in range(0, MOST_EVENTS + 10_000, 10_000):
        say(harness, 1, offset, *("x" * 10_000))

    assert harness.redis.llen(harness.ledger.key("events", "a")) == MOST_EVENTS
    assert harness.record("a")[b"streamed"] == b"%d" % MOST_EVENTS


def test_a_stream_has_the_first_of_the_logs_and_the_record_the_last(harness: LedgerHarness) -> None:
    harness.accept(id="a")
    harness.claim()
    lines = [f"{n:09}\n" for n in range(10_000)]
    for first in range(0, 10_000, 1000):
        some = lines[first : first + 1000]
        events = [("logs", line) for line in some]
        harness.run(report([Report("a", 1, None, "".join(some), events)]))
    say(harness, 1, 0, "x")

    view = harness.view("a")
    assert view.events == [("logs", line) for line in lines[: MOST_LOG_BYTES // 10]] + [
        ("output", "x")
    ]
    assert view.prediction.logs == "".join(lines)[-MOST_LOG_BYTES:]


def test_a_listener_reads_what_is_new_and_nothing_of_the_record(harness: LedgerHarness) -> None:
    harness.accept(id="a", input='"secret"')
    assert harness.run(read_stream("a", "local", 0)) == Streamed(Status.STARTING, [])
    claimed = harness.claim()
    say(harness, 1, 0, "a", "b", "c")
    assert harness.run(read_stream("a", "local", 1, most=1)) == Streamed(
        Status.PROCESSING, [("output", "b")], more=True
    )
    harness.finish(claimed, '"abcd"', said=4)
    pieces = [("output", piece) for piece in "abc"]
    assert harness.run(read_stream("a", "local", 0, most=3)) == Streamed(
        Status.SUCCEEDED, pieces, more=True
    )
    assert harness.run(read_stream("a", "local", 3)) == Streamed(
        Status.SUCCEEDED, [], output='"abcd"', said=4
    )
    assert harness.run(read_stream("a", "local", 0, most=0)) == Streamed(
        Status.SUCCEEDED, [], more=True
    )
    assert harness.run(read_stream("a", "somebody else", 0)) is None
    assert harness.run(read_stream("b", "local", 0)) is None


def test_a_listener_may_ask_to_be_told_of_the_rest(harness: LedgerHarness) -> None:
    harness.accept(id="a")
    claimed = harness.claim()
    harness.run(read_stream("a", "local", 0, watcher="gw"))
    harness.run(read_stream("a", "local", 0, watcher="gw"))
    with harness.redis.pubsub(ignore_subscribe_messages=True) as channel:
        channel.subscribe(harness.ledger.key("answers", "gw"))
        channel.get_message(timeout=5)
        say(harness, 1, 0, "a")
        assert msgpack.unpackb(channel.get_message(timeout=5)["data"]) == [["a", "events"]]
        say(harness, 1, 0, "a")
        harness.finish(claimed, error="no", error_code="model_error")
        ((id, kind, fields),) = msgpack.unpackb(channel.get_message(timeout=5)["data"])
    assert (id, kind, fields["error"]) == ("a", "outcome", "no")
    ended = harness.run(read_stream("a", "local", 1))
    assert ended == Streamed(Status.FAILED, [], error="no")


def test_reports_are_announced_to_who_watches(harness: LedgerHarness) -> None:
    harness.accept(id="a", watcher="gw")
    harness.accept(id="b")
    harness.claim()
    with harness.redis.pubsub(ignore_subscribe_messages=True) as channel:
        channel.subscribe(harness.ledger.key("answers", "gw"))
        channel.get_message(timeout=5)
        harness.run(report([Report(id, 1, events=[("output", "x")]) for id in "ab"]))
        message = channel.get_message(timeout=5)

    assert msgpack.unpackb(message["data"]) == [["a", "events"]]


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


def test_a_claim_takes_inputs_up_to_a_bound_and_one_that_is_larger_alone(
    harness: LedgerHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("contract.ledger.transitions.running.MOST_CLAIM_BYTES", 1000)
    for id, size in (("a", 600), ("b", 300), ("c", 300), ("d", 5000), ("e", 10)):
        harness.advance(1)
        harness.accept(id=id, input="x" * size)
    claimed = [[c.id for c in harness.claim(f"w{n}")] for n in range(4)]
    assert claimed == [["a", "b"], ["c"], ["d"], ["e"]]
