"""Reading predictions: by id, as a stream, by page, and the dead list."""

import msgpack
import pytest

from contract.ledger.transitions import (
    Page,
    Report,
    Streamed,
    list_page,
    read_dead_list,
    read_predictions,
    read_statuses,
    read_stream,
    report,
)
from contract.prediction import Status
from tests.support.ledger_harness import START, LedgerHarness


def test_reading_gives_each_prediction_or_nothing_in_order(harness: LedgerHarness) -> None:
    harness.accept(id="a")
    harness.accept(id="b")
    views = harness.run(read_predictions([("b", -1), ("nobody", -1), ("a", -1)]))

    assert [view and view.prediction.id for view in views] == ["b", None, "a"]


def test_another_owners_prediction_reads_like_one_that_does_not_exist(
    harness: LedgerHarness,
) -> None:
    harness.accept(id="a", owner="alice")

    assert harness.view("a", owner="alice") is not None
    assert harness.view("a", owner="bob", watcher="gw") is None
    assert b"watchers" not in harness.record("a")


def test_who_reads_with_a_watcher_hears_of_all_that_follows(harness: LedgerHarness) -> None:
    harness.accept(id="a")
    harness.view("a", watcher="gw")
    with harness.redis.pubsub(ignore_subscribe_messages=True) as channel:
        channel.subscribe(harness.ledger.key("answers", "gw"))
        channel.get_message(timeout=5)
        harness.cancel("a")
        assert channel.get_message(timeout=5) is not None


def test_what_waits_is_read_with_its_position_and_estimated_time(harness: LedgerHarness) -> None:
    harness.create(*(harness.new_prediction(id=f"p{n}") for n in range(12)))
    assert harness.get("p0").eta_seconds is None
    harness.finish(harness.claim())  # four of them in half a second

    assert (harness.get("p4").queue_position, harness.get("p4").eta_seconds) == (1, 0.5)
    assert (harness.get("p8").queue_position, harness.get("p8").eta_seconds) == (5, 1.0)
    harness.claim("w1", limit=1)
    harness.claim("w2", limit=1)
    assert harness.get("p11").queue_position == 6
    assert harness.get("p11").eta_seconds == 0.5, "two workers share the queue"


def ids(page: Page) -> list[str]:
    return [prediction.id for prediction in page.predictions]


def test_a_page_is_newest_first_and_shows_only_the_owners(harness: LedgerHarness) -> None:
    for id in "abc":
        harness.accept(id=id, owner="alice")
    harness.accept(id="d", owner="bob")
    page = harness.run(list_page("alice"))

    assert ids(page) == ["c", "b", "a"]
    assert not page.more
    assert harness.run(list_page("nobody")) == Page([], None, False)


def test_pages_lead_from_the_newest_to_the_oldest_and_back(harness: LedgerHarness) -> None:
    for n in range(7):
        harness.accept(id=f"p{n}")
    first = harness.run(list_page("local", limit=3))
    second = harness.run(list_page("local", limit=3, before=first.last))
    third = harness.run(list_page("local", limit=3, before=second.last))

    assert [ids(first), ids(second), ids(third)] == [
        ["p6", "p5", "p4"],
        ["p3", "p2", "p1"],
        ["p0"],
    ]
    assert [first.more, second.more, third.more] == [True, True, False]
    back = harness.run(list_page("local", limit=3, after=third.last))
    assert ids(back) == ["p1", "p2", "p3"]
    assert back.more
    assert ids(harness.run(list_page("local", limit=3, after=back.last))) == ["p4", "p5", "p6"]


def test_a_page_that_ends_with_the_last_one_says_so(harness: LedgerHarness) -> None:
    for n in range(3):
        harness.accept(id=f"p{n}")

    assert not harness.run(list_page("local", limit=3)).more


def test_pages_show_one_model_or_one_status_only(harness: LedgerHarness) -> None:
    for n in range(6):
        harness.accept(id=f"p{n}", model="m" if n % 2 else "other")
    harness.cancel("p1")
    harness.cancel("p2")

    assert ids(harness.run(list_page("local", model="m"))) == ["p5", "p3", "p1"]
    assert ids(harness.run(list_page("local", status="canceled"))) == ["p2", "p1"]
    assert ids(harness.run(list_page("local", model="m", status="canceled"))) == ["p1"]
    assert ids(harness.run(list_page("local", model="m", after=2, limit=1))) == ["p3"]


def test_a_search_looks_at_a_bounded_number_of_records_and_can_go_on(
    harness: LedgerHarness,
) -> None:
    for n in range(10):
        harness.accept(id=f"p{n}")
    harness.cancel("p0")
    found, before, pages = [], None, 0
    while True:
        page = harness.run(list_page("local", status="canceled", before=before, most_read=4))
        found += ids(page)
        before = page.last
        pages += 1
        if not page.more:
            break

    assert found == ["p0"]
    assert pages == 3


def test_a_page_of_large_records_ends_early_in_both_directions(harness: LedgerHarness) -> None:
    for n in range(6):
        harness.accept(id=f"p{n}", input="x" * 1000)
    first = harness.run(list_page("local", most_bytes=2500))
    second = harness.run(list_page("local", most_bytes=2500, before=first.last))
    third = harness.run(list_page("local", most_bytes=2500, before=second.last))
    assert [ids(page) for page in (first, second, third)] == [
        ["p5", "p4"],
        ["p3", "p2"],
        ["p1", "p0"],
    ]
    assert [page.more for page in (first, second, third)] == [True, True, False]
    back = harness.run(list_page("local", most_bytes=2500, after=third.last))
    assert (ids(back), back.more) == (["p1", "p2"], True)
    assert ids(harness.run(list_page("local", most_bytes=2500, after=back.last))) == ["p3", "p4"]


@pytest.mark.parametrize("after", [None, 0])
def test_a_record_that_is_larger_than_a_page_is_a_page(
    harness: LedgerHarness, after: int | None
) -> None:
    for n in range(3):
        harness.accept(id=f"p{n}", input="x" * 1000)
    found, bound = [], after
    for _ in range(3):
        bounds = {"before": bound} if after is None else {"after": bound}
        page = harness.run(list_page("local", most_bytes=10, **bounds))
        assert len(page.predictions) == 1
        found += ids(page)
        bound = page.last
    assert sorted(found) == ["p0", "p1", "p2"]
    assert not page.more


def test_what_came_out_counts_for_a_page_too(harness: LedgerHarness) -> None:
    for n in range(3):
        harness.accept(id=f"p{n}")
    harness.finish(harness.claim(), '"' + "y" * 1000 + '"')
    assert ids(harness.run(list_page("local", most_bytes=2500))) == ["p2", "p1"]
    assert len(harness.run(list_page("local", most_bytes=10, brief=True)).predictions) == 3


def test_the_dead_list_shows_no_inputs(harness: LedgerHarness) -> None:
    id = harness.accept(input="x" * 1000)
    harness.lose(3)
    (kept,) = harness.run(read_dead_list("m"))
    assert (kept.id, kept.model, kept.attempt, kept.input) == (id, "m", 3, "{}")
    assert kept.error_code == "worker_lost"
    assert "3 times" in (kept.error or "")
    assert kept.completed_at


def test_statuses_are_read_without_the_records_and_followed_from_then_on(
    harness: LedgerHarness,
) -> None:
    done, runs, waits = (harness.accept(id=id) for id in "abc")
    harness.finish(harness.claim(limit=1))
    harness.claim(limit=1)
    asked = harness.run(read_statuses([done, runs, "gone", waits], "g1"))
    assert asked == [Status.SUCCEEDED, Status.PROCESSING, None, Status.STARTING]
    assert harness.view("gone") is None
    harness.run(read_statuses([waits], "g2"))
    assert harness.record(waits)[b"watchers"] == b"g1 g2"


def test_a_brief_page_leaves_out_what_may_be_large(harness: LedgerHarness) -> None:
    harness.accept(id="a", input='{"text": "hi"}')
    harness.finish(harness.claim())
    page = harness.run(list_page("local", brief=True))
    (brief,) = page.predictions

    assert (brief.input, brief.output) == ("{}", None)
    assert (brief.id, brief.model, brief.status) == ("a", "m", Status.SUCCEEDED)
    assert (brief.created_at, brief.predict_seconds) == (pytest.approx(START, abs=1e-3), 0.5)
    assert page.now == START


def test_the_dead_list_is_newest_first(harness: LedgerHarness) -> None:
    for id in "abc":
        harness.accept(id=id)
        harness.lose(3)

    assert [p.id for p in harness.run(read_dead_list("m"))] == ["c", "b", "a"]
    assert [p.id for p in harness.run(read_dead_list("m", most=1))] == ["c"]
    assert harness.run(read_dead_list("other")) == []


def test_what_streamed_stays_readable_after_the_end(harness: LedgerHarness) -> None:
    harness.accept(id="a")
    claimed = harness.claim()
    harness.run(report([Report("a", 1, events=[("output", "Hi")])]))
    harness.finish(claimed)

    assert harness.view("a").events == [("output", "Hi")]


def test_a_prediction_that_many_gateways_watched_is_announced_to_the_latest(
    harness: LedgerHarness,
) -> None:
    harness.accept(id="a")
    names = [f"{n:016x}" for n in range(200)]
    for name in names:
        harness.run(read_predictions([("a", -1)], watcher=name))
    watchers = harness.record("a")[b"watchers"].decode().split()
    assert watchers == names[-len(watchers) :]
    assert 50 < len(watchers) < 70


def say(harness: LedgerHarness, attempt: int, offset: int, *pieces: str) -> None:
    events = [("output", piece) for piece in pieces]
    harness.run(report([Report("a", attempt, events=events, offset=offset)]))


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


def test_a_listener_may_ask_to_hear_of_the_rest(harness: LedgerHarness) -> None:
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
