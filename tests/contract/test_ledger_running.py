"""The ledger while workers run: claims, leases, fencing, outcomes and reports."""

import msgpack
import pytest
from desk import START, Desk

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
    follow,
    report,
)
from contract.prediction import Prediction, Status


def test_a_claim_takes_the_oldest_up_to_a_batch_and_sends_wakeups_for_the_rest(desk: Desk) -> None:
    desk.create(*(desk.submission(id=id, input=f'"{id}"') for id in "abcde"))
    assert desk.wakeups == [1, 2]
    desk.advance(3)
    claimed = desk.claim(wakeup=1)

    assert [c.id for c in claimed] == list("abcd")
    assert [c.input for c in claimed] == ['"a"', '"b"', '"c"', '"d"']
    assert {c.attempt for c in claimed} == {1}
    assert claimed[0].queue_seconds == pytest.approx(3, abs=1e-3)
    assert desk.members("queued") == ["e"]
    assert desk.members("running") == list("abcd")
    assert desk.members("busy") == ["w1"]
    assert desk.members("wakeups") == ["2"]
    found = desk.get("a")
    assert (found.status, found.attempt, found.worker) == (Status.PROCESSING, 1, "w1")
    assert found.started_at == START + 3
    assert found.queue_position is None


def test_a_claim_may_ask_for_less_than_a_batch(desk: Desk) -> None:
    desk.create(*(desk.submission(id=id) for id in "abc"))

    assert [c.id for c in desk.claim(limit=2)] == ["a", "b"]


@pytest.mark.parametrize("wakeup", [0, 1, 999])
def test_a_claim_by_a_stale_or_doubled_wakeup_is_harmless(desk: Desk, wakeup: int) -> None:
    desk.accept(id="a")
    desk.claim(wakeup=1)

    assert desk.claim("w2", wakeup=wakeup) == []
    assert desk.members("running") == ["a"]
    assert desk.members("busy") == ["w1"], "who found nothing is not busy"


def test_a_stale_wakeup_takes_what_waits_and_leaves_the_wakeups_of_others(desk: Desk) -> None:
    desk.accept(id="a")
    (claimed,) = desk.claim(wakeup=999)

    assert claimed.id == "a"
    assert desk.members("wakeups") == ["1"], "its message is still on its way"
    assert desk.claim("w2", wakeup=1) == []


def test_a_claim_that_leaves_something_waiting_sends_a_wakeup_when_no_message_is_out(
    desk: Desk,
) -> None:
    desk.create(*(desk.submission() for _ in range(5)))
    desk.claim(wakeup=2)
    desk.wakeups.clear()
    desk.create(*(desk.submission() for _ in range(4)))
    desk.claim(wakeup=1)

    assert len(desk.members("queued")) == 1
    assert desk.members("wakeups") == [str(wakeup) for wakeup in desk.wakeups]
    assert len(desk.wakeups) == 1


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
    claimed = desk.claim(wakeup=1)
    desk.advance(1)
    desk.accept(id="c")
    desk.advance(1)
    desk.wakeups.clear()
    wakeups = desk.release(claimed)

    assert desk.members("queued") == ["a", "b", "c"]
    assert desk.members("running") == []
    assert desk.members("busy") == []
    assert desk.members("limits", "") == []
    assert wakeups == [], "the message of c is still out there"
    assert desk.status("a") is Status.STARTING
    assert [(c.id, c.attempt) for c in desk.claim()] == [("a", 2), ("b", 2), ("c", 1)]


def test_a_release_asks_for_a_wakeup_when_no_message_is_out(desk: Desk) -> None:
    desk.accept()

    assert len(desk.release(desk.claim(wakeup=1))) == 1


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
    desk.run(report([Report("a", 1, None, "two", [("output", "llo\n🙂")], 2)]))

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


def say(desk: Desk, attempt: int, offset: int, *pieces: str) -> None:
    events = [("output", piece) for piece in pieces]
    desk.run(report([Report("a", attempt, events=events, offset=offset)]))


def test_what_was_streamed_stays_and_a_new_attempt_is_told_of_it(desk: Desk) -> None:
    desk.accept(id="a")
    (claimed,) = desk.claim()
    assert claimed.streamed == ""
    desk.run(report([Report("a", 1, None, "x", [("output", "é"), ("logs", "x"), ("output", "b")])]))
    for again in (desk.release, lambda lost: (desk.advance(16), desk.sweep())):
        again([claimed])
        (claimed,) = desk.claim("w1")
        assert claimed.streamed == "éb"
    assert desk.view("a").events == [("output", "é"), ("logs", "x"), ("output", "b")]
    say(desk, 3, 3, "c")
    assert desk.view("a").events[3:] == [("output", "c")]


def test_pieces_that_were_streamed_before_are_not_streamed_again(desk: Desk) -> None:
    desk.accept(id="a")
    desk.claim()
    say(desk, 1, 0, "a", "b")
    desk.advance(16)
    desk.sweep()
    desk.claim("w2")
    for offset, piece in enumerate("abcd"):
        say(desk, 2, offset, piece)

    assert [text for _, text in desk.view("a").events] == ["a", "b", "c", "d"]


def test_a_gap_in_a_stream_is_never_closed_up(desk: Desk) -> None:
    desk.accept(id="a")
    desk.claim()
    say(desk, 1, 0, "a")
    say(desk, 1, 2, "c", "d")  # what stood between them was lost
    assert [text for _, text in desk.view("a").events] == ["a"]
    say(desk, 1, 1, "b", "c")
    assert [text for _, text in desk.view("a").events] == ["a", "b", "c"]


def test_what_a_worker_of_an_older_version_streamed_counts(desk: Desk) -> None:
    desk.accept(id="a")
    desk.claim()
    old = [msgpack.packb(event) for event in (("output", "He"), ("logs", "x"), ("output", "l"))]
    desk.redis.rpush(desk.ledger.key("events", "a"), *old)
    desk.advance(16)
    desk.sweep()
    (claimed,) = desk.claim("w2")
    say(desk, 2, len(claimed.streamed), "lo")

    assert claimed.streamed == "Hel"
    assert desk.view("a").events[3:] == [("output", "lo")]


def test_what_an_older_version_took_back_is_streamed_again(desk: Desk) -> None:
    desk.accept(id="a")
    claimed = desk.claim()
    say(desk, 1, 0, "Hel")
    desk.release(claimed)
    desk.redis.delete(desk.ledger.key("events", "a"))  # as its scripts did
    (claimed,) = desk.claim("w2")
    say(desk, 2, 0, "Hello")

    assert claimed.streamed == ""
    assert desk.view("a").events == [("output", "Hello")]


def test_a_stream_is_bounded_in_bytes_and_ends_at_a_piece(desk: Desk) -> None:
    desk.accept(id="a")
    desk.claim()
    third = "é" * (MOST_STREAMED_BYTES // 6)
    say(desk, 1, 0, third, third, third, third, "x")
    say(desk, 1, 4 * len(third.encode()) + 1, "x")
    assert [text for _, text in desk.view("a").events] == [third] * 3
    desk.run(report([Report("a", 1, None, "still\n", [("logs", "still\n")])]))
    assert desk.view("a").events[3:] == [("logs", "still\n")]


def test_a_stream_is_bounded_in_events(desk: Desk) -> None:
    desk.accept(id="a")
    desk.claim()
    for offset in range(0, MOST_EVENTS + 10_000, 10_000):
        say(desk, 1, offset, *("x" * 10_000))

    assert desk.redis.llen(desk.ledger.key("events", "a")) == MOST_EVENTS
    assert desk.record("a")[b"streamed"] == b"%d" % MOST_EVENTS


def test_a_stream_has_the_first_of_the_logs_and_the_record_the_last(desk: Desk) -> None:
    desk.accept(id="a")
    desk.claim()
    lines = [f"{n:09}\n" for n in range(10_000)]
    for first in range(0, 10_000, 1000):
        some = lines[first : first + 1000]
        events = [("logs", line) for line in some]
        desk.run(report([Report("a", 1, None, "".join(some), events)]))
    say(desk, 1, 0, "x")

    view = desk.view("a")
    assert view.events == [("logs", line) for line in lines[: MOST_LOG_BYTES // 10]] + [
        ("output", "x")
    ]
    assert view.prediction.logs == "".join(lines)[-MOST_LOG_BYTES:]


def test_a_listener_reads_what_is_new_and_nothing_of_the_record(desk: Desk) -> None:
    desk.accept(id="a", input='"secret"')
    assert desk.run(follow("a", "local", 0)) == Streamed(Status.STARTING, [])
    claimed = desk.claim()
    say(desk, 1, 0, "a", "b", "c")
    assert desk.run(follow("a", "local", 1, most=1)) == Streamed(
        Status.PROCESSING, [("output", "b")], more=True
    )
    desk.finish(claimed, '"abcd"', said=4)
    pieces = [("output", piece) for piece in "abc"]
    assert desk.run(follow("a", "local", 0, most=3)) == Streamed(
        Status.SUCCEEDED, pieces, more=True
    )
    assert desk.run(follow("a", "local", 3)) == Streamed(
        Status.SUCCEEDED, [], output='"abcd"', said=4
    )
    assert desk.run(follow("a", "local", 0, most=0)) == Streamed(Status.SUCCEEDED, [], more=True)
    assert desk.run(follow("a", "somebody else", 0)) is None
    assert desk.run(follow("b", "local", 0)) is None


def test_a_listener_may_ask_to_be_told_of_the_rest(desk: Desk) -> None:
    desk.accept(id="a")
    claimed = desk.claim()
    desk.run(follow("a", "local", 0, watcher="gw"))
    desk.run(follow("a", "local", 0, watcher="gw"))
    with desk.redis.pubsub(ignore_subscribe_messages=True) as channel:
        channel.subscribe(desk.ledger.key("answers", "gw"))
        channel.get_message(timeout=5)
        say(desk, 1, 0, "a")
        assert msgpack.unpackb(channel.get_message(timeout=5)["data"]) == [["a", "events"]]
        say(desk, 1, 0, "a")
        desk.finish(claimed, error="no", error_code="model_error")
        ((id, kind, fields),) = msgpack.unpackb(channel.get_message(timeout=5)["data"])
    assert (id, kind, fields["error"]) == ("a", "outcome", "no")
    ended = desk.run(follow("a", "local", 1))
    assert ended == Streamed(Status.FAILED, [], error="no")


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


def test_an_error_is_kept_up_to_a_bound(desk: Desk) -> None:
    id = desk.accept()
    desk.finish(desk.claim(), error="e" * 1_000_000, error_code="c" * 1_000_000)
    record = desk.get(id)
    assert (len(record.error or ""), len(record.error_code or "")) == (2000, 64)


def test_a_claim_takes_inputs_up_to_a_bound_and_one_that_is_larger_alone(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("contract.ledger.transitions.MOST_CLAIM_BYTES", 1000)
    for id, size in (("a", 600), ("b", 300), ("c", 300), ("d", 5000), ("e", 10)):
        desk.advance(1)
        desk.accept(id=id, input="x" * size)
    claimed = [[c.id for c in desk.claim(f"w{n}")] for n in range(4)]
    assert claimed == [["a", "b"], ["c"], ["d"], ["e"]]
