"""The keeper: what one sweep puts right, and what it leaves alone."""

import asyncio
from collections.abc import Iterator
from concurrent.futures import Future
from typing import Any

import msgpack
import pytest
import redis
from prometheus_client import REGISTRY
from pydantic import SecretStr

from contract.broker import Notifier, queue_name
from contract.catalog import Catalog
from contract.errors import LedgerUnavailable
from contract.ledger.client import AsyncLedger, Ledger
from contract.ledger.lease_terms import LeaseTerms
from contract.ledger.new_prediction import NewPrediction
from contract.ledger.transitions import (
    Outcome,
    claim,
    create,
    finish,
    read_dead_list,
    read_predictions,
)
from contract.prediction import Prediction, Status, new_id
from contract.settings import Settings
from local.processes import free_port
from service.keeper.sweeper import Sweeper
from tests.support.fake_worker import FakeWorker, wakeup_of

CLOCK = "local now = tonumber(redis.call('GET', ARGV[1] .. 'test-clock'))\n"
LEASE = 15.0


class SweeperHarness:
    """A ledger whose clock the test moves, a worker, and keepers that sweep once when told to."""

    def __init__(self, settings: Settings, catalog: Catalog) -> None:
        self.settings, self.catalog = settings, catalog
        self.ledger = Ledger(settings, clock=CLOCK)
        self.worker = FakeWorker(self.ledger, catalog)
        self.broker = redis.Redis.from_url(settings.broker)
        self.now = 1_700_000_000.0
        self.advance(0)

    def advance(self, seconds: float) -> None:
        self.now += seconds
        self.ledger.redis.set(self.ledger.key("test-clock"), repr(self.now))
        for model in self.catalog:  # others give their signs of life: no outage
            if self.ledger.redis.exists(heard := self.ledger.key("heard", model)):
                self.ledger.redis.hset(heard, "at", f"{self.now:.6f}")

    def submit(self, model: str = "echo", **terms: Any) -> str:
        """The id of a prediction that was recorded, and whose message nobody sent."""
        prediction = Prediction(new_id(), model)
        batch = self.catalog[model].max_batch_size if model in self.catalog else 1
        self.ledger.run(create([NewPrediction(prediction, 1000, batch, **terms)]))
        return prediction.id

    def sweep(self, keepers: int = 1, **changed: Any) -> None:
        """One sweep of everything, by each of so many keepers at the same time."""
        settings = self.settings.model_copy(update=changed)

        async def sweep_once() -> None:
            ledgers = [AsyncLedger(settings, clock=CLOCK) for _ in range(keepers)]
            notifiers = [Notifier(settings) for _ in range(keepers)]
            try:
                await asyncio.gather(
                    *(
                        Sweeper(settings, self.catalog, ledger, notifier).sweep_all_models()
                        for ledger, notifier in zip(ledgers, notifiers, strict=True)
                    )
                )
            finally:
                for notifier in notifiers:
                    notifier.close(wait=True)
                for ledger in ledgers:
                    await ledger.close()

        asyncio.run(sweep_once())

    def messages(self, model: str = "echo") -> list[int]:
        """The wake-ups that wait at the broker."""
        key = f"{self.settings.prefix}broker:{queue_name(model)}"
        return [wakeup_of(message) for message in self.broker.lrange(key, 0, -1)]

    def get(self, id: str) -> Prediction:
        (view,) = self.ledger.run(read_predictions([(id, -1)]))
        assert view is not None
        return view.prediction

    def close(self) -> None:
        self.broker.close()
        self.ledger.close()


@pytest.fixture
def harness(settings: Settings, catalog: Catalog) -> Iterator[SweeperHarness]:
    opened = SweeperHarness(settings, catalog)
    yield opened
    opened.close()


def metric(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0.0


def test_a_lost_message_is_sent_again_once_it_had_its_time(harness: SweeperHarness) -> None:
    harness.submit()
    harness.sweep()
    assert harness.messages() == []
    harness.advance(3)
    harness.sweep()
    assert len(harness.messages()) == 1
    harness.advance(3)
    harness.sweep()
    assert len(harness.messages()) == 1


def test_as_many_messages_as_batches_are_sent_again(harness: SweeperHarness) -> None:
    for _ in range(2 * harness.catalog["echo"].max_batch_size + 1):
        harness.submit()
    harness.advance(3)
    harness.sweep()
    assert len(harness.messages()) == 3
    assert len(set(harness.messages())) == 3


def test_nobody_is_woken_when_nothing_waits(harness: SweeperHarness) -> None:
    harness.submit()
    harness.worker.serve_one()
    harness.advance(3)
    harness.sweep()
    assert harness.messages() == []


def test_an_expired_lease_goes_back_and_a_worker_is_woken(harness: SweeperHarness) -> None:
    id = harness.submit()
    assert harness.worker.claim()
    harness.advance(LEASE - 1)
    harness.sweep()
    assert harness.get(id).status is Status.PROCESSING
    harness.advance(2)
    harness.sweep()
    assert (harness.get(id).status, harness.get(id).attempt) == (Status.STARTING, 1)
    harness.advance(3)
    harness.sweep()
    assert harness.messages()
    assert [(again.id, again.attempt) for again in harness.worker.claim()] == [(id, 2)]


def test_a_lease_that_is_extended_is_left_alone(harness: SweeperHarness) -> None:
    id = harness.submit()
    (claimed,) = harness.worker.claim()
    for _ in range(4):
        harness.advance(LEASE - 1)
        assert harness.worker.extend(claimed)
        harness.sweep()
    assert harness.get(id).status is Status.PROCESSING
    assert harness.worker.succeed(claimed) == []


def test_what_loses_its_worker_each_time_is_failed_and_kept_aside(harness: SweeperHarness) -> None:
    id = harness.submit()
    before = metric("soloist_leases_taken_back_total", model="echo")
    for _ in range(3):
        assert harness.worker.claim()
        harness.advance(LEASE + 1)
        harness.sweep()
    record = harness.get(id)
    assert (record.status, record.error_code) == (Status.FAILED, "worker_lost")
    assert [kept.id for kept in harness.ledger.run(read_dead_list("echo"))] == [id]
    assert metric("soloist_dead_predictions", model="echo") == 1
    assert metric("soloist_leases_taken_back_total", model="echo") - before == 3
    harness.advance(harness.settings.dead_ttl_seconds - 10)
    harness.sweep()
    assert harness.get(id).status is Status.FAILED
    harness.advance(20)
    harness.sweep()
    assert harness.ledger.run(read_dead_list("echo")) == []


def test_the_number_of_attempts_is_a_setting(harness: SweeperHarness) -> None:
    id = harness.submit()
    harness.worker.claim()
    harness.advance(LEASE + 1)
    harness.sweep(max_attempts=1)
    assert harness.get(id).error_code == "worker_lost"


@pytest.mark.parametrize(("starts", "sentence"), [(False, "before it was started"), (True, "ran")])
def test_a_missed_deadline_cancels_what_waits_and_what_runs(
    harness: SweeperHarness, starts: bool, sentence: str
) -> None:
    id = harness.submit(deadline_seconds=10.0)
    before = metric("soloist_predictions_expired_total", reason="deadline")
    claimed = harness.worker.claim() if starts else []
    harness.advance(9)
    harness.sweep()
    assert not harness.get(id).status.terminal
    harness.advance(2)
    harness.sweep()
    record = harness.get(id)
    assert (record.status, record.error_code) == (Status.CANCELED, "deadline_exceeded")
    assert sentence in (record.error or "")
    assert metric("soloist_predictions_expired_total", reason="deadline") - before == 1
    for one in claimed:
        assert harness.worker.succeed(one) == [id]


def test_what_runs_past_its_hard_limit_is_failed(harness: SweeperHarness) -> None:
    id = harness.submit()
    (claimed,) = harness.worker.claim()
    limit = harness.catalog["echo"].timeout_seconds
    for _ in range(40):  # a worker that lives and hangs renews its lease
        harness.advance(limit / 40)
        harness.worker.extend(claimed)
    harness.sweep()
    assert harness.get(id).status is Status.PROCESSING
    harness.advance(5)
    harness.sweep()
    assert (harness.get(id).status, harness.get(id).error_code) == (Status.FAILED, "timeout")


def test_a_record_is_deleted_when_its_retention_is_over(harness: SweeperHarness) -> None:
    id = harness.submit()
    harness.worker.serve_one()
    harness.advance(harness.get(id).result_ttl - 1)
    harness.sweep()
    assert harness.get(id).status is Status.SUCCEEDED
    harness.advance(2)
    before = metric("soloist_predictions_pruned_total")
    harness.sweep()
    assert harness.ledger.run(read_predictions([(id, -1)])) == [None]
    assert metric("soloist_predictions_pruned_total") - before == 1


def test_more_than_one_call_may_touch_is_put_right_in_one_sweep(
    harness: SweeperHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.keeper.sweeper.MOST_AT_ONCE", 3)
    late = [harness.submit("small", deadline_seconds=10.0) for _ in range(7)]
    lost = [harness.submit() for _ in range(8)]
    assert len(harness.worker.claim()) == 8
    harness.advance(LEASE + 1)
    harness.sweep()
    assert {harness.get(id).status for id in late} == {Status.CANCELED}
    assert {harness.get(id).status for id in lost} == {Status.STARTING}
    harness.advance(4000)
    harness.sweep()
    assert harness.ledger.run(read_predictions([(id, -1) for id in late])) == [None] * 7


def test_two_keepers_at_once_do_everything_once(harness: SweeperHarness) -> None:
    waiting = harness.submit("small")
    lost = harness.submit()
    (claimed,) = harness.worker.claim()
    harness.advance(LEASE + 1)
    harness.sweep(keepers=2)
    assert harness.get(waiting).status is harness.get(lost).status is Status.STARTING
    assert harness.get(lost).attempt == claimed.attempt == 1
    assert len(harness.messages("small")) == 1
    harness.advance(3)
    harness.sweep(keepers=2)
    assert len(harness.messages()) == 1


def test_a_model_that_left_the_catalog_is_still_looked_after(harness: SweeperHarness) -> None:
    id = harness.submit("retired", deadline_seconds=5.0)
    waits = harness.submit("retired")
    harness.advance(6)
    harness.sweep()
    assert harness.get(id).status is Status.CANCELED
    assert harness.get(waits).status is Status.STARTING
    assert len(harness.messages("retired")) == 1


def shown(model: str) -> set[str]:
    """The metrics that have a series of this model."""
    samples = (sample for family in REGISTRY.collect() for sample in family.samples)
    return {sample.name for sample in samples if sample.labels.get("model") == model}


def test_a_model_that_left_the_catalog_is_forgotten_once_nothing_of_it_is_left(
    harness: SweeperHarness,
) -> None:
    id = harness.submit("retired")
    harness.sweep()
    terms = LeaseTerms("retired", "w1", 1)
    (claimed,) = harness.ledger.run(claim(terms, 0)).predictions
    outcome = Outcome(id, claimed.attempt, b'"done"')
    harness.ledger.run(finish(terms, [outcome], idle=True, seconds=1.0))
    harness.advance(3)
    harness.sweep()
    assert "soloist_predictions_accepted_total" in shown("retired")
    harness.advance(harness.get(id).result_ttl - 10)
    harness.sweep()
    assert harness.ledger.redis.sismember(harness.ledger.key("models"), "retired")
    harness.advance(20)
    harness.sweep()
    assert not harness.ledger.redis.sismember(harness.ledger.key("models"), "retired")
    assert shown("retired") == set()
    assert harness.messages("retired") == []
    keys = harness.ledger.redis.scan_iter(f"{harness.settings.prefix}*")
    assert [key for key in keys if key.endswith(b":retired")] == []
    # One that comes back is as new.
    again = harness.submit("retired")
    harness.advance(3)
    harness.sweep()
    assert harness.messages("retired")
    assert harness.get(again).status is Status.STARTING
    assert metric("soloist_predictions_accepted_total", model="retired") == 1


def test_a_model_of_the_catalog_is_never_forgotten(harness: SweeperHarness) -> None:
    harness.submit()
    harness.worker.serve_one()
    harness.advance(100_000)
    harness.sweep()
    harness.sweep()
    assert harness.ledger.redis.sismember(harness.ledger.key("models"), "echo")
    assert metric("soloist_predictions_accepted_total", model="echo") == 1


def test_without_its_broker_the_keeper_still_keeps_and_sends_wakeups_when_it_is_back(
    harness: SweeperHarness,
) -> None:
    id = harness.submit()
    harness.worker.claim()
    harness.advance(LEASE + 1)
    nowhere = SecretStr(f"redis://127.0.0.1:{free_port()}/0")
    harness.sweep(broker_url=nowhere, broker_timeout_seconds=0.2)
    assert harness.get(id).status is Status.STARTING
    assert metric("soloist_keeper_broker_up") == 0
    assert harness.messages() == []
    harness.advance(3)
    harness.sweep()
    assert metric("soloist_keeper_broker_up") == 1
    assert len(harness.messages()) == 1


def test_the_metrics_of_the_queues_hold_without_any_worker(harness: SweeperHarness) -> None:
    for _ in range(10):
        harness.submit()
    (claimed,) = harness.worker.claim(limit=1)
    harness.worker.succeed(claimed, seconds=2.0)
    harness.worker.claim(limit=3)
    harness.advance(7)
    harness.sweep()
    assert metric("soloist_queue_depth", model="echo", state="queued") == 6
    assert metric("soloist_queue_depth", model="echo", state="running") == 3
    assert metric("soloist_busy_workers", model="echo") == 1
    assert metric("soloist_queue_oldest_seconds", model="echo") == pytest.approx(7, abs=0.01)
    assert metric("soloist_queue_drain_seconds", model="echo") == 12.0
    assert metric("soloist_queue_depth", model="small", state="queued") == 0


def test_a_sweep_without_a_ledger_says_so(settings: Settings, catalog: Catalog) -> None:
    away = settings.model_copy(
        update={"redis_url": SecretStr(f"redis://127.0.0.1:{free_port()}/0")}
    )

    async def sweep_once() -> None:
        ledger, notifier = AsyncLedger(away), Notifier(away)
        try:
            with pytest.raises(LedgerUnavailable):
                await Sweeper(away, catalog, ledger, notifier).sweep_all_models()
        finally:
            notifier.close()
            await ledger.close()

    asyncio.run(sweep_once())


def unheard(harness: SweeperHarness) -> tuple[str, "redis.client.PubSub"]:
    """A prediction that ended, whose worker died before it announced that; and who waits for it."""
    channel = harness.broker.pubsub(ignore_subscribe_messages=True)
    channel.subscribe(harness.ledger.key("answers", "gw"))
    channel.get_message(timeout=5)
    id = harness.submit(watcher="gw")
    (claimed,) = harness.worker.claim()
    # There is no replica, so this one is left to the keeper.
    ours = harness.settings.model_copy(update={"ledger_replicas": 1, "ledger_timeout_seconds": 0.6})
    worker = Ledger(ours, clock=CLOCK)
    terms = LeaseTerms("echo", "w", 1)
    outcome = Outcome(id, claimed.attempt, output=b"1")
    assert worker.run(finish(terms, [outcome], idle=True, seconds=0.1)) == []
    worker.close()
    assert harness.get(id).status is Status.SUCCEEDED
    assert channel.get_message(timeout=0.1) is None
    return id, channel


def test_an_end_that_nobody_announced_is_announced(harness: SweeperHarness) -> None:
    id, channel = unheard(harness)
    with channel:
        harness.sweep()
        message = channel.get_message(timeout=5)
        assert message
        ((told, kind, outcome),) = msgpack.unpackb(message["data"])
        harness.sweep()
        assert channel.get_message(timeout=0.1) is None

    assert (told, kind, outcome["status"]) == (id, "outcome", "succeeded")


def test_an_end_that_the_replicas_do_not_have_waits_and_holds_no_sweep_up(
    harness: SweeperHarness,
) -> None:
    id, channel = unheard(harness)
    other = harness.submit()
    harness.advance(LEASE + 1)
    with channel:
        harness.sweep(ledger_replicas=1, ledger_timeout_seconds=0.6)
        assert channel.get_message(timeout=0.1) is None
        assert harness.messages() != [], f"{other}'s workers are woken all the same"
        harness.sweep()
        assert channel.get_message(timeout=5), f"{id} is announced"


class RepeatedSweeps:
    """One keeper that sweeps again and again, while the clocks of the ledger and of its process go on."""

    def __init__(self, harness: SweeperHarness, monkeypatch: pytest.MonkeyPatch) -> None:
        self._harness, self._process = harness, 1000.0
        monkeypatch.setattr("service.keeper.sweeper.time.monotonic", lambda: self._process)

    def repeat(self, *pauses: float) -> None:
        """Sweep once, and again after each of these pauses."""

        async def sweeps() -> None:
            ledger = AsyncLedger(self._harness.settings, clock=CLOCK)
            notifier = Notifier(self._harness.settings)
            sweeper = Sweeper(self._harness.settings, self._harness.catalog, ledger, notifier)
            try:
                await sweeper.sweep_all_models()
                for pause in pauses:
                    self._process += pause
                    self._harness.advance(pause)
                    await sweeper.sweep_all_models()
            finally:
                notifier.close(wait=True)
                await ledger.close()

        asyncio.run(sweeps())


@pytest.fixture
def sweeps(harness: SweeperHarness, monkeypatch: pytest.MonkeyPatch) -> RepeatedSweeps:
    return RepeatedSweeps(harness, monkeypatch)


def submit_pinned(harness: SweeperHarness, content: str) -> str:
    """The id of a prediction that another catalog's gateway accepted for a version of its own."""
    entry = "e" * 32
    prediction = Prediction(new_id(), "echo", pinned=entry + content)
    harness.ledger.run(create([NewPrediction(prediction, 1000, 8, entry=entry)]))
    return prediction.id


def test_what_waits_for_a_version_that_is_gone_is_ended_once_all_had_time_to_speak(
    harness: SweeperHarness, sweeps: RepeatedSweeps
) -> None:
    id = submit_pinned(harness, "1" * 32)
    sweeps.repeat(*[1.0] * 14)
    assert harness.get(id).status is Status.STARTING
    sweeps.repeat(*[1.0] * 16)
    gone = harness.get(id)
    assert (gone.status, gone.error_code) == (Status.FAILED, "version_gone")


def test_after_a_pause_the_keeper_lets_the_others_speak_first(
    harness: SweeperHarness, sweeps: RepeatedSweeps
) -> None:
    id = submit_pinned(harness, "1" * 32)
    sweeps.repeat(*[1.0] * 14, 10.0, *[1.0] * 14)
    assert harness.get(id).status is Status.STARTING


def test_what_the_keepers_catalog_names_is_not_gone(
    harness: SweeperHarness, sweeps: RepeatedSweeps
) -> None:
    entry = harness.catalog["echo"].entry
    prediction = Prediction(new_id(), "echo", pinned=entry + "1" * 32)
    harness.ledger.run(create([NewPrediction(prediction, 1000, 8, entry=entry)]))
    sweeps.repeat(*[1.0] * 40)
    assert harness.get(prediction.id).status is Status.STARTING


def test_more_than_one_sweep_holds_are_ended_in_steps(
    harness: SweeperHarness, sweeps: RepeatedSweeps, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.keeper.sweeper.MOST_AT_ONCE", 2)
    ids = [submit_pinned(harness, "1" * 32) for _ in range(5)]
    sweeps.repeat(*[1.0] * 16)
    assert {harness.get(id).error_code for id in ids} == {"version_gone"}


def test_the_keeper_wakes_workers_for_what_waits_for_a_version_that_has_workers(
    harness: SweeperHarness,
) -> None:
    version = harness.worker.register("echo")
    prediction = Prediction(new_id(), "echo", pinned=version)
    entry = harness.catalog["echo"].entry
    harness.ledger.run(create([NewPrediction(prediction, 1000, 8, entry=entry)]))
    harness.ledger.redis.delete(
        harness.ledger.key("wakeups", "echo")
    )  # a worker of another took it
    harness.sweep()
    assert len(harness.messages()) == 1


def test_a_broker_that_is_looked_up_for_ever_costs_a_sweep_a_bounded_wait(
    settings: Settings, catalog: Catalog
) -> None:
    class Silent(Notifier):
        def count_messages(self, model: str) -> "Future[int | None]":
            return Future()

    async def sweep_once() -> None:
        hurried = settings.model_copy(update={"broker_timeout_seconds": 0.05})
        ledger, notifier = AsyncLedger(hurried), Silent(hurried)
        async with asyncio.timeout(10):
            await Sweeper(hurried, catalog, ledger, notifier).sweep_all_models()
        notifier.close()
        await ledger.close()

    asyncio.run(sweep_once())
