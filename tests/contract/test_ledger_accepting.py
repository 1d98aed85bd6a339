"""The ledger accepts: once, in order, within the queue's bound and in time."""

import pytest
from desk import START, Desk

from contract.ledger.transitions import Conflicting, Created, Full, create
from contract.prediction import Priority, Status


def test_an_accepted_prediction_is_recorded_and_queued(desk: Desk) -> None:
    creation = desk.create(desk.submission(id="a", input='{"text": "hi"}', version="v1"))

    assert isinstance(creation.results[0], Created)
    assert creation.now == START
    found = desk.get("a")
    assert (found.status, found.attempt, found.input) == (Status.STARTING, 0, '{"text": "hi"}')
    assert found.created_at == pytest.approx(START, abs=1e-3)
    assert found.queue_position == 1
    assert found.deadline is None
    assert desk.members("queued") == ["a"]
    assert desk.redis.smembers(desk.ledger.key("models")) == {b"m"}


def test_predictions_of_one_call_keep_their_order(desk: Desk) -> None:
    ids = [f"p{n}" for n in range(30)]
    desk.create(*(desk.submission(id=id) for id in ids))

    assert desk.members("queued") == ids
    assert [desk.get(id).sequence for id in ids] == list(range(1, 31))


def test_a_call_sends_one_wakeup_a_batch(desk: Desk) -> None:
    creation = desk.create(*(desk.submission() for _ in range(9)))

    assert creation.wakeups == {"m": [1, 2, 3]}
    assert desk.create(desk.submission()).wakeups == {"m": []}


def test_a_call_may_hold_predictions_of_several_models(desk: Desk) -> None:
    creation = desk.create(
        desk.submission(id="a"), desk.submission(id="b", model="other", max_batch_size=1)
    )

    assert creation.wakeups == {"m": [1], "other": [2]} or creation.wakeups == {
        "m": [2],
        "other": [1],
    }
    assert desk.members("queued", "m") == ["a"]
    assert desk.members("queued", "other") == ["b"]


def test_the_same_id_is_accepted_once_and_answers_the_original(desk: Desk) -> None:
    first = desk.submission(id="a", digest="d", input="1", receipt="r1")
    desk.create(first)
    again = desk.create(desk.submission(id="a", digest="d", input="2", receipt="r2"))

    assert again.results == [Created(desk.get("a"), repeated=True)]
    assert again.wakeups == {}
    assert desk.get("a").input == "1"
    assert desk.members("queued") == ["a"]


def test_the_same_key_is_accepted_once_and_answers_the_original(desk: Desk) -> None:
    desk.accept(id="a", digest="d", idempotency_key="k")
    (again,) = desk.create(desk.submission(id="b", digest="d", idempotency_key="k")).results

    assert isinstance(again, Created)
    assert again.repeated
    assert again.prediction.id == "a"
    assert desk.record("b") == {}


def test_the_same_key_twice_in_one_call_is_accepted_once(desk: Desk) -> None:
    twice = [desk.submission(id=id, digest="d", idempotency_key="k") for id in "ab"]
    first, second = desk.create(*twice).results

    assert [first.repeated, second.repeated] == [False, True]
    assert second.prediction.id == "a"


def test_a_repeated_request_answers_an_outcome_that_is_there(desk: Desk) -> None:
    desk.accept(id="a", digest="d")
    desk.finish(desk.claim(), '"yes"')
    (again,) = desk.create(desk.submission(id="a", digest="d")).results

    assert again.prediction.status is Status.SUCCEEDED
    assert again.prediction.output == '"yes"'
    assert desk.members("queued") == []


def test_another_request_under_the_same_id_conflicts(desk: Desk) -> None:
    desk.accept(id="a", digest="d")

    assert desk.create(desk.submission(id="a", digest="e")).results == [Conflicting("a")]


def test_another_request_under_the_same_key_conflicts(desk: Desk) -> None:
    desk.accept(id="a", digest="d", idempotency_key="k")
    other = desk.submission(id="b", digest="e", idempotency_key="k")

    assert desk.create(other).results == [Conflicting("a")]


def test_another_owners_id_conflicts_and_stays_theirs(desk: Desk) -> None:
    desk.accept(id="a", digest="d", owner="alice")

    assert desk.create(desk.submission(id="a", digest="d", owner="bob")).results == [
        Conflicting("a")
    ]
    assert desk.get("a").owner == "alice"


def test_owners_may_use_the_same_key(desk: Desk) -> None:
    desk.accept(id="a", digest="d", owner="alice", idempotency_key="k")
    desk.accept(id="b", digest="d", owner="bob", idempotency_key="k")

    assert desk.members("queued") == ["a", "b"]


def test_a_call_that_is_sent_again_changes_nothing(desk: Desk) -> None:
    call = create([desk.submission(id="a", digest="-", watcher="gw")])
    desk.run(call)
    before = desk.record("a")
    desk.run(call)

    assert desk.record("a") == before
    assert desk.members("wakeups") == ["1"]


def test_a_full_queue_takes_no_more_and_says_how_many_wait(desk: Desk) -> None:
    terms = {"max_queue": 2}
    results = desk.create(*(desk.submission(id=id, **terms) for id in "abc")).results

    assert [type(r) for r in results] == [Created, Created, Full]
    assert results[2] == Full(2, None)
    assert desk.record("c") == {}
    assert desk.members("created", "local") == ["a", "b"]


def test_a_full_queue_says_when_it_moves_on_once_the_pace_is_known(desk: Desk) -> None:
    desk.accept()
    desk.finish(desk.claim())
    desk.accept()

    assert desk.create(desk.submission(max_queue=1)).results == [Full(1, 0.5)]


def test_a_full_queue_still_answers_a_repeated_request(desk: Desk) -> None:
    desk.accept(id="a", digest="d")
    (again,) = desk.create(desk.submission(id="a", digest="d", max_queue=1)).results

    assert isinstance(again, Created)


def test_an_answer_says_when_it_will_be_done_once_the_pace_is_known(desk: Desk) -> None:
    desk.accept()
    desk.finish(desk.claim())
    results = desk.create(*(desk.submission(max_batch_size=1) for _ in range(3))).results

    assert [r.prediction.eta_seconds for r in results] == [0.5, 1.0, 1.5]
    assert [r.prediction.queue_position for r in results] == [1, 2, 3]


def test_a_full_queue_has_room_again_after_a_claim(desk: Desk) -> None:
    desk.accept(max_queue=1)
    desk.claim()
    desk.accept(max_queue=1)


def test_a_deadline_is_counted_from_the_ledgers_own_clock(desk: Desk) -> None:
    (created,) = desk.create(desk.submission(id="a", deadline_seconds=10)).results

    assert created.prediction.deadline == pytest.approx(START + 10)
    assert desk.get("a").deadline == pytest.approx(START + 10)
    assert desk.members("deadlines", "") == ["a"]


def test_priorities_count_as_accepted_earlier_or_later(desk: Desk) -> None:
    for id, priority in (("l", Priority.LOW), ("n", Priority.NORMAL), ("h", Priority.HIGH)):
        desk.accept(id=id, priority=priority, credit_seconds=priority.credit_seconds(300))

    assert desk.members("queued") == ["h", "n", "l"]
    desk.advance(599)
    desk.accept(id="late", priority=Priority.HIGH, credit_seconds=300)
    assert desk.members("queued") == ["h", "n", "late", "l"]
    desk.advance(600)
    desk.accept(id="later", priority=Priority.HIGH, credit_seconds=300)
    assert desk.members("queued") == ["h", "n", "late", "l", "later"], "nothing starves"


def test_the_position_that_is_answered_knows_of_priorities(desk: Desk) -> None:
    desk.create(*(desk.submission() for _ in range(5)))
    (created,) = desk.create(
        desk.submission(id="h", priority=Priority.HIGH, credit_seconds=300)
    ).results

    assert created.prediction.queue_position == 1
    assert desk.get("h").queue_position == 1


def test_never_more_than_64_messages_are_out_there(desk: Desk) -> None:
    creation = desk.create(*(desk.submission(max_batch_size=1) for _ in range(100)))

    assert len(creation.wakeups["m"]) == 64
    assert desk.create(desk.submission(max_batch_size=1)).wakeups == {"m": []}
    desk.claim(wakeup=1, max_batch_size=1)
    assert len(desk.members("wakeups")) == 64


def test_repeated_creates_are_answered_with_their_records_up_to_a_bound(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("contract.ledger.transitions.MOST_PAGE_BYTES", 2500)
    many = [desk.submission(id=id, input="x" * 1000, digest="d", receipt="1") for id in "abc"]
    desk.create(*many)
    for one in many:
        one.prediction.receipt = "2"
    results = desk.create(*many).results
    found = [(r.prediction.id, r.brief, len(r.prediction.input)) for r in results]
    assert found == [("a", False, 1000), ("b", False, 1000), ("c", True, 2)]
    assert all(r.repeated for r in results)
