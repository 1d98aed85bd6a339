"""A create whose answer was lost: sent again it answers as the first try would have, and late it records nothing."""

import pytest
from desk import START, Desk

from contract.ledger.transitions import Conflicting, Created, Full, Late, create, recorded
from contract.prediction import Status


def test_a_create_that_is_read_after_its_caller_gave_up_records_nothing(desk: Desk) -> None:
    late = desk.submission(id="late", not_after=desk.now - 0.001)
    creation = desk.create(late, desk.submission(id="in-time", not_after=desk.now))

    assert creation.results[0] == Late()
    assert isinstance(creation.results[1], Created)
    assert desk.record("late") == {}
    assert desk.members("queued") == ["in-time"]


def test_a_late_create_wakes_nobody(desk: Desk) -> None:
    assert desk.create(desk.submission(not_after=desk.now - 1)).wakeups == {}


def test_what_an_earlier_try_recorded_is_found_however_late_the_next_one_is(desk: Desk) -> None:
    submission = desk.submission(id="a", not_after=desk.now + 2)
    desk.create(submission)
    desk.advance(3)
    (again,) = desk.create(submission).results

    assert again == Created(desk.get("a"), repeated=False)
    assert desk.members("queued") == ["a"]
    assert "not_after" not in map(bytes.decode, desk.record("a"))


def test_a_late_create_says_so_and_not_that_the_queue_is_full(desk: Desk) -> None:
    desk.accept()
    results = [
        desk.create(desk.submission(max_queue=1, not_after=desk.now + more)).results[0]
        for more in (1, -1)
    ]
    assert results == [Full(1, None), Late()]


def test_a_full_queue_still_finds_what_an_earlier_try_recorded(desk: Desk) -> None:
    submission = desk.submission(max_queue=1)
    desk.create(submission)
    (again,) = desk.create(submission).results

    assert isinstance(again, Created)
    assert not again.repeated


@pytest.mark.parametrize("key", [None, "k"])
def test_whose_create_made_a_record_is_told_by_its_receipt(desk: Desk, key: str | None) -> None:
    mine, other = (
        desk.submission(id="a", digest="d", receipt=receipt, idempotency_key=key)
        for receipt in ("mine", "other")
    )
    repeated = [desk.create(one).results[0].repeated for one in (mine, other, mine, other)]

    assert repeated == [False, True, False, True]


def test_a_key_that_stands_for_another_request_is_repeated_at_each_try(desk: Desk) -> None:
    desk.accept(id="a", digest="d", idempotency_key="k")
    other = desk.submission(id="b", digest="d", idempotency_key="k")
    results = [desk.create(other).results[0] for _ in range(2)]

    assert [(r.prediction.id, r.repeated) for r in results] == [("a", True)] * 2


def test_a_record_of_an_older_gateway_has_no_receipt_and_was_not_mine(desk: Desk) -> None:
    desk.accept(id="a", digest="d")
    (again,) = desk.create(desk.submission(id="a", digest="d", receipt="mine")).results

    assert again.repeated


def test_another_body_under_the_same_id_conflicts_also_late(desk: Desk) -> None:
    desk.accept(id="a", digest="d")
    late = desk.submission(id="a", digest="e", not_after=desk.now - 1)

    assert desk.create(late).results == [Conflicting("a")]


def test_what_was_found_is_answered_as_it_stands(desk: Desk) -> None:
    submission = desk.submission(id="a")
    desk.create(submission)
    desk.finish(desk.claim(), '"yes"')
    (again,) = desk.create(submission).results

    assert (again.prediction.status, again.prediction.output) == (Status.SUCCEEDED, '"yes"')


def test_the_wakeups_of_a_lost_answer_are_asked_for_again(desk: Desk) -> None:
    desk.create(desk.submission())
    desk.advance(1)
    lost = [desk.submission(max_batch_size=1) for _ in range(3)]
    wakeups = desk.create(*lost).wakeups["m"]
    desk.advance(1)

    assert desk.create(*lost).wakeups == {"m": wakeups}
    fresh = desk.create(*lost, desk.submission(max_batch_size=1)).wakeups["m"]
    assert sorted(fresh) == [*wakeups, wakeups[-1] + 1]


def test_nobody_is_woken_when_what_was_found_is_over(desk: Desk) -> None:
    submission = desk.submission()
    desk.create(submission)
    desk.finish(desk.claim())

    assert desk.create(submission).wakeups == {}


def test_a_create_that_is_sent_again_tells_its_gateway_once(desk: Desk) -> None:
    call = create([desk.submission(id="a", watcher="gw")])
    desk.run(call)
    desk.run(call)

    assert desk.record("a")[b"watchers"] == b"gw"


def test_one_can_ask_which_are_recorded_and_by_whom(desk: Desk) -> None:
    desk.accept(id="a")
    desk.accept(id="b", receipt="r")
    answer = desk.run(recorded(["a", "nobody", "b"]))

    assert answer.receipts == ["", None, "r"]
    assert answer.now == START
