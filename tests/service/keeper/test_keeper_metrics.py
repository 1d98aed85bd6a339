"""What the keeper exports of the ledger: predictions, workers, scaling, the ledger itself."""

import asyncio
from collections.abc import Iterator

import pytest
from prometheus_client import REGISTRY

from contract.broker import Notifier
from contract.catalog import Catalog, ModelSpec
from contract.ledger.client import AsyncLedger, Ledger
from contract.ledger.new_prediction import NewPrediction
from contract.ledger.transitions import (
    Memory,
    Transition,
    cancel,
    create,
    register,
    release,
)
from contract.ledger.workers import Worker
from contract.prediction import Prediction, new_id
from contract.settings import Settings
from service.keeper import metrics as keeper_metrics
from service.keeper.sweeper import Sweeper
from tests.support.fake_worker import FakeWorker

MODEL = "counted"


@pytest.fixture
def catalog() -> Catalog:
    python = {"python": "nowhere:Nothing"}
    return Catalog(
        [
            ModelSpec(name=MODEL, max_batch_size=8, max_queue=50, **python),
            ModelSpec(
                name="aimed", max_batch_size=8, scaling_target=3, cost_per_hour=2.5, **python
            ),
        ]
    )


@pytest.fixture(autouse=True)
def _forgotten() -> Iterator[None]:
    """The models of these tests are no other test's."""
    yield
    keeper_metrics.LEDGER_COUNTERS._models.clear()


class KeeperHarness:
    """A ledger with predictions and workers in it, and a keeper that sweeps it."""

    def __init__(self, settings: Settings, catalog: Catalog, ledger: Ledger) -> None:
        self.settings, self.catalog, self.ledger = settings, catalog, ledger
        self.worker = FakeWorker(ledger, catalog)

    def submit(self, model: str = MODEL) -> str:
        prediction = Prediction(new_id(), model)
        self.ledger.run(create([NewPrediction(prediction, 1000, 8)]))
        return prediction.id

    def sweep(self, times: int = 1) -> None:
        """Sweeps of one keeper."""

        async def sweep() -> None:
            ledger, notifier = AsyncLedger(self.settings), Notifier(self.settings)
            try:
                sweeper = Sweeper(self.settings, self.catalog, ledger, notifier)
                for _ in range(times):
                    await sweeper.sweep_all_models()
            finally:
                notifier.close(wait=True)
                await ledger.close()

        asyncio.run(sweep())


@pytest.fixture
def harness(settings: Settings, catalog: Catalog, ledger: Ledger) -> KeeperHarness:
    return KeeperHarness(settings, catalog, ledger)


def metric(name: str, **labels: str) -> float | None:
    return REGISTRY.get_sample_value(f"soloist_{name}", labels)


def test_every_counter_of_a_model_is_there_from_the_first_look(harness: KeeperHarness) -> None:
    harness.sweep()
    for model in harness.catalog:
        assert metric("predictions_accepted_total", model=model) == 0
        for outcome in ("succeeded", "failed", "canceled"):
            assert metric("predictions_finished_total", model=model, outcome=outcome) == 0
        codes = "invalid_input model_error out_of_memory output_invalid output_too_large timeout worker_lost"
        for code in (*codes.split(), "too_many_hand_backs"):
            assert metric("predictions_failed_total", model=model, code=code) == 0
        for reason in ("drain", "device_lost", "timeout"):
            assert metric("predictions_handed_back_total", model=model, reason=reason) == 0
        assert metric("leases_taken_back_total", model=model) is not None
        assert metric("wakeups_repeated_total", model=model) is not None
        for state in ("starting", "ready", "busy"):
            assert metric("workers", model=model, state=state) == 0
        for state in ("queued", "running"):
            assert metric("queue_depth", model=model, state=state) == 0
        assert metric("queue_oldest_seconds", model=model) == 0
        assert metric("dead_predictions", model=model) == 0
    for reason in ("deadline", "limit"):
        assert metric("predictions_expired_total", reason=reason) is not None


def test_before_its_first_look_a_keeper_takes_no_counter_back_to_0(
    settings: Settings, catalog: Catalog
) -> None:
    Sweeper(settings, catalog, AsyncLedger(settings), None)
    assert metric("predictions_accepted_total", model=MODEL) is None


def test_predictions_are_counted_by_what_became_of_them(harness: KeeperHarness) -> None:
    ids = [harness.submit() for _ in range(5)]
    harness.ledger.run(cancel(ids[4], "local"))
    first, second, third, fourth = harness.worker.claim(MODEL)
    harness.worker.succeed(first, model=MODEL)
    harness.worker.fail(second, "no", "invalid_input", MODEL)
    attempts = [(one.id, one.attempt) for one in (third, fourth)]
    terms = harness.worker.terms(MODEL)
    harness.ledger.run(release(terms, attempts, idle=True, suspect=False, reason="drain"))
    harness.sweep(2)
    assert metric("predictions_accepted_total", model=MODEL) == 5
    outcomes = ("succeeded", "failed", "canceled")
    found = [metric("predictions_finished_total", model=MODEL, outcome=word) for word in outcomes]
    assert found == [1, 1, 1]
    assert metric("predictions_failed_total", model=MODEL, code="invalid_input") == 1
    assert metric("predictions_handed_back_total", model=MODEL, reason="drain") == 2


def test_what_a_newer_ledger_counts_breaks_nothing(harness: KeeperHarness) -> None:
    harness.ledger.redis.hset(harness.ledger.key("counts", MODEL), "slept:well", 3)
    harness.ledger.redis.hset(harness.ledger.key("counts", MODEL), "failed:bad_dream", 2)
    harness.sweep()
    assert metric("predictions_failed_total", model=MODEL, code="bad_dream") == 2
    assert metric("predictions_accepted_total", model=MODEL) == 0


def test_each_worker_is_counted_in_one_state(harness: KeeperHarness) -> None:
    for name, state in {
        "a": "starting",
        "b": "ready",
        "c": "ready",
        "d": "draining",
        harness.worker.name: "ready",
    }.items():
        harness.ledger.run(register(MODEL, Worker(name, state)))
    harness.submit()
    harness.worker.claim(MODEL)
    harness.sweep()
    states = ("starting", "ready", "busy")
    assert [metric("workers", model=MODEL, state=state) for state in states] == [1, 2, 1]
    assert [metric("workers", model="aimed", state=state) for state in states] == [0, 0, 0]
    assert metric("busy_workers", model=MODEL) == 1


def test_what_is_wanted_follows_the_target_of_the_autoscaler(harness: KeeperHarness) -> None:
    harness.submit("aimed")
    harness.worker.claim("aimed")
    harness.submit("aimed")
    harness.sweep()
    assert metric("scaling_target", model="aimed") == 3
    assert metric("scaling_wanted", model="aimed") == 3, "a busy worker counts as full"
    for _ in range(4):
        harness.submit("aimed")
    harness.sweep()
    assert metric("scaling_wanted", model="aimed") == 6
    assert metric("scaling_target", model=MODEL) == 8
    assert metric("scaling_wanted", model=MODEL) == 0


def test_limit_and_price_are_the_catalogs(harness: KeeperHarness) -> None:
    harness.sweep()
    assert metric("queue_limit", model=MODEL) == 50
    assert metric("gpu_cost_per_hour", model="aimed") == 2.5
    assert metric("gpu_cost_per_hour", model=MODEL) is None


def test_the_time_to_drain_is_absent_while_it_is_unknown(harness: KeeperHarness) -> None:
    harness.submit()
    harness.sweep()
    assert metric("queue_drain_seconds", model=MODEL) is None
    (claimed,) = harness.worker.claim(MODEL)
    harness.worker.succeed(claimed, model=MODEL, seconds=2.0)
    harness.submit()
    harness.sweep()
    assert metric("queue_drain_seconds", model=MODEL) == 2.0
    harness.worker.claim(MODEL)
    harness.sweep()
    assert metric("queue_drain_seconds", model=MODEL) == 0


def test_the_ledgers_size_is_asked_for_now_and_then(
    harness: KeeperHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    harness.sweep()
    keys = harness.ledger.redis.dbsize()
    assert metric("ledger_keys") == pytest.approx(keys, abs=3)
    assert metric("ledger_memory_bytes") > 100_000
    assert metric("ledger_memory_limit_bytes") == 0
    assert metric("ledger_memory_reserved_bytes") == 0
    asked: list[float] = []

    def memory(reserve_bytes: int | None) -> Transition[Memory]:
        asked.append(1)
        found = Memory(used=1, limit=2, reserved=3, keys=4)
        return Transition("read_memory", {}, lambda answer: found)

    monkeypatch.setattr("service.keeper.sweeper.read_memory", memory)
    harness.sweep(3)
    assert asked == [1]
    assert metric("ledger_memory_limit_bytes") == 2
    assert metric("ledger_memory_reserved_bytes") == 3


def test_a_look_is_timed(harness: KeeperHarness) -> None:
    before = metric("keeper_sweep_seconds_count") or 0
    harness.sweep(2)
    assert metric("keeper_sweep_seconds_count") == before + 2
