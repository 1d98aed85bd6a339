"""Accepting predictions: recorded once, queued in order, refused when full, and given another life."""

import pytest

from contract.ledger.transitions import (
    Conflicting,
    Created,
    Full,
    Page,
    create,
    read_dead_list,
    replay,
)
from contract.prediction import Priority, Status
from tests.support.ledger_harness import START, LedgerHarness


def test_an_accepted_prediction_is_recorded_and_queued(harness: LedgerHarness) -> None:
    creation = harness.create(harness.new_prediction(id="a", input='{"text": "hi"}', version="v1"))

    assert isinstance(creation.results[0], Created)
    assert creation.now == START
    found = harness.get("a")
    assert (found.status, found.attempt, found.input) == (Status.STARTING, 0, '{"text": "hi"}')
    assert found.created_at == pytest.approx(START, abs=1e-3)
    assert found.queue_position == 1
    assert found.deadline is None
    assert harness.members("queued") == ["a"]
    assert harness.redis.smembers(harness.ledger.key("models")) == {b"m"}


def test_predictions_of_one_call_keep_their_order(harness: LedgerHarness) -> None:
    ids = [f"p{n}" for n in range(30)]
    harness.create(*(harness.new_prediction(id=id) for id in ids))

    assert harness.members("queued") == ids
    assert [harness.get(id).sequence for id in ids] == list(range(1, 31))


def test_a_call_sends_one_wakeup_a_batch(harness: LedgerHarness) -> None:
    creation = harness.create(*(harness.new_prediction() for _ in range(9)))

    assert creation.wakeups == {"m": [1, 2, 3]}
    assert harness.create(harness.new_prediction()).wakeups == {"m": []}


def test_a_call_may_hold_predictions_of_several_models(harness: LedgerHarness) -> None:
    creation = harness.create(
        harness.new_prediction(id="a"),
        harness.new_prediction(id="b", model="other", max_batch_size=1),
    )

    assert creation.wakeups == {"m": [1], "other": [2]} or creation.wakeups == {
        "m": [2],
        "other": [1],
    }
    assert harness.members("queued", "m") == ["a"]
    assert harness.members("queued", "other") == ["b"]


def test_the_same_id_is_accepted_once_and_answers_the_original(harness: LedgerHarness) -> None:
    first = harness.new_prediction(id="a", digest="d", input="1", receipt="r1")
    harness.create(first)
    again = harness.create(harness.new_prediction(id="a", digest="d", input="2", receipt="r2"))

    assert again.results == [Created(harness.get("a"), repeated=True)]
    assert again.wakeups == {}
    assert harness.get("a").input == "1"
    assert harness.members("queued") == ["a"]


def test_the_same_key_is_accepted_once_and_answers_the_original(harness: LedgerHarness) -> None:
    harness.accept(id="a", digest="d", idempotency_key="k")
    (again,) = harness.create(
        harness.new_prediction(id="b", digest="d", idempotency_key="k")
    ).results

    assert isinstance(again, Created)
    assert again.repeated
    assert again.prediction.id == "a"
    assert harness.record("b") == {}


def test_the_same_key_twice_in_one_call_is_accepted_once(harness: LedgerHarness) -> None:
    twice = [harness.new_prediction(id=id, digest="d", idempotency_key="k") for id in "ab"]
    first, second = harness.create(*twice).results

    assert [first.repeated, second.repeated] == [False, True]
    assert second.prediction.id == "a"


def test_a_repeated_request_answers_an_outcome_that_is_there(harness: LedgerHarness) -> None:
    harness.accept(id="a", digest="d")
    harness.finish(harness.claim(), '"yes"')
    (again,) = harness.create(harness.new_prediction(id="a", digest="d")).results

    assert again.prediction.status is Status.SUCCEEDED
    assert again.prediction.output == '"yes"'
    assert harness.members("queued") == []


def test_another_request_under_the_same_id_conflicts(harness: LedgerHarness) -> None:
    harness.accept(id="a", digest="d")

    assert harness.create(harness.new_prediction(id="a", digest="e")).results == [Conflicting("a")]


def test_another_request_under_the_same_key_conflicts(harness: LedgerHarness) -> None:
    harness.accept(id="a", digest="d", idempotency_key="k")
    other = harness.new_prediction(id="b", digest="e", idempotency_key="k")

    assert harness.create(other).results == [Conflicting("a")]


def test_another_owners_id_conflicts_and_stays_theirs(harness: LedgerHarness) -> None:
    harness.accept(id="a", digest="d", owner="alice")

    assert harness.create(harness.new_prediction(id="a", digest="d", owner="bob")).results == [
        Conflicting("a")
    ]
    assert harness.get("a").owner == "alice"


def test_owners_may_use_the_same_key(harness: LedgerHarness) -> None:
    harness.accept(id="a", digest="d", owner="alice", idempotency_key="k")
    harness.accept(id="b", digest="d", owner="bob", idempotency_key="k")

    assert harness.members("queued") == ["a", "b"]


def test_a_call_that_is_sent_again_changes_nothing(harness: LedgerHarness) -> None:
    call = create([harness.new_prediction(id="a", digest="-", watcher="gw")])
    harness.run(call)
    before = harness.record("a")
    harness.run(call)

    assert harness.record("a") == before
    assert harness.members("wakeups") == ["1"]


def test_a_full_queue_takes_no_more_and_says_how_many_wait(harness: LedgerHarness) -> None:
    terms = {"max_queue": 2}
    results = harness.create(*(harness.new_prediction(id=id, **terms) for id in "abc")).results

    assert [type(r) for r in results] == [Created, Created, Full]
    assert results[2] == Full(2, None)
    assert harness.record("c") == {}
    assert harness.members("created", "local") == ["a", "b"]


def test_a_full_queue_says_when_it_moves_on_once_the_pace_is_known(harness: LedgerHarness) -> None:
    harness.accept()
    harness.finish(harness.claim())
    harness.accept()

    assert harness.create(harness.new_prediction(max_queue=1)).results == [Full(1, 0.5)]


def test_a_full_queue_still_answers_a_repeated_request(harness: LedgerHarness) -> None:
    harness.accept(id="a", digest="d")
    (again,) = harness.create(harness.new_prediction(id="a", digest="d", max_queue=1)).results

    assert isinstance(again, Created)


def test_an_answer_says_when_it_will_be_done_once_the_pace_is_known(harness: LedgerHarness) -> None:
    harness.accept()
    harness.finish(harness.claim())
    results = harness.create(*(harness.new_prediction(max_batch_size=1) for _ in range(3))).results

    assert [r.prediction.eta_seconds for r in results] == [0.5, 1.0, 1.5]
    assert [r.prediction.queue_position for r in results] == [1, 2, 3]


def test_a_full_queue_has_room_again_after_a_claim(harness: LedgerHarness) -> None:
    harness.accept(max_queue=1)
    harness.claim()
    harness.accept(max_queue=1)


def test_a_deadline_is_counted_from_the_ledgers_own_clock(harness: LedgerHarness) -> None:
    (created,) = harness.create(harness.new_prediction(id="a", deadline_seconds=10)).results

    assert created.prediction.deadline == pytest.approx(START + 10)
    assert harness.get("a").deadline == pytest.approx(START + 10)
    assert harness.members("deadlines", "") == ["a"]


def test_priorities_count_as_accepted_earlier_or_later(harness: LedgerHarness) -> None:
    for id, priority in (("l", Priority.LOW), ("n", Priority.NORMAL), ("h", Priority.HIGH)):
        harness.accept(id=id, priority=priority, credit_seconds=priority.credit_seconds(300))

    assert harness.members("queued") == ["h", "n", "l"]
    harness.advance(599)
    harness.accept(id="late", priority=Priority.HIGH, credit_seconds=300)
    assert harness.members("queued") == ["h", "n", "late", "l"]
    harness.advance(600)
    harness.accept(id="later", priority=Priority.HIGH, credit_seconds=300)
    assert harness.members("queued") == ["h", "n", "late", "l", "later"], "nothing starves"


def test_the_position_that_is_answered_knows_of_priorities(harness: LedgerHarness) -> None:
    harness.create(*(harness.new_prediction() for _ in range(5)))
    (created,) = harness.create(
        harness.new_prediction(id="h", priority=Priority.HIGH, credit_seconds=300)
    ).results

    assert created.prediction.queue_position == 1
    assert harness.get("h").queue_position == 1


def test_never_more_than_64_messages_are_out_there(harness: LedgerHarness) -> None:
    creation = harness.create(*(harness.new_prediction(max_batch_size=1) for _ in range(100)))

    assert len(creation.wakeups["m"]) == 64
    assert harness.create(harness.new_prediction(max_batch_size=1)).wakeups == {"m": []}
    harness.claim(wakeup=1, max_batch_size=1)
    assert len(harness.members("wakeups")) == 64


def test_repeated_creates_are_answered_with_their_records_up_to_a_bound(
    harness: LedgerHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("contract.ledger.transitions.accepting.MOST_PAGE_BYTES", 2500)
    many = [
        harness.new_prediction(id=id, input="x" * 1000, digest="d", receipt="1") for id in "abc"
    ]
    harness.create(*many)
    for one in many:
        one.prediction.receipt = "2"
    results = harness.create(*many).results
    found = [(r.prediction.id, r.brief, len(r.prediction.input)) for r in results]
    assert found == [("a", False, 1000), ("b", False, 1000), ("c", True, 2)]
    assert all(r.repeated for r in results)


def ids(page: Page) -> list[str]:
    return [prediction.id for prediction in page.predictions]


def test_a_dead_prediction_gets_another_life_under_a_new_id(harness: LedgerHarness) -> None:
    harness.accept(
        id="a",
        input='{"text": "hi"}',
        version="v1",
        owner="alice",
        digest="d",
        idempotency_key="k",
        priority=Priority.HIGH,
        credit_seconds=300,
        result_ttl=60.5,
    )
    harness.lose(3)
    fresh, wakeups = harness.run(replay("a", "b", 4))

    assert (fresh.id, fresh.replay_of, fresh.status) == ("b", "a", Status.STARTING)
    assert (fresh.input, fresh.version, fresh.owner) == ('{"text": "hi"}', "v1", "alice")
    assert (fresh.priority, fresh.result_ttl, fresh.attempt) == (Priority.HIGH, 60.5, 0)
    assert harness.redis.zscore(harness.ledger.key("queued", "m"), "b") == pytest.approx(
        harness.now - 300
    )
    assert wakeups == [], "the wake-up for the last attempt is still out there"
    assert harness.run(read_dead_list("m")) == []
    assert harness.status("a") is Status.FAILED
    harness.finish(harness.claim())
    assert harness.status("b") is Status.SUCCEEDED


def test_a_replay_sends_a_wakeup_when_no_message_is_out(harness: LedgerHarness) -> None:
    harness.accept(id="a")
    harness.lose(3)
    harness.redis.delete(harness.ledger.key("wakeups", "m"))
    _, wakeups = harness.run(replay("a", "b", 4))

    assert len(wakeups) == 1


def test_a_replay_that_is_sent_again_gives_one_life(harness: LedgerHarness) -> None:
    harness.accept(id="a")
    harness.lose(3)
    again = replay("a", "b", 4)
    first = harness.run(again)
    second = harness.run(again)

    assert first is not None
    assert second is not None
    assert first[0] == second[0]
    assert harness.members("queued") == ["b"]


def test_only_what_is_on_the_dead_list_can_be_replayed(harness: LedgerHarness) -> None:
    harness.accept(id="a")
    harness.accept(id="b")
    harness.finish(harness.claim(limit=1), error="bad", error_code="model_error")

    for id in ("a", "b", "nobody"):
        assert harness.run(replay(id, "c", 4)) is None
    assert harness.record("c") == {}


def test_a_dead_prediction_is_replayed_once(harness: LedgerHarness) -> None:
    harness.accept(id="a")
    harness.lose(3)

    assert harness.run(replay("a", "b", 4)) is not None
    assert harness.run(replay("a", "c", 4)) is None
