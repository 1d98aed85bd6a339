"""The thread that keeps leases, learns of cancels and watches the hard limit."""

import time
from threading import Event
from typing import Any

import pytest

from contract.errors import LedgerUnavailable
from contract.ledger.client import Ledger
from contract.ledger.lease_terms import LeaseTerms
from contract.ledger.new_prediction import NewPrediction
from contract.ledger.transitions import (
    Claimed,
    cancel,
    claim,
    create,
)
from contract.prediction import Prediction
from tests.support.fake_ledger import FakeLedger
from tests.support.waiting import until
from tests.worker.batches import Followed
from worker.batch import Batch
from worker.leases import HARD_EXIT_SLACK_SECONDS, SILENCE_SLACK_SECONDS, Leases


class Timer:
    """In place of faulthandler, which would end the test run."""

    def __init__(self) -> None:
        self.left: float | None = None

    def dump_traceback_later(self, timeout: float, *, exit: bool) -> None:  # noqa: A002
        assert exit
        self.left = timeout

    def cancel_dump_traceback_later(self) -> None:
        self.left = None


@pytest.fixture(autouse=True)
def timer(monkeypatch: pytest.MonkeyPatch) -> Timer:
    made = Timer()
    monkeypatch.setattr("worker.leases.faulthandler", made)
    return made


@pytest.fixture
def fake() -> FakeLedger:
    return FakeLedger()


def lefts(fake: FakeLedger) -> list[dict[str, float | bool]]:
    """What each extension said of the hard limits."""
    return [transition.args["left"] for transition in fake.written]


def batch_of(*ids: str) -> Batch:
    return Batch([Claimed(id, 1, "{}", 0.0) for id in ids], Followed())


def leases(
    ledger: Any,
    *,
    renew_seconds: float = 0.01,
    timeout_seconds: float = 300.0,
    lease_seconds: float = 15.0,
    overdue: Any = lambda batch: None,
) -> Leases:
    terms = LeaseTerms("m", "w1", 4, timeout_seconds=timeout_seconds, lease_seconds=lease_seconds)
    return Leases(ledger, terms, renew_seconds, overdue)


def test_leases_are_extended_while_the_main_thread_computes(fake: FakeLedger) -> None:
    with leases(fake).keep(batch_of("a", "b")):
        while len(fake.rows("extend")) < 3:
            sum(range(1000))
    assert fake.rows("extend")[0] == [("a", 1), ("b", 1)]


def test_an_outage_is_one_line_of_the_log_and_the_next_one_another(
    caplog: pytest.LogCaptureFixture,
) -> None:
    fails = FakeLedger()
    kept = leases(fails, renew_seconds=1000)
    with kept.keep(batch_of("a")):
        for _ in range(2):
            fails.away = True
            for _ in range(5):
                kept.renew_all()
            fails.away = False
            kept.renew_all()
    assert [record.message for record in caplog.records] == ["leases were not renewed"] * 2


def test_nothing_is_extended_before_or_after_a_batch(fake: FakeLedger) -> None:
    kept = leases(fake, renew_seconds=0.001)
    kept.renew_all()
    assert fake.rows("extend") == []
    with kept.keep(batch_of("a")):
        until("a lease is extended", lambda: fake.rows("extend"))
    # One more may be under way while the batch ends.
    before = len(fake.rows("extend"))
    for _ in range(5):
        kept.renew_all()
    assert len(fake.rows("extend")) <= before + 1


def test_several_batches_are_extended_in_one_call(fake: FakeLedger) -> None:
    kept = leases(fake, renew_seconds=60)
    with kept.keep(batch_of("a")), kept.keep(batch_of("b", "c")):
        kept.renew_all()
        assert [("a", 1), ("b", 1), ("c", 1)] in fake.rows("extend")


def test_what_is_no_longer_ours_is_stopped_and_no_more_extended(fake: FakeLedger) -> None:
    batch = batch_of("a", "b")
    with leases(fake).keep(batch):
        until("a lease is extended", lambda: fake.rows("extend"))
        fake.answers["extend"] = ["b"]
        until("the second item is to stop", lambda: batch.items[1].should_stop())
        until("only the first is extended", lambda: fake.rows("extend")[-1] == [("a", 1)])
    assert not batch.items[0].should_stop()


def test_a_busy_worker_whose_whole_batch_was_canceled_still_says_that_it_is_busy(
    fake: FakeLedger,
) -> None:
    batch = batch_of("a")
    with leases(fake).keep(batch):
        fake.answers["extend"] = ["a"]
        until("nothing is left to extend", lambda: [] in fake.rows("extend"))


def test_a_cancel_reaches_a_running_item_through_the_ledger(ledger: Ledger) -> None:
    prediction = Prediction(id="p1", model="m")
    ledger.run(create([NewPrediction(prediction, 10, 4)]))
    terms = LeaseTerms("m", "w1", 4)
    batch = Batch(ledger.run(claim(terms, 1)).predictions, Followed())
    with Leases(ledger, terms, 0.01, lambda batch: None).keep(batch):
        assert not batch.items[0].should_stop()
        ledger.run(cancel("p1", prediction.owner))
        assert batch.items[0].stopped.wait(10)


def test_the_thread_goes_on_when_the_ledger_is_away(fake: FakeLedger) -> None:
    batch = batch_of("a")
    with leases(fake).keep(batch):
        until("a lease is extended", lambda: fake.rows("extend"))
        fake.away = True
        until("it asked three times while the ledger was away", lambda: fake.asked_while_away >= 3)
        fake.away = False
        before = len(fake.rows("extend"))
        until("it extends again", lambda: len(fake.rows("extend")) > before + 1)
    assert not batch.items[0].should_stop()


def test_the_thread_goes_on_after_an_error_that_nobody_expected(fake: FakeLedger) -> None:
    failed: list[Batch] = []

    def overdue(batch: Batch) -> None:
        failed.append(batch)
        raise ValueError("a mistake of ours")

    with leases(fake, timeout_seconds=0.01, overdue=overdue).keep(batch_of("a")):
        until("three looks have failed", lambda: len(failed) >= 3)


def test_a_batch_past_its_hard_limit_is_called_overdue_at_once(fake: FakeLedger) -> None:
    called: list[Batch] = []
    told = Event()

    def overdue(batch: Batch) -> None:
        called.append(batch)
        told.set()

    batch = batch_of("a")
    # The watchdog does not wait for the next renewal.
    with leases(fake, renew_seconds=60, timeout_seconds=0.1, overdue=overdue).keep(batch):
        assert told.wait(10)
    assert set(called) == {batch}


def test_a_batch_within_its_hard_limit_is_not_overdue(fake: FakeLedger) -> None:
    called: list[Batch] = []
    with leases(fake, timeout_seconds=60, overdue=called.append).keep(batch_of("a")):
        until("it has extended a few times", lambda: len(fake.rows("extend")) > 3)
    assert called == []


def test_when_the_model_has_returned_no_hard_limit_holds(fake: FakeLedger, timer: Timer) -> None:
    called: list[Batch] = []
    kept = leases(fake, timeout_seconds=0.05, overdue=called.append)
    batch = batch_of("a")
    with kept.keep(batch):
        kept.lift_hard_limit(batch)
        assert timer.left is None, "at once: the timer in C would not wait for the next renewal"
        fake.away = True
        batch.started -= 600
        until("it asked a few times while the ledger was away", lambda: fake.asked_while_away > 3)
        assert not kept.late
        assert timer.left is None
    assert called == []


def test_another_batch_that_computes_keeps_its_hard_limit(fake: FakeLedger, timer: Timer) -> None:
    kept = leases(fake, timeout_seconds=10)
    done, computes = batch_of("a"), batch_of("b")
    with kept.keep(done), kept.keep(computes):
        done.started -= 60
        kept.lift_hard_limit(done)
        assert timer.left == pytest.approx(10 + HARD_EXIT_SLACK_SECONDS, abs=1)
        assert not kept.late
        computes.started -= 60
        assert kept.late


def test_the_ledger_is_told_what_is_left_of_a_limit_and_when_none_holds_any_more(
    fake: FakeLedger,
) -> None:
    batch = batch_of("a")
    kept = leases(fake, timeout_seconds=60)
    with kept.keep(batch):
        until("it said what is left a few times", lambda: len(lefts(fake)) > 2)
        assert lefts(fake)[0]["a"] == pytest.approx(60, abs=5)
        assert lefts(fake)[2] == {}, "once is enough"
        fake.away = True
        kept.lift_hard_limit(batch)
        until("it asked while the ledger was away", lambda: fake.asked_while_away)
        seen = len(lefts(fake))
        fake.away = False
        until("it says what is left again", lambda: len(lefts(fake)) > seen + 2)
        assert [left for left in lefts(fake)[seen:] if left] == [{"a": False}]


def test_liveness_ends_only_some_time_after_the_hard_limit(fake: FakeLedger) -> None:
    kept = leases(fake, timeout_seconds=10)
    batch = batch_of("a")
    assert not kept.late
    with kept.keep(batch):
        assert not kept.late
        batch.started -= 10 + HARD_EXIT_SLACK_SECONDS
        assert not kept.late
        batch.started -= 2 * HARD_EXIT_SLACK_SECONDS
        assert kept.late
    assert not kept.late


def test_a_timer_in_c_stands_behind_the_watchdog_while_a_batch_runs(
    fake: FakeLedger, timer: Timer
) -> None:
    kept = leases(fake, timeout_seconds=10)
    assert timer.left is None
    with kept.keep(batch_of("a")):
        assert timer.left == pytest.approx(10 + HARD_EXIT_SLACK_SECONDS, abs=1)
    assert timer.left is None


def test_the_timer_in_c_is_cancelled_when_a_batch_raises(fake: FakeLedger, timer: Timer) -> None:
    kept = leases(fake)
    with pytest.raises(ValueError, match="no"), kept.keep(batch_of("a")):
        raise ValueError("no")
    assert timer.left is None
    assert kept.batches == []


def test_the_timer_in_c_stands_for_the_oldest_batch(fake: FakeLedger, timer: Timer) -> None:
    kept = leases(fake, timeout_seconds=100, lease_seconds=1000)
    old, new = batch_of("a"), batch_of("b")
    old.started -= 60
    with kept.keep(new):
        with kept.keep(old):
            assert timer.left == pytest.approx(40 + HARD_EXIT_SLACK_SECONDS, abs=1)
        assert timer.left == pytest.approx(100 + HARD_EXIT_SLACK_SECONDS, abs=1)


def test_the_timer_in_c_ends_a_process_that_renews_no_lease(fake: FakeLedger, timer: Timer) -> None:
    kept = leases(fake, timeout_seconds=300, lease_seconds=15, renew_seconds=1000)
    with kept.keep(batch_of("a")):
        assert timer.left == 15 + SILENCE_SLACK_SECONDS


def test_each_renewal_sets_the_timer_in_c_again(fake: FakeLedger, timer: Timer) -> None:
    kept = leases(fake)
    with kept.keep(batch_of("a")):
        timer.left = 0.0
        until("it is set", lambda: timer.left)
        assert timer.left == 15 + SILENCE_SLACK_SECONDS


def test_only_says_whether_another_batch_is_under_way(fake: FakeLedger) -> None:
    kept = leases(fake)
    first, second = batch_of("a"), batch_of("b")
    assert kept.is_only(first)
    with kept.keep(first):
        assert kept.is_only(first)
        with kept.keep(second):
            assert not kept.is_only(first)
        assert kept.is_only(first)


def test_no_extension_follows_the_end_of_a_batch(fake: FakeLedger) -> None:
    """It would name an idle worker busy for as long as a lease."""
    kept = leases(fake, renew_seconds=0.001)
    batch = batch_of("a")
    with kept.keep(batch):
        until("a lease is extended", lambda: fake.rows("extend"))
        with kept.ending(batch):
            written = len(fake.rows("extend"))
            time.sleep(0.05)  # dozens of renewals would fall due
            assert kept.is_only(batch)
        kept.renew_all()
        assert len(fake.rows("extend")) == written
        assert kept.batches == []


def test_a_batch_whose_end_could_not_be_written_keeps_its_leases(fake: FakeLedger) -> None:
    kept = leases(fake)
    batch = batch_of("a")
    with kept.keep(batch):
        with pytest.raises(LedgerUnavailable), kept.ending(batch):
            raise LedgerUnavailable
        assert kept.batches == [batch]
        before = len(fake.rows("extend"))
        until("it extends again", lambda: len(fake.rows("extend")) > before + 1)


def test_of_two_batches_that_end_together_the_second_leaves_the_worker_idle(
    fake: FakeLedger,
) -> None:
    kept = leases(fake)
    first, second = batch_of("a"), batch_of("b")
    with kept.keep(first), kept.keep(second):
        with kept.ending(first):
            assert not kept.is_only(first)
        with kept.ending(second):
            assert kept.is_only(second)


def test_busy_seconds_grow_while_a_batch_computes_and_never_fall(fake: FakeLedger) -> None:
    kept, seen = leases(fake, renew_seconds=60), [0.0]
    assert kept.busy_seconds == 0
    for _ in range(3):
        batch = batch_of("a")
        with kept.keep(batch):
            seen += [kept.busy_seconds for _ in range(5)]
        seen.append(kept.busy_seconds)
    assert seen == sorted(seen)
    assert seen[-1] > 0
    assert kept.busy_seconds == seen[-1], "it stands still while there is none"
