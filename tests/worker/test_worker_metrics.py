"""What a worker exports: its state, its start, its batches by phase, and busy seconds that grow meanwhile."""

import re
import time
from typing import Any

import pytest
from prometheus_client import REGISTRY

from contract.errors import OutOfMemory
from contract.ledger.client import Ledger
from contract.ledger.retry import RetryPolicy
from contract.ledger.transitions import sweep
from tests.support.waiting import until
from tests.worker.batches import Fake, Followed, claimed, numbers
from tests.worker.processes import WorkerProcess, WorkerProcesses
from worker import drain, metrics
from worker.batch import Batch, predict_items
from worker.health import PHASES, Health
from worker.models.timing import timed

NAMES = ("claim", "preprocess", "inference", "postprocess", "finish")


def metric(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(f"soloist_worker_{name}", labels) or 0.0


def exported(worker: WorkerProcess) -> dict[str, float]:
    """What a worker answers, by its name and labels."""
    text = worker.page("/metrics")
    rows = re.findall(r"^(soloist_\S+(?:\{.*\})?) (\S+)$", text, re.MULTILINE)
    return {name: float(value) for name, value in rows}


def states() -> dict[str, float]:
    return {state: metric("state", state=state) for state in metrics.STATES}


def test_a_worker_is_in_one_state_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    health = Health()
    metrics.export_state(lambda: health.state)
    for phase in PHASES:
        health.enter_phase(phase)
        assert states() == {state: float(state == phase) for state in metrics.STATES}
    monkeypatch.setattr(drain._Drain, "started", True)
    assert [state for state, value in states().items() if value] == ["draining"]


def test_a_drain_is_timed_from_the_signal_on(monkeypatch: pytest.MonkeyPatch) -> None:
    assert drain.drain_seconds() == 0
    monkeypatch.setattr(drain._Drain, "started", True)
    monkeypatch.setattr(drain._Drain, "since", time.monotonic() - 5)
    assert drain.drain_seconds() == pytest.approx(5, abs=1)


def phases(run: Any) -> dict[str, float]:
    batch = Batch(claimed('{"n": 1}', '{"n": 2}'), Followed())
    batch.predict(Fake(run))
    assert sum(batch.phases.values()) <= batch.seconds
    return batch.phases


def test_a_model_that_marks_nothing_does_nothing_but_infer() -> None:
    found = phases(lambda items: [time.sleep(0.01) for _ in items])
    assert set(found) == {"preprocess", "inference", "postprocess"}
    assert found["inference"] >= 0.02
    assert found["preprocess"] + found["postprocess"] < 0.02


def test_what_a_model_does_not_mark_comes_after_the_inference() -> None:
    def run(items: list[Any]) -> list[int]:
        with timed("preprocess"):
            time.sleep(0.01)
        with timed("inference"):
            time.sleep(0.02)
        time.sleep(0.03)
        return numbers(items)

    found = phases(run)
    assert found["preprocess"] >= 0.01
    assert found["inference"] >= 0.02
    assert found["postprocess"] >= 0.03
    assert found["inference"] < found["postprocess"]


def test_a_batch_of_which_nothing_reached_the_device_spent_no_time_on_it() -> None:
    def run(items: list[Any]) -> list[Any]:
        with timed("preprocess"):
            return [ValueError("no text") for _ in items]

    assert phases(run)["inference"] == 0


def test_each_pass_that_does_not_fit_is_counted() -> None:
    def run(items: list[Any]) -> list[int]:
        if len(items) > 1 or numbers(items) == [0]:
            raise OutOfMemory
        return numbers(items)

    before, split = (
        metric("out_of_memory_total"),
        metric("batches_split_total", reason="out_of_memory"),
    )
    batch = Batch(claimed('{"n": 0}', '{"n": 1}'), Followed())
    predict_items(Fake(run), batch.items)
    # Of two, of the first alone, and of the first with all memory freed.
    assert metric("out_of_memory_total") - before == 3
    assert metric("batches_split_total", reason="out_of_memory") - split == 1


@pytest.mark.slow
def test_a_real_worker_exports_its_start_its_state_and_its_batches(
    serving: WorkerProcesses,
) -> None:
    began = time.monotonic()
    worker = serving.worker("Here", options={"load_seconds": 1})
    until(
        "it loads",
        lambda: 'phase":"loading' in (worker.page("/readyz") if serving.loaded_by() else ""),
        20,
    )
    early = exported(worker)
    assert early['soloist_worker_state{state="loading"}'] == 1
    (info,) = [name for name in early if name.startswith("soloist_worker_info")]
    assert re.search('device="cpu".*model="m"', info), "from the first second on"
    assert early["soloist_worker_busy"] == early["soloist_worker_busy_seconds_total"] == 0
    assert not [name for name in early if name.startswith("soloist_gpu")]

    worker.ready()
    started = exported(worker)
    assert started['soloist_worker_state{state="ready"}'] == 1
    phases = ("import", "load", "warm_up", "connect")
    seconds = [started[f'soloist_worker_start_seconds{{phase="{phase}"}}'] for phase in phases]
    assert seconds[1] >= 1
    assert min(seconds) >= 0
    assert sum(seconds) <= time.monotonic() - began

    submitted = time.monotonic()
    id = serving.submit(n=1, seconds=1.5)
    until("the metric says busy", lambda: exported(worker)["soloist_worker_busy"] == 1)
    growing = [exported(worker)["soloist_worker_busy_seconds_total"] for _ in range(3)]
    assert 0 < growing[0] < growing[1] < growing[2] <= time.monotonic() - submitted
    serving.answers([id])
    until(
        "the metric counts it",
        lambda: exported(worker)['soloist_worker_predictions_total{outcome="succeeded"}'] == 1,
    )
    done = exported(worker)
    assert [name for name in done if name.startswith("soloist_worker_info")] == [info]
    assert done["soloist_worker_busy"] == 0
    assert 1.5 <= done["soloist_worker_busy_seconds_total"] <= time.monotonic() - submitted
    assert {done[f'soloist_worker_phase_seconds_count{{phase="{name}"}}'] for name in NAMES} == {1}
    assert done['soloist_worker_phase_seconds_sum{phase="inference"}'] >= 1.5
    assert not [name for name in done if "_created" in name]

    serving.submit(n=2, seconds=2)
    until("the metric says busy", lambda: exported(worker)["soloist_worker_busy"] == 1)
    told = time.monotonic()
    worker.ask_to_end()
    until("the metric says draining", lambda: exported(worker)["soloist_worker_draining"] == 1)
    ending = exported(worker)
    assert ending['soloist_worker_state{state="draining"}'] == 1
    assert 0 < ending["soloist_worker_drain_seconds"] <= time.monotonic() - told
    assert worker.code() == 0


@pytest.mark.slow
def test_what_a_worker_hands_back_at_its_end_is_counted_where_it_outlives_it(
    serving: WorkerProcesses, ledger: Ledger
) -> None:
    worker = serving.worker("Here", GRACE_SECONDS="0.2").ready()
    id = serving.submit(n=1, seconds=20)
    until("the prediction runs", lambda: serving.members("running") == [id])
    worker.ask_to_end()
    assert worker.code() == 0
    seen = ledger.run(
        sweep(
            "m",
            max_batch_size=1,
            retry=RetryPolicy(3, 60),
            depth=None,
            patience_seconds=2,
        )
    )
    assert seen.counts == {"accepted": 1, "handed_back:drain": 1}
