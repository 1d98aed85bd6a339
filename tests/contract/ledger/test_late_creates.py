"""A create whose answer was lost: sent again it answers as the first try would have, and late it records nothing."""

import pytest

from contract.ledger.transitions import Conflicting, Created, Full, Late, create, find_receipts
from contract.prediction import Status
from tests.support.ledger_harness import START, LedgerHarness


def test_a_create_that_is_read_after_its_caller_gave_up_records_nothing(
    harness: LedgerHarness,
) -> None:
    late = harness.new_prediction(id="late", not_after=harness.now - 0.001)
    creation = harness.create(late, harness.new_prediction(id="in-time", not_after=harness.now))

    assert creation.results[0] == Late()
    assert isinstance(creation.results[1], Created)
    assert harness.record("late") == {}
    assert harness.members("queued") == ["in-time"]


def test_a_late_create_wakes_nobody(harness: LedgerHarness) -> None:
    assert harness.create(harness.new_prediction(not_after=harness.now - 1)).wakeups == {}


def test_what_an_earlier_try_recorded_is_found_however_late_the_next_one_is(
    harness: LedgerHarness,
) -> None:
    new = harness.new_prediction(id="a", not_after=harness.now + 2)
    harness.create(new)
    harness.advance(3)
    (again,) = harness.create(new).results

    assert again == Created(harness.get("a"), repeated=False)
    assert harness.members("queued") == ["a"]
    assert "not_after" not in map(bytes.decode, harness.record("a"))


def test_a_late_create_says_so_and_not_that_the_queue_is_full(harness: LedgerHarness) -> None:
    harness.accept()
    results = [
        harness.create(harness.new_prediction(max_queue=1, not_after=harness.now + more)).results[0]
        for more in (1, -1)
    ]
    assert results == [Full(1, None), Late()]


def test_a_full_queue_still_finds_what_an_earlier_try_recorded(harness: LedgerHarness) -> None:
    new = harness.new_prediction(max_queue=1)
    harness.create(new)
    (again,) = harness.create(new).results

    assert isinstance(again, Created)
    assert not again.repeated


@pytest.mark.parametrize("key", [None, "k"])
def test_whose_create_made_a_record_is_known_by_its_receipt(
    harness: LedgerHarness, key: str | None
) -> None:
    mine, other = (
        harness.new_prediction(id="a", digest="d", receipt=receipt, idempotency_key=key)
        for receipt in ("mine", "other")
    )
    repeated = [harness.create(one).results[0].repeated for one in (mine, other, mine, other)]

    assert repeated == [False, True, False, True]


def test_a_key_that_stands_for_another_request_is_repeated_at_each_try(
    harness: LedgerHarness,
) -> None:
    harness.accept(id="a", digest="d", idempotency_key="k")
    other = harness.new_prediction(id="b", digest="d", idempotency_key="k")
    results = [harness.create(other).results[0] for _ in range(2)]

    assert [(r.prediction.id, r.repeated) for r in results] == [("a", True)] * 2


def test_a_record_of_an_older_gateway_has_no_receipt_and_was_not_mine(
    harness: LedgerHarness,
) -> None:
    harness.accept(id="a", digest="d")
    (again,) = harness.create(harness.new_prediction(id="a", digest="d", receipt="mine")).results

    assert again.repeated


def test_another_body_under_the_same_id_conflicts_also_late(harness: LedgerHarness) -> None:
    harness.accept(id="a", digest="d")
    late = harness.new_prediction(id="a", digest="e", not_after=harness.now - 1)

    assert harness.create(late).results == [Conflicting("a")]


def test_what_was_found_is_answered_as_it_stands(harness: LedgerHarness) -> None:
    new = harness.new_prediction(id="a")
    harness.create(new)
    harness.finish(harness.claim(), '"yes"')
    (again,) = harness.create(new).results

    assert (again.prediction.status, again.prediction.output) == (Status.SUCCEEDED, '"yes"')


def test_the_wakeups_of_a_lost_answer_are_asked_for_again(harness: LedgerHarness) -> None:
    harness.create(harness.new_prediction())
    harness.advance(1)
    lost = [harness.new_prediction(max_batch_size=1) for _ in range(3)]
    wakeups = harness.create(*lost).wakeups["m"]
    harness.advance(1)

    assert harness.create(*lost).wakeups == {"m": wakeups}
    fresh = harness.create(*lost, harness.new_prediction(max_batch_size=1)).wakeups["m"]
    assert sorted(fresh) == [*wakeups, wakeups[-1] + 1]


def test_nobody_is_woken_when_what_was_found_is_over(harness: LedgerHarness) -> None:
    new = harness.new_prediction()
    harness.create(new)
    harness.finish(harness.claim())

    assert harness.create(new).wakeups == {}


def test_a_create_that_is_sent_again_is_announced_to_its_gateway_once(
    harness: LedgerHarness,
) -> None:
    call = create([harness.new_prediction(id="a", watcher="gw")])
    harness.run(call)
    harness.run(call)

    assert harness.record("a")[b"watchers"] == b"gw"


def test_one_can_ask_which_are_recorded_and_by_whom(harness: LedgerHarness) -> None:
    harness.accept(id="a")
    harness.accept(id="b", receipt="r")
    answer = harness.run(find_receipts(["a", "nobody", "b"]))

    assert answer.receipts == ["", None, "r"]
    assert answer.now == START
