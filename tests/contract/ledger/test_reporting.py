"""What running predictions report: logs, progress and pieces of output, each once and in order."""

import msgpack

from contract.ledger.transitions import (
    MOST_EVENTS,
    MOST_LOG_BYTES,
    MOST_STREAMED_BYTES,
    Report,
    report,
)
from tests.support.ledger_harness import LedgerHarness


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


def test_what_was_streamed_stays_and_a_new_attempt_gets_it(harness: LedgerHarness) -> None:
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
