"""A keeper sweeps what needs it: an idle ledger is asked one question, and nothing that changes is overlooked."""

import asyncio
import time
from collections.abc import Callable, Coroutine, Iterator
from itertools import pairwise
from typing import Any

import pytest
from prometheus_client import REGISTRY

from contract.broker import Notifier
from contract.catalog import Catalog
from contract.ledger.client import AsyncLedger, Ledger
from contract.ledger.new_prediction import NewPrediction
from contract.ledger.transitions import cancel, create, deregister, read_predictions, register
from contract.ledger.workers import Worker
from contract.prediction import Prediction, Status, new_id
from contract.settings import Settings
from service.keeper.sweeper import Sweeper
from tests.support.fake_worker import FakeWorker

Act = Callable[[Sweeper], Coroutine[Any, Any, None]]


class KeeperHarness:
    """A ledger, a worker, and a keeper that sweeps when told to."""

    def __init__(self, settings: Settings, catalog: Catalog) -> None:
        self.settings, self.catalog = settings, catalog
        self.ledger = Ledger(settings)
        self.worker = FakeWorker(self.ledger, catalog)

    def keep(self, act: Act) -> None:
        async def run() -> None:
            ledger, notifier = AsyncLedger(self.settings), Notifier(self.settings)
            try:
                await act(Sweeper(self.settings, self.catalog, ledger, notifier))
            finally:
                notifier.close(wait=True)
                await ledger.close()

        asyncio.run(run())

    def submit(self, model: str = "echo") -> str:
        prediction = Prediction(new_id(), model)
        self.ledger.run(create([NewPrediction(prediction, 1000, 1)]))
        return prediction.id

    def say(self, state: str, model: str = "echo") -> None:
        self.ledger.run(register(model, Worker("w1", state)))

    def commands(self) -> int:
        stats = self.ledger.redis.info("commandstats")
        counted = {name: said["calls"] for name, said in stats.items()}
        return sum(counted.values()) - counted.get("cmdstat_info", 0)


@pytest.fixture
def harness(settings: Settings, catalog: Catalog) -> Iterator[KeeperHarness]:
    opened = KeeperHarness(settings, catalog)
    yield opened
    opened.ledger.close()


def shown(name: str, **labels: str) -> float | None:
    return REGISTRY.get_sample_value(f"soloist_{name}", {"model": "echo", **labels})


def test_a_look_at_an_idle_ledger_is_two_commands_whatever_the_number_of_models(
    harness: KeeperHarness,
) -> None:
    async def idle(sweeper: Sweeper) -> None:
        await sweeper.sweep_active_models()
        await sweeper.sweep_active_models()
        before = harness.commands()
        for _ in range(10):
            await sweeper.sweep_active_models()
        assert harness.commands() - before == 20

    harness.say("ready")
    harness.keep(idle)


def test_the_next_look_sees_a_prediction_that_came_and_one_that_was_done_meanwhile(
    harness: KeeperHarness,
) -> None:
    async def serve(sweeper: Sweeper) -> None:
        await sweeper.sweep_active_models()
        harness.submit()
        await sweeper.sweep_active_models()
        assert shown("queue_depth", state="queued") == 1
        harness.worker.serve_one()
        await sweeper.sweep_active_models()
        assert shown("queue_depth", state="queued") == 0
        harness.submit()
        harness.worker.serve_one()
        await sweeper.sweep_active_models()
        assert shown("predictions_finished_total", outcome="succeeded") == 2
        assert shown("queue_depth", state="running") == 0

    harness.keep(serve)


def test_the_next_look_sees_that_a_worker_came_went_on_and_left(harness: KeeperHarness) -> None:
    async def come_and_go(sweeper: Sweeper) -> None:
        await sweeper.sweep_active_models()
        for word in ("starting", "ready"):
            harness.say(word)
            await sweeper.sweep_active_models()
            assert shown("workers", state=word) == 1
        harness.ledger.run(deregister("echo", "w1"))
        await sweeper.sweep_active_models()
        assert shown("workers", state="ready") == 0

    harness.keep(come_and_go)


def test_the_next_look_learns_of_a_model_that_no_catalog_of_its_own_has(
    harness: KeeperHarness,
) -> None:
    async def other_catalog(sweeper: Sweeper) -> None:
        await sweeper.sweep_active_models()
        id = harness.submit("stranger")
        harness.ledger.redis.zadd(harness.ledger.key("running", "stranger"), {id: 1.0})
        harness.ledger.redis.hset(
            harness.ledger.key("prediction", id), mapping={"status": "processing", "attempt": 3}
        )
        await sweeper.sweep_active_models()
        (view,) = harness.ledger.run(read_predictions([(id, -1)]))
        assert view is not None
        assert view.prediction.status is Status.FAILED

    harness.keep(other_catalog)


def test_what_outlived_its_retention_is_deleted_by_the_next_look_also_where_all_is_quiet(
    settings: Settings, catalog: Catalog
) -> None:
    # All models are swept once a lease: that is too late to be it.
    harness = KeeperHarness(settings.model_copy(update={"lease_seconds": 3600.0}), catalog)

    async def retain(sweeper: Sweeper) -> None:
        await sweeper.sweep_active_models()
        id = harness.submit()
        harness.worker.serve_one()
        harness.ledger.redis.zadd(harness.ledger.key("retained"), {id: time.time() + 0.3})
        async with asyncio.timeout(30):
            while harness.ledger.run(read_predictions([(id, -1)])) != [None]:
                await sweeper.sweep_active_models()
                await asyncio.sleep(0.05)

    harness.keep(retain)
    harness.ledger.close()


def test_a_message_that_nobody_takes_keeps_no_model_at_work(harness: KeeperHarness) -> None:
    async def cancel_it(sweeper: Sweeper) -> None:
        await sweeper.sweep_active_models()
        harness.ledger.run(cancel(harness.submit(), "local"))
        await sweeper.sweep_active_models()
        await sweeper.sweep_active_models()
        assert harness.ledger.redis.zcard(harness.ledger.key("wakeups", "echo")) == 1
        before = harness.commands()
        await sweeper.sweep_active_models()
        assert harness.commands() - before == 2

    harness.keep(cancel_it)


def test_only_what_works_is_looked_at_in_full(harness: KeeperHarness) -> None:
    async def one_works(sweeper: Sweeper) -> None:
        await sweeper.sweep_active_models()
        harness.submit()
        await sweeper.sweep_active_models()
        swept: list[str] = []
        own = sweeper._sweep_model

        async def note(model: str, depth: int | None) -> Any:
            swept.append(model)
            return await own(model, depth)

        sweeper._sweep_model = note  # type: ignore[method-assign]
        await sweeper.sweep_active_models()
        assert swept == ["echo"]

    assert len(harness.catalog) > 1
    harness.keep(one_works)


def test_no_silence_of_a_keeper_that_looks_in_time_counts_as_an_outage(
    harness: KeeperHarness,
) -> None:
    async def sweep_again_and_again(sweeper: Sweeper) -> None:
        named: list[float] = []
        for number in range(30):
            now = 1.05 * number  # a sweep takes its time, too
            await sweeper._name(now)
            if sweeper._named_at == now:
                named.append(now)
        longest = max(late - early for early, late in pairwise(named))
        assert longest < harness.settings.lease_seconds / 3

    assert harness.settings.sweep_seconds == 1.0
    harness.keep(sweep_again_and_again)


def test_all_are_looked_at_once_a_lease(settings: Settings, catalog: Catalog) -> None:
    harness = KeeperHarness(settings.model_copy(update={"lease_seconds": 0.0}), catalog)

    async def always(sweeper: Sweeper) -> None:
        harness.say("ready")
        await sweeper.sweep_active_models()
        harness.ledger.redis.delete(harness.ledger.key("workers", "echo"))
        await sweeper.sweep_active_models()
        assert shown("workers", state="ready") == 0

    harness.keep(always)
    harness.ledger.close()
