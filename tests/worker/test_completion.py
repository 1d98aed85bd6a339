"""How batches and their process end: every batch apart, whatever fails, and the process in any case."""

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from contract.errors import LedgerUnavailable
from contract.ledger.lease_terms import LeaseTerms
from contract.ledger.transitions import Claimed, Outcome, Transition
from contract.telemetry.tracing import OFF
from tests.support.fake_ledger import FakeLedger
from tests.support.fake_notifier import FakeNotifier
from tests.worker.batches import Followed
from worker.batch import Batch
from worker.batch_log import BatchLog
from worker.completion import EXIT_BROKEN, Completion
from worker.leases import Leases

LIMIT = 60.0


class Ended(BaseException):
    """In place of the end of this process."""


class WorkerProcess:
    """The ends of one process, and its leases as a test fills them."""

    def __init__(self) -> None:
        self.ledger, self.notifier = FakeLedger(), FakeNotifier()
        terms = LeaseTerms("m", "w1", 4, timeout_seconds=LIMIT)
        self.leases = Leases(self.ledger, terms, 1000, lambda batch: None)
        self.held = ExitStack()
        account = BatchLog("m", "w1", "cpu", OFF)
        self.ends = Completion(self.ledger, terms, self.leases, self.notifier, account, OFF)

    def batch(self, *ids: str, done: bool = False) -> Batch:
        """A batch under way; `done`: its outcomes are kept back."""
        batch = Batch([Claimed(id, 1, "{}", 0.0) for id in ids], Followed(), 1 << 20)
        self.held.enter_context(self.leases.keep(batch))
        if done:
            self.leases.lift_hard_limit(batch)
            batch.outcomes = [Outcome(id, 1, b"1") for id in ids]
        return batch


@pytest.fixture
def process(monkeypatch: pytest.MonkeyPatch) -> Iterator[WorkerProcess]:
    def end(code: int) -> None:
        raise Ended(code)

    class Timer:
        def dump_traceback_later(self, timeout: float, *, exit: bool) -> None: ...  # noqa: A002

        def cancel_dump_traceback_later(self) -> None: ...

    monkeypatch.setattr("worker.leases.faulthandler", Timer())
    monkeypatch.setattr("worker.completion.end_process", end)
    opened = WorkerProcess()
    with opened.held:
        yield opened


def code(ended: Any) -> int:
    with pytest.raises(Ended) as caught:
        ended()
    return int(caught.value.args[0])


def test_all_batches_are_handed_back_and_then_the_process_ends(process: WorkerProcess) -> None:
    process.batch("a", "b")
    process.batch("c")

    assert code(process.ends.hand_all_back) == 0
    assert process.ledger.ids("release") == [["a", "b"], ["c"]]
    assert [t.args["idle"] for t in process.ledger.written] == [False, True]
    assert process.notifier.wakeups == [7, 7]
    assert process.notifier.closed, "what was asked for is sent"


@pytest.mark.parametrize("error", [LedgerUnavailable("away"), RuntimeError("unexpected")])
def test_a_hand_back_that_fails_stops_neither_the_next_nor_the_end(
    process: WorkerProcess, error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    process.batch("a")
    process.batch("b")
    process.ledger.fails["a"] = error

    assert code(process.ends.hand_all_back) == 0
    assert process.ledger.ids("release") == [["b"]]
    (line,) = [record for record in caplog.records if record.message == "not handed back"]
    assert line.predictions == ["a"]


def test_outcomes_that_are_kept_back_are_written_and_not_handed_back(
    process: WorkerProcess,
) -> None:
    process.batch("a", done=True)
    process.batch("b")

    assert code(process.ends.hand_all_back) == 0
    assert process.ledger.ids("finish") == [["a"]]
    assert process.ledger.ids("release") == [["b"]]


def test_outcomes_that_cannot_be_written_are_named(
    process: WorkerProcess, caplog: pytest.LogCaptureFixture
) -> None:
    process.batch("a", "b", done=True)
    process.ledger.fails["b"] = LedgerUnavailable("away")

    assert code(process.ends.hand_all_back) == 0
    (line,) = [record for record in caplog.records if record.message == "outcomes are given up"]
    assert (line.levelname, line.predictions) == ("ERROR", ["a", "b"])


def test_one_that_was_claimed_alone_and_hangs_is_timed_out(process: WorkerProcess) -> None:
    batch = process.batch("a")
    batch.started -= LIMIT + 1

    assert code(lambda: process.ends.end_after_timeout(batch)) == EXIT_BROKEN
    (written,) = process.ledger.written
    assert written.args["predictions"][0]["outcome"]["error_code"] == "timeout"


def test_what_is_left_of_several_that_hang_is_handed_back_to_run_alone(
    process: WorkerProcess,
) -> None:
    batch = process.batch("hangs", "mate")
    batch.stop_items(["hangs"])
    batch.started -= LIMIT + 1

    assert code(lambda: process.ends.end_after_timeout(batch)) == EXIT_BROKEN
    (written,) = process.ledger.written
    assert (written.script, written.args["suspect"], written.args["lost"]) == (
        "release",
        True,
        False,
    )
    assert process.ledger.ids("release") == [["mate"]]


def test_a_canceled_one_that_hangs_alone_only_frees_its_worker(process: WorkerProcess) -> None:
    batch = process.batch("a")
    batch.stop_items(["a"])
    batch.started -= LIMIT + 1

    assert code(lambda: process.ends.end_after_timeout(batch)) == EXIT_BROKEN
    assert process.ledger.ids("finish") == [[]]


def test_other_batches_of_a_process_that_hangs_are_judged_by_their_own_time(
    process: WorkerProcess,
) -> None:
    hangs, too, innocent = process.batch("a"), process.batch("b"), process.batch("c")
    done = process.batch("d", done=True)
    for batch in (hangs, too, done):
        batch.started -= LIMIT + 1

    assert code(lambda: process.ends.end_after_timeout(hangs)) == EXIT_BROKEN
    assert sorted(process.ledger.ids("finish")) == [["a"], ["b"], ["d"]]
    assert process.ledger.ids("release") == [["c"]]
    (back,) = [t for t in process.ledger.written if t.script == "release"]
    assert not back.args["suspect"]
    assert innocent.computing


def test_a_lost_device_is_told_of_when_the_ledger_is_back(process: WorkerProcess) -> None:
    batch = process.batch("a")
    process.ledger.fails["a"] = LedgerUnavailable("away")

    def run(transition: Transition[Any], once: Any = process.ledger.run) -> Any:
        try:
            return once(transition)
        finally:
            process.ledger.fails.clear()  # away for the first try only

    process.ledger.run = run  # type: ignore[method-assign]
    assert code(lambda: process.ends.end_after_lost_device(batch)) == EXIT_BROKEN
    (written,) = process.ledger.written
    assert (written.script, written.args["lost"], written.args["reason"]) == (
        "release",
        True,
        "device_lost",
    )


def test_an_error_that_nobody_expected_ends_a_process_without_a_device_too(
    process: WorkerProcess,
) -> None:
    batch = process.batch("a")
    process.batch("b")
    process.ledger.fails["a"] = RuntimeError("unexpected")

    assert code(lambda: process.ends.end_after_lost_device(batch)) == EXIT_BROKEN
    assert process.ledger.ids("release") == [["b"]]


@pytest.mark.parametrize("hours", [1 / 6, pytest.param(24, marks=pytest.mark.slow)])
def test_outcomes_are_kept_for_as_long_as_the_ledger_is_away_and_told_of_once(
    process: WorkerProcess,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    hours: float,
) -> None:
    batch = process.batch("a", done=True)
    process.ledger.fails["a"] = LedgerUnavailable("away")
    away = 0.0

    def sleep(seconds: float) -> None:
        nonlocal away
        assert seconds <= 0.5, "it is written soon after the ledger is back"
        away += seconds
        if away > hours * 3600:
            process.ledger.fails.clear()

    monkeypatch.setattr("worker.completion.time.sleep", sleep)
    assert batch.outcomes is not None
    assert process.ends.write_outcomes(batch, batch.outcomes) == []
    assert process.ledger.ids("finish") == [["a"]]
    assert [record.message for record in caplog.records] == ["outcomes are kept back"]
    assert len(batch.events) == 1
