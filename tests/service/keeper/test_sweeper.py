"""The keeper: what it puts right in one look, what it leaves alone, and what its probes say."""

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
from contract.ledger.new_prediction import NewPrediction
from contract.ledger.transitions import (
    LeaseTerms,
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


class House:
    """A ledger whose clock the test moves, a worker, and keepers that look once when told to."""

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
        """One look at everything, by each of so many keepers at the same time."""
        settings = self.settings.model_copy(update=changed)

        async def look() -> None:
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

        asyncio.run(look())

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
def house(settings: Settings, catalog: Catalog) -> Iterator[House]:
    opened = House(settings, catalog)
    yield opened
    opened.close()


def metric(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0.0


def test_a_lost_message_is_sent_again_once_it_had_its_time(house: House) -> None:
    house.submit()
    house.sweep()
    assert house.messages() == []
    house.advance(3)
    house.sweep()
    assert len(house.messages()) == 1
    house.advance(3)
    house.sweep()
    assert len(house.messages()) == 1


def test_as_many_messages_as_batches_are_sent_again(house: House) -> None:
    for _ in range(2 * house.catalog["echo"].max_batch_size + 1):
        house.submit()
    house.advance(3)
    house.sweep()
    assert len(house.messages()) == 3
    assert len(set(house.messages())) == 3


def test_nobody_is_woken_when_nothing_waits(house: House) -> None:
    house.submit()
    house.worker.serve_one()
    house.advance(3)
    house.sweep()
    assert house.messages() == []


def test_an_expired_lease_goes_back_and_a_worker_is_woken(house: House) -> None:
    id = house.submit()
    assert house.worker.claim()
    house.advance(LEASE - 1)
    house.sweep()
    assert house.get(id).status is Status.PROCESSING
    house.advance(2)
    house.sweep()
    assert (house.get(id).status, house.get(id).attempt) == (Status.STARTING, 1)
    house.advance(3)
    house.sweep()
    assert house.messages()
    assert [(again.id, again.attempt) for again in house.worker.claim()] == [(id, 2)]


def test_a_lease_that_is_extended_is_left_alone(house: House) -> None:
    id = house.submit()
    (claimed,) = house.worker.claim()
    for _ in range(4):
        house.advance(LEASE - 1)
        assert house.worker.extend(claimed)
        house.sweep()
    assert house.get(id).status is Status.PROCESSING
    assert house.worker.succeed(claimed) == []


def test_what_loses_its_worker_each_time_is_failed_and_kept_aside(house: House) -> None:
    id = house.submit()
    before = metric("soloist_leases_taken_back_total", model="echo")
    for _ in range(3):
        assert house.worker.claim()
        house.advance(LEASE + 1)
        house.sweep()
    record = house.get(id)
    assert (record.status, record.error_code) == (Status.FAILED, "worker_lost")
    assert [kept.id for kept in house.ledger.run(read_dead_list("echo"))] == [id]
    assert metric("soloist_dead_predictions", model="echo") == 1
    assert metric("soloist_leases_taken_back_total", model="echo") - before == 3
    house.advance(house.settings.dead_ttl_seconds - 10)
    house.sweep()
    assert house.get(id).status is Status.FAILED
    house.advance(20)
    house.sweep()
    assert house.ledger.run(read_dead_list("echo")) == []


def test_the_number_of_attempts_is_a_setting(house: House) -> None:
    id = house.submit()
    house.worker.claim()
    house.advance(LEASE + 1)
    house.sweep(max_attempts=1)
    assert house.get(id).error_code == "worker_lost"


@pytest.mark.parametrize(("starts", "sentence"), [(False, "before it was started"), (True, "ran")])
def test_a_missed_deadline_cancels_what_waits_and_what_runs(
    house: House, starts: bool, sentence: str
) -> None:
    id = house.submit(deadline_seconds=10.0)
    before = metric("soloist_predictions_expired_total", reason="deadline")
    claimed = house.worker.claim() if starts else []
    house.advance(9)
    house.sweep()
    assert not house.get(id).status.terminal
    house.advance(2)
    house.sweep()
    record = house.get(id)
    assert (record.status, record.error_code) == (Status.CANCELED, "deadline_exceeded")
    assert sentence in (record.error or "")
    assert metric("soloist_predictions_expired_total", reason="deadline") - before == 1
    for one in claimed:
        assert house.worker.succeed(one) == [id]


def test_what_runs_past_its_hard_limit_is_failed(house: House) -> None:
    id = house.submit()
    (claimed,) = house.worker.claim()
    limit = house.catalog["echo"].timeout_seconds
    for _ in range(40):  # a worker that lives and hangs renews its lease
        house.advance(limit / 40)
        house.worker.extend(claimed)
    house.sweep()
    assert house.get(id).status is Status.PROCESSING
    house.advance(5)
    house.sweep()
    assert (house.get(id).status, house.get(id).error_code) == (Status.FAILED, "timeout")


def test_a_record_is_deleted_when_its_retention_is_over(house: House) -> None:
    id = house.submit()
    house.worker.serve_one()
    house.advance(house.get(id).result_ttl - 1)
    house.sweep()
    assert house.get(id).status is Status.SUCCEEDED
    house.advance(2)
    before = metric("soloist_predictions_pruned_total")
    house.sweep()
    assert house.ledger.run(read_predictions([(id, -1)])) == [None]
    assert metric("soloist_predictions_pruned_total") - before == 1


def test_more_than_one_call_may_touch_is_put_right_in_one_look(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.keeper.sweeper.MOST_AT_ONCE", 3)
    late = [house.submit("small", deadline_seconds=10.0) for _ in range(7)]
    lost = [house.submit() for _ in range(8)]
    assert len(house.worker.claim()) == 8
    house.advance(LEASE + 1)
    house.sweep()
    assert {house.get(id).status for id in late} == {Status.CANCELED}
    assert {house.get(id).status for id in lost} == {Status.STARTING}
    house.advance(4000)
    house.sweep()
    assert house.ledger.run(read_predictions([(id, -1) for id in late])) == [None] * 7


def test_two_keepers_at_once_do_everything_once(house: House) -> None:
    waiting = house.submit("small")
    lost = house.submit()
    (claimed,) = house.worker.claim()
    house.advance(LEASE + 1)
    house.sweep(keepers=2)
    assert house.get(waiting).status is house.get(lost).status is Status.STARTING
    assert house.get(lost).attempt == claimed.attempt == 1
    assert len(house.messages("small")) == 1
    house.advance(3)
    house.sweep(keepers=2)
    assert len(house.messages()) == 1


def test_a_model_that_left_the_catalog_is_still_looked_after(house: House) -> None:
    id = house.submit("retired", deadline_seconds=5.0)
    waits = house.submit("retired")
    house.advance(6)
    house.sweep()
    assert house.get(id).status is Status.CANCELED
    assert house.get(waits).status is Status.STARTING
    assert len(house.messages("retired")) == 1


def shown(model: str) -> set[str]:
    """The metrics that have a series of this model."""
    samples = (sample for family in REGISTRY.collect() for sample in family.samples)
    return {sample.name for sample in samples if sample.labels.get("model") == model}


def test_a_model_that_left_the_catalog_is_forgotten_once_nothing_of_it_is_left(
    house: House,
) -> None:
    id = house.submit("retired")
    house.sweep()
    terms = LeaseTerms("retired", "w1", 1)
    (claimed,) = house.ledger.run(claim(terms, 0)).predictions
    outcome = Outcome(id, claimed.attempt, b'"done"')
    house.ledger.run(finish(terms, [outcome], idle=True, seconds=1.0))
    house.advance(3)
    house.sweep()
    assert "soloist_predictions_accepted_total" in shown("retired")
    house.advance(house.get(id).result_ttl - 10)
    house.sweep()
    assert house.ledger.redis.sismember(house.ledger.key("models"), "retired")
    house.advance(20)
    house.sweep()
    assert not house.ledger.redis.sismember(house.ledger.key("models"), "retired")
    assert shown("retired") == set()
    assert house.messages("retired") == []
    keys = house.ledger.redis.scan_iter(f"{house.settings.prefix}*")
    assert [key for key in keys if key.endswith(b":retired")] == []
    # One that comes back is as new.
    again = house.submit("retired")
    house.advance(3)
    house.sweep()
    assert house.messages("retired")
    assert house.get(again).status is Status.STARTING
    assert metric("soloist_predictions_accepted_total", model="retired") == 1


def test_a_model_of_the_catalog_is_never_forgotten(house: House) -> None:
    house.submit()
    house.worker.serve_one()
    house.advance(100_000)
    house.sweep()
    house.sweep()
    assert house.ledger.redis.sismember(house.ledger.key("models"), "echo")
    assert metric("soloist_predictions_accepted_total", model="echo") == 1


def test_without_its_broker_the_keeper_still_keeps_and_sends_wakeups_when_it_is_back(
    house: House,
) -> None:
    id = house.submit()
    house.worker.claim()
    house.advance(LEASE + 1)
    nowhere = SecretStr(f"redis://127.0.0.1:{free_port()}/0")
    house.sweep(broker_url=nowhere, broker_timeout_seconds=0.2)
    assert house.get(id).status is Status.STARTING
    assert metric("soloist_keeper_broker_up") == 0
    assert house.messages() == []
    house.advance(3)
    house.sweep()
    assert metric("soloist_keeper_broker_up") == 1
    assert len(house.messages()) == 1


def test_the_metrics_of_the_queues_hold_without_any_worker(house: House) -> None:
    for _ in range(10):
        house.submit()
    (claimed,) = house.worker.claim(limit=1)
    house.worker.succeed(claimed, seconds=2.0)
    house.worker.claim(limit=3)
    house.advance(7)
    house.sweep()
    assert metric("soloist_queue_depth", model="echo", state="queued") == 6
    assert metric("soloist_queue_depth", model="echo", state="running") == 3
    assert metric("soloist_busy_workers", model="echo") == 1
    assert metric("soloist_queue_oldest_seconds", model="echo") == pytest.approx(7, abs=0.01)
    assert metric("soloist_queue_drain_seconds", model="echo") == 12.0
    assert metric("soloist_queue_depth", model="small", state="queued") == 0


def test_a_look_without_a_ledger_says_so(settings: Settings, catalog: Catalog) -> None:
    away = settings.model_copy(
        update={"redis_url": SecretStr(f"redis://127.0.0.1:{free_port()}/0")}
    )

    async def look() -> None:
        ledger, notifier = AsyncLedger(away), Notifier(away)
        try:
            with pytest.raises(LedgerUnavailable):
                await Sweeper(away, catalog, ledger, notifier).sweep_all_models()
        finally:
            notifier.close()
            await ledger.close()

    asyncio.run(look())


def unheard(house: House) -> tuple[str, "redis.client.PubSub"]:
    """A prediction that ended, whose worker died before it announced that; and who waits for it."""
    channel = house.broker.pubsub(ignore_subscribe_messages=True)
    channel.subscribe(house.ledger.key("answers", "gw"))
    channel.get_message(timeout=5)
    id = house.submit(watcher="gw")
    (claimed,) = house.worker.claim()
    # There is no replica, so this one is left to the keeper.
    ours = house.settings.model_copy(update={"ledger_replicas": 1, "ledger_timeout_seconds": 0.2})
    worker = Ledger(ours, clock=CLOCK)
    terms = LeaseTerms("echo", "w", 1)
    outcome = Outcome(id, claimed.attempt, output=b"1")
    assert worker.run(finish(terms, [outcome], idle=True, seconds=0.1)) == []
    worker.close()
    assert house.get(id).status is Status.SUCCEEDED
    assert channel.get_message(timeout=0.1) is None
    return id, channel


def test_an_end_that_nobody_announced_is_announced(house: House) -> None:
    id, channel = unheard(house)
    with channel:
        house.sweep()
        message = channel.get_message(timeout=5)
        assert message
        ((told, kind, outcome),) = msgpack.unpackb(message["data"])
        house.sweep()
        assert channel.get_message(timeout=0.1) is None

    assert (told, kind, outcome["status"]) == (id, "outcome", "succeeded")


def test_an_end_that_the_replicas_do_not_have_waits_and_holds_no_sweep_up(house: House) -> None:
    id, channel = unheard(house)
    other = house.submit()
    house.advance(LEASE + 1)
    with channel:
        house.sweep(ledger_replicas=1, ledger_timeout_seconds=0.2)
        assert channel.get_message(timeout=0.1) is None
        assert house.messages() != [], f"{other}'s workers are woken all the same"
        house.sweep()
        assert channel.get_message(timeout=5), f"{id} is announced"


class Watch:
    """One keeper that looks again and again, while the clocks of the ledger and of its process go on."""

    def __init__(self, house: House, monkeypatch: pytest.MonkeyPatch) -> None:
        self._house, self._process = house, 1000.0
        monkeypatch.setattr("service.keeper.sweeper.time.monotonic", lambda: self._process)

    def look(self, *pauses: float) -> None:
        """Sweep once, and again after each of these pauses."""

        async def sweeps() -> None:
            ledger = AsyncLedger(self._house.settings, clock=CLOCK)
            notifier = Notifier(self._house.settings)
            sweeper = Sweeper(self._house.settings, self._house.catalog, ledger, notifier)
            try:
                await sweeper.sweep_all_models()
                for pause in pauses:
                    self._process += pause
                    self._house.advance(pause)
                    await sweeper.sweep_all_models()
            finally:
                notifier.close(wait=True)
                await ledger.close()

        asyncio.run(sweeps())


@pytest.fixture
def watch(house: House, monkeypatch: pytest.MonkeyPatch) -> Watch:
    return Watch(house, monkeypatch)


def submit_pinned(house: House, content: str) -> str:
    """The id of a prediction that another catalog's gateway accepted for a version of its own."""
    entry = "e" * 32
    prediction = Prediction(new_id(), "echo", pinned=entry + content)
    house.ledger.run(create([NewPrediction(prediction, 1000, 8, entry=entry)]))
    return prediction.id


def test_what_waits_for_a_version_that_is_gone_is_ended_once_all_had_time_to_speak(
    house: House, watch: Watch
) -> None:
    id = submit_pinned(house, "1" * 32)
    watch.look(*[1.0] * 14)
    assert house.get(id).status is Status.STARTING
    watch.look(*[1.0] * 16)
    gone = house.get(id)
    assert (gone.status, gone.error_code) == (Status.FAILED, "version_gone")


def test_after_a_pause_the_keeper_lets_the_others_speak_first(house: House, watch: Watch) -> None:
    id = submit_pinned(house, "1" * 32)
    watch.look(*[1.0] * 14, 10.0, *[1.0] * 14)
    assert house.get(id).status is Status.STARTING


def test_what_the_keepers_catalog_names_is_not_gone(house: House, watch: Watch) -> None:
    entry = house.catalog["echo"].entry
    prediction = Prediction(new_id(), "echo", pinned=entry + "1" * 32)
    house.ledger.run(create([NewPrediction(prediction, 1000, 8, entry=entry)]))
    watch.look(*[1.0] * 40)
    assert house.get(prediction.id).status is Status.STARTING


def test_more_than_one_look_holds_are_ended_in_steps(
    house: House, watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.keeper.sweeper.MOST_AT_ONCE", 2)
    ids = [submit_pinned(house, "1" * 32) for _ in range(5)]
    watch.look(*[1.0] * 16)
    assert {house.get(id).error_code for id in ids} == {"version_gone"}


def test_the_keeper_wakes_workers_for_what_waits_for_a_version_that_has_workers(
    house: House,
) -> None:
    version = house.worker.register("echo")
    prediction = Prediction(new_id(), "echo", pinned=version)
    entry = house.catalog["echo"].entry
    house.ledger.run(create([NewPrediction(prediction, 1000, 8, entry=entry)]))
    house.ledger.redis.delete(house.ledger.key("wakeups", "echo"))  # a worker of another took it
    house.sweep()
    assert len(house.messages()) == 1


def test_a_broker_that_is_looked_up_for_ever_costs_a_sweep_a_bounded_wait(
    settings: Settings, catalog: Catalog
) -> None:
    class Silent(Notifier):
        def depth(self, model: str) -> "Future[int | None]":
            return Future()

    async def look() -> None:
        hurried = settings.model_copy(update={"broker_timeout_seconds": 0.05})
        ledger, notifier = AsyncLedger(hurried), Silent(hurried)
        async with asyncio.timeout(10):
            await Sweeper(hurried, catalog, ledger, notifier).sweep_all_models()
        notifier.close()
        await ledger.close()

    asyncio.run(look())
