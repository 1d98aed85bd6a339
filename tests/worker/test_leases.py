"""The thread that keeps leases, learns of cancels and watches the hard limit."""

import time
from threading import Event
from typing import Any

import pytest

from contract.errors import LedgerUnavailable
from contract.ledger.client import Ledger
from contract.ledger.transitions import (
    Claimed,
    LeaseTerms,
    Submission,
    Transition,
    cancel,
    claim,
    create,
)
from contract.prediction import Prediction
from tests.support.waiting import until
from worker.batch import Batch
from worker.leases import HARD_EXIT_SLACK_SECONDS, SILENCE_SLACK_SECONDS, Leases


class Book:
    """A ledger that remembers what was extended; it can be away, and say what was lost."""

    def __init__(self) -> None:
        self.extended: list[list[tuple[str, int]]] = []
        self.left: list[dict[str, float | bool]] = []
        self.lost: list[str] = []
        self.away = False
        self.asked_while_away = 0

    def run(self, transition: Transition[Any]) -> Any:
        assert transition.script == "extend"
        if self.away:
            self.asked_while_away += 1
            raise LedgerUnavailable
        self.extended.append(transition.args["predictions"])
        self.left.append(transition.args["left"])
        return list(self.lost)


class Timer:
    """In place of faulthandler, which would end the test run."""

    def __init__(self) -> None:
        self.left: float | None = None

    def dump_traceback_later(self, timeout: float, *, exit: bool) -> None:  # noqa: A002
        assert exit
        self.left = timeout

    def cancel_dump_traceback_later(self) -> None:
        self.left = None


class Reporter:
    def follow(self, claimed: Any) -> None: ...

    def said(self, id: str) -> None: ...

    def take(self, *what: Any) -> None: ...


@pytest.fixture(autouse=True)
def timer(monkeypatch: pytest.MonkeyPatch) -> Timer:
    made = Timer()
    monkeypatch.setattr("worker.leases.faulthandler", made)
    return made


@pytest.fixture
def book() -> Book:
    return Book()


def batch_of(*ids: str) -> Batch:
    return Batch([Claimed(id, 1, "{}", 0.0) for id in ids], Reporter())


def leases(
    book: Any,
    *,
    renew_seconds: float = 0.01,
    timeout_seconds: float = 300.0,
    lease_seconds: float = 15.0,
    overdue: Any = lambda batch: None,
) -> Leases:
    terms = LeaseTerms("m", "w1", 4, timeout_seconds=timeout_seconds, lease_seconds=lease_seconds)
    return Leases(book, terms, renew_seconds, overdue)


def test_leases_are_extended_while_the_main_thread_computes(book: Book) -> None:
    deadline = time.monotonic() + 10
    with leases(book).hold(batch_of("a", "b")):
        while len(book.extended) < 3 and time.monotonic() < deadline:
            sum(range(1000))
    assert len(book.extended) >= 3
    assert book.extended[0] == [("a", 1), ("b", 1)]


def test_an_outage_is_one_line_of_the_log_and_the_next_one_another(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Fails(Book):
        away = False

        def run(self, transition: Any) -> Any:
            if self.away:
                raise LedgerUnavailable
            return super().run(transition)

    fails = Fails()
    kept = leases(fails, renew_seconds=1000)
    with kept.hold(batch_of("a")):
        for _ in range(2):
            fails.away = True
            for _ in range(5):
                kept.renew()
            fails.away = False
            kept.renew()
    assert [record.message for record in caplog.records] == ["leases were not renewed"] * 2


def test_nothing_is_extended_before_or_after_a_batch(book: Book) -> None:
    kept = leases(book, renew_seconds=0.001)
    kept.renew()
    assert book.extended == []
    with kept.hold(batch_of("a")):
        until("a lease is extended", lambda: book.extended)
    # One more may be under way while the batch ends.
    before = len(book.extended)
    for _ in range(5):
        kept.renew()
    assert len(book.extended) <= before + 1


def test_several_batches_are_extended_in_one_call(book: Book) -> None:
    kept = leases(book, renew_seconds=60)
    with kept.hold(batch_of("a")), kept.hold(batch_of("b", "c")):
        kept.renew()
        assert [("a", 1), ("b", 1), ("c", 1)] in book.extended


def test_what_is_no_longer_ours_is_stopped_and_no_more_extended(book: Book) -> None:
    batch = batch_of("a", "b")
    with leases(book).hold(batch):
        until("a lease is extended", lambda: book.extended)
        book.lost = ["b"]
        until("the second item is to stop", lambda: batch.items[1].should_stop())
        until("only the first is extended", lambda: book.extended[-1] == [("a", 1)])
    assert not batch.items[0].should_stop()


def test_a_busy_worker_whose_whole_batch_was_canceled_still_says_that_it_is_busy(
    book: Book,
) -> None:
    batch = batch_of("a")
    with leases(book).hold(batch):
        book.lost = ["a"]
        until("nothing is left to extend", lambda: [] in book.extended)


def test_a_cancel_reaches_a_running_item_through_the_ledger(ledger: Ledger) -> None:
    prediction = Prediction(id="p1", model="m")
    ledger.run(create([Submission(prediction, 10, 4)]))
    terms = LeaseTerms("m", "w1", 4)
    batch = Batch(ledger.run(claim(terms, 1)).predictions, Reporter())
    with Leases(ledger, terms, 0.01, lambda batch: None).hold(batch):
        assert not batch.items[0].should_stop()
        ledger.run(cancel("p1", prediction.owner))
        assert batch.items[0].stopped.wait(10)


def test_the_thread_goes_on_when_the_ledger_is_away(book: Book) -> None:
    batch = batch_of("a")
    with leases(book).hold(batch):
        until("a lease is extended", lambda: book.extended)
        book.away = True
        until("it asked three times while the ledger was away", lambda: book.asked_while_away >= 3)
        book.away = False
        before = len(book.extended)
        until("it extends again", lambda: len(book.extended) > before + 1)
    assert not batch.items[0].should_stop()


def test_the_thread_goes_on_after_an_error_that_nobody_expected(book: Book) -> None:
    failed: list[Batch] = []

    def overdue(batch: Batch) -> None:
        failed.append(batch)
        raise ValueError("a mistake of ours")

    with leases(book, timeout_seconds=0.01, overdue=overdue).hold(batch_of("a")):
        until("three looks have failed", lambda: len(failed) >= 3)


def test_a_batch_past_its_hard_limit_is_called_overdue_at_once(book: Book) -> None:
    called: list[Batch] = []
    told = Event()

    def overdue(batch: Batch) -> None:
        called.append(batch)
        told.set()

    batch = batch_of("a")
    # The watchdog does not wait for the next renewal.
    with leases(book, renew_seconds=60, timeout_seconds=0.1, overdue=overdue).hold(batch):
        assert told.wait(10)
    assert set(called) == {batch}
    assert batch.seconds < 10


def test_a_batch_within_its_hard_limit_is_not_overdue(book: Book) -> None:
    called: list[Batch] = []
    with leases(book, timeout_seconds=60, overdue=called.append).hold(batch_of("a")):
        until("it has extended a few times", lambda: len(book.extended) > 3)
    assert called == []


def test_when_the_model_has_returned_no_hard_limit_holds(book: Book, timer: Timer) -> None:
    called: list[Batch] = []
    kept = leases(book, timeout_seconds=0.05, overdue=called.append)
    batch = batch_of("a")
    with kept.hold(batch):
        kept.returned(batch)
        assert timer.left is None, "at once: the timer in C would not wait for the next renewal"
        book.away = True
        batch.started -= 600
        until("it asked a few times while the ledger was away", lambda: book.asked_while_away > 3)
        assert not kept.late
        assert timer.left is None
    assert called == []


def test_another_batch_that_computes_keeps_its_hard_limit(book: Book, timer: Timer) -> None:
    kept = leases(book, timeout_seconds=10)
    done, computes = batch_of("a"), batch_of("b")
    with kept.hold(done), kept.hold(computes):
        done.started -= 60
        kept.returned(done)
        assert timer.left == pytest.approx(10 + HARD_EXIT_SLACK_SECONDS, abs=1)
        assert not kept.late
        computes.started -= 60
        assert kept.late


def test_the_ledger_is_told_what_is_left_of_a_limit_and_when_none_holds_any_more(
    book: Book,
) -> None:
    batch = batch_of("a")
    kept = leases(book, timeout_seconds=60)
    with kept.hold(batch):
        until("it said what is left a few times", lambda: len(book.left) > 2)
        assert book.left[0]["a"] == pytest.approx(60, abs=5)
        assert book.left[2] == {}, "once is enough"
        book.away = True
        kept.returned(batch)
        until("it asked while the ledger was away", lambda: book.asked_while_away)
        seen = len(book.left)
        book.away = False
        until("it says what is left again", lambda: len(book.left) > seen + 2)
        assert [left for left in book.left[seen:] if left] == [{"a": False}]


def test_liveness_ends_only_some_time_after_the_hard_limit(book: Book) -> None:
    kept = leases(book, timeout_seconds=10)
    batch = batch_of("a")
    assert not kept.late
    with kept.hold(batch):
        assert not kept.late
        batch.started -= 10 + HARD_EXIT_SLACK_SECONDS
        assert not kept.late
        batch.started -= 2 * HARD_EXIT_SLACK_SECONDS
        assert kept.late
    assert not kept.late


def test_a_timer_in_c_stands_behind_the_watchdog_while_a_batch_runs(
    book: Book, timer: Timer
) -> None:
    kept = leases(book, timeout_seconds=10)
    assert timer.left is None
    with kept.hold(batch_of("a")):
        assert timer.left == pytest.approx(10 + HARD_EXIT_SLACK_SECONDS, abs=1)
    assert timer.left is None


def test_the_timer_in_c_is_cancelled_when_a_batch_raises(book: Book, timer: Timer) -> None:
    kept = leases(book)
    with pytest.raises(ValueError, match="no"), kept.hold(batch_of("a")):
        raise ValueError("no")
    assert timer.left is None
    assert kept.batches == []


def test_the_timer_in_c_stands_for_the_oldest_batch(book: Book, timer: Timer) -> None:
    kept = leases(book, timeout_seconds=100, lease_seconds=1000)
    old, new = batch_of("a"), batch_of("b")
    old.started -= 60
    with kept.hold(new):
        with kept.hold(old):
            assert timer.left == pytest.approx(40 + HARD_EXIT_SLACK_SECONDS, abs=1)
        assert timer.left == pytest.approx(100 + HARD_EXIT_SLACK_SECONDS, abs=1)


def test_the_timer_in_c_ends_a_process_that_renews_no_lease(book: Book, timer: Timer) -> None:
    kept = leases(book, timeout_seconds=300, lease_seconds=15, renew_seconds=1000)
    with kept.hold(batch_of("a")):
        assert timer.left == 15 + SILENCE_SLACK_SECONDS


def test_each_renewal_sets_the_timer_in_c_again(book: Book, timer: Timer) -> None:
    kept = leases(book)
    with kept.hold(batch_of("a")):
        timer.left = 0.0
        deadline = time.monotonic() + 10
        while not timer.left and time.monotonic() < deadline:
            time.sleep(0.01)
        assert timer.left == 15 + SILENCE_SLACK_SECONDS


def test_only_says_whether_another_batch_is_under_way(book: Book) -> None:
    kept = leases(book)
    first, second = batch_of("a"), batch_of("b")
    assert kept.only(first)
    with kept.hold(first):
        assert kept.only(first)
        with kept.hold(second):
            assert not kept.only(first)
        assert kept.only(first)


def test_no_extension_follows_the_end_of_a_batch(book: Book) -> None:
    """It would name an idle worker busy for as long as a lease."""
    kept = leases(book, renew_seconds=0.001)
    batch = batch_of("a")
    with kept.hold(batch):
        until("a lease is extended", lambda: book.extended)
        with kept.settling(batch):
            written = len(book.extended)
            time.sleep(0.05)  # dozens of renewals would fall due
            assert kept.only(batch)
        kept.renew()
        assert len(book.extended) == written
        assert kept.batches == []


def test_a_batch_whose_end_could_not_be_written_keeps_its_leases(book: Book) -> None:
    kept = leases(book)
    batch = batch_of("a")
    with kept.hold(batch):
        with pytest.raises(LedgerUnavailable), kept.settling(batch):
            raise LedgerUnavailable
        assert kept.batches == [batch]
        before = len(book.extended)
        until("it extends again", lambda: len(book.extended) > before + 1)


def test_of_two_batches_that_end_together_the_second_leaves_the_worker_idle(book: Book) -> None:
    kept = leases(book)
    first, second = batch_of("a"), batch_of("b")
    with kept.hold(first), kept.hold(second):
        with kept.settling(first):
            assert not kept.only(first)
        with kept.settling(second):
            assert kept.only(second)


def test_busy_seconds_grow_while_a_batch_computes_and_never_fall(book: Book) -> None:
    kept, seen = leases(book, renew_seconds=60), [0.0]
    assert kept.busy_seconds == 0
    for _ in range(3):
        batch = batch_of("a")
        with kept.hold(batch):
            seen += [kept.busy_seconds for _ in range(5)]
        seen.append(kept.busy_seconds)
    assert seen == sorted(seen)
    assert seen[-1] > 0
    assert kept.busy_seconds == seen[-1], "it stands still while there is none"
