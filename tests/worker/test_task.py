"""A wake-up: what is claimed is predicted and finished, and no wake-up is lost."""

from typing import Any

import pytest

from contract.catalog import ModelSpec
from contract.errors import DeviceLost, LedgerUnavailable
from contract.settings import Settings
from tests.support.fake_ledger import FakeLedger
from tests.support.fake_notifier import FakeNotifier
from tests.worker.batches import Fake, numbers
from worker import task as module
from worker.completion import EXIT_BROKEN
from worker.health import Health
from worker.task import Predict

NOTHING: dict[str, Any] = {"predictions": [], "wakeups": [], "more": False, "endings": []}


class Ended(BaseException):
    """In place of the end of this process."""


class CheckedAlready:
    """In place of the check of a ledger."""

    def __init__(self, ledger: Any, health: Health) -> None:
        self.answers = True

    def wait_for_first_answer(self) -> None: ...

    def wait_until_safe(self) -> None: ...


class LoadedTask(Predict):
    """The task with a ledger and a notifier that only remember."""

    ledger: FakeLedger
    notifier: FakeNotifier
    sizes: list[int]

    def run_with(self, *claims: dict[str, Any], wakeup: int = 7) -> None:
        """Run once; the ledger answers the claims in this order."""
        left = list(claims)
        read = self.ledger.run

        def answer(transition: Any) -> Any:
            if transition.script == "claim":
                self.ledger.answers["claim"] = left[0] if left else NOTHING
                found = read(transition)
                del left[:1]
                return found
            return read(transition)

        self._ledger.run = answer
        self.run(wakeup)

    def wakeups_sent_in(self, script: str) -> list[Any]:
        """The wake-up that each call of a script named."""
        return [t.args.get("wakeup") for t in self.ledger.written if t.script == script]


def claim_of(*ids: str, wakeups: tuple[int, ...] = (), more: bool = False) -> dict[str, Any]:
    rows = [
        {"id": id, "attempt": 1, "input": f'{{"n": {n}}}', "queue_seconds": 0.5}
        for n, id in enumerate(ids)
    ]
    return {"predictions": rows, "wakeups": list(wakeups), "more": more, "endings": []}


@pytest.fixture
def task(monkeypatch: pytest.MonkeyPatch) -> LoadedTask:
    def end(code: int) -> None:
        raise Ended(code)

    ledger, notifier, model = FakeLedger(), FakeNotifier(), Fake(numbers)
    monkeypatch.setattr(module, "Ledger", lambda settings: ledger)
    monkeypatch.setattr(module, "Notifier", lambda settings: notifier)
    monkeypatch.setattr(module, "LedgerCheck", CheckedAlready)
    monkeypatch.setattr(module, "load_model", lambda *args: model)
    monkeypatch.setattr(module, "LONGEST_PAUSE_SECONDS", 0.001)
    monkeypatch.setattr("worker.completion.end_process", end)
    spec = ModelSpec(name="m", python="tests.e2e.models:Echo", max_batch_size=4)
    loaded = LoadedTask(Settings(), spec, "v" * 32, "cpu", Health())
    loaded.load()
    loaded.ledger, loaded.notifier, loaded.sizes = ledger, notifier, model.sizes
    return loaded


def test_a_batch_is_claimed_predicted_and_finished(task: LoadedTask) -> None:
    task.run_with(claim_of("a", "b"))
    assert task.sizes == [2]
    assert task.ledger.ids("finish") == [["a", "b"]]
    assert [row["outcome"]["output"] for row in task.ledger.rows("finish")[0]] == [b"0", b"1"]
    assert task.wakeups_sent_in("claim") == [7]


def test_when_nothing_waits_the_model_is_not_asked(task: LoadedTask) -> None:
    task.run_with(NOTHING)
    assert task.sizes == []
    assert task.ledger.ids("finish") == []


def test_the_wake_ups_that_a_claim_asks_for_are_sent_before_the_batch(task: LoadedTask) -> None:
    sent: list[list[int]] = []
    task.model.predict = lambda items: sent.append(task.notifier.wakeups) or numbers(items)  # type: ignore[method-assign, func-returns-value]
    task.run_with(claim_of("a", wakeups=(8, 9)))
    assert sent == [[8, 9]]


def test_what_waits_for_this_version_alone_is_claimed_without_another_wake_up(
    task: LoadedTask,
) -> None:
    task.run_with(claim_of("a", more=True), claim_of("b"))
    assert task.ledger.ids("finish") == [["a"], ["b"]]
    assert task.wakeups_sent_in("claim") == [7, 0]


def test_a_claim_whose_answer_is_lost_is_sent_again_as_it_was(task: LoadedTask) -> None:
    task.ledger.faults = [LedgerUnavailable("away"), LedgerUnavailable("away")]
    task.run_with(claim_of("a"))
    assert task.ledger.ids("finish") == [["a"]]


def test_a_worker_that_drains_hands_the_wake_up_on(
    task: LoadedTask, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "draining", lambda: True)
    task.run_with(claim_of("a"))
    assert task.notifier.sent == [("m", [7])]
    assert task.ledger.written == []


def test_a_worker_that_is_told_to_end_before_the_ledger_answers_hands_the_wake_up_on(
    task: LoadedTask, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = iter([False, True, True])
    monkeypatch.setattr(module, "draining", lambda: next(answers))
    task.ledger.away = True
    task.run_with(claim_of("a"))
    assert task.notifier.sent == [("m", [7])]
    assert task.sizes == []


def test_a_worker_that_is_told_to_end_claims_no_further_batch(
    task: LoadedTask, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = iter([False, True])
    monkeypatch.setattr(module, "draining", lambda: next(answers))
    task.run_with(claim_of("a", more=True), claim_of("b"))
    assert task.ledger.ids("finish") == [["a"]]


def test_a_lost_device_hands_the_batch_back_and_ends_the_process(task: LoadedTask) -> None:
    def lose(items: Any) -> Any:
        raise DeviceLost("gone")

    task.model.predict = lose  # type: ignore[method-assign]
    with pytest.raises(Ended) as ended:
        task.run_with(claim_of("a", "b"))
    assert ended.value.args == (EXIT_BROKEN,)
    assert task.ledger.ids("release") == [["a", "b"]]
    assert task.ledger.ids("finish") == []


def test_outcomes_are_written_again_until_the_ledger_answers(
    task: LoadedTask, monkeypatch: pytest.MonkeyPatch
) -> None:
    def predict(items: Any) -> list[int]:
        task.ledger.faults = [LedgerUnavailable("away"), LedgerUnavailable("away")]
        return numbers(items)

    task.model.predict = predict  # type: ignore[method-assign]
    task.run_with(claim_of("a"))
    assert task.ledger.ids("finish") == [["a"]]


def test_it_is_busy_while_it_has_a_batch_and_not_before_or_after(task: LoadedTask) -> None:
    busy: list[bool] = []
    task.model.predict = lambda items: busy.append(task._health.busy()) or numbers(items)  # type: ignore[method-assign, func-returns-value]
    assert not task._health.busy()
    task.run_with(claim_of("a"))
    assert busy == [True]
    assert not task._health.busy()


def test_a_child_of_a_pool_claims_under_its_own_name(task: LoadedTask) -> None:
    task.set_worker_name("w-1")
    task.run_with(NOTHING)
    assert task.ledger.written[0].args["worker"] == "w-1"
