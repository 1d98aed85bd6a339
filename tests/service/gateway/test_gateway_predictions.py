"""Submit and wait, without HTTP: who waits gets the outcome, or the prediction as it stands, and never another's."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from contract.broker import Notifier
from contract.catalog import Catalog
from contract.errors import (
    InvalidInput,
    LedgerUnavailable,
    NotOver,
    OutcomeUnknown,
    PredictionNotFound,
    QueueFull,
)
from contract.ledger.client import AsyncLedger
from contract.ledger.new_prediction import NewPrediction
from contract.ledger.transitions import read_models
from contract.prediction import Status
from contract.settings import Settings
from service.gateway import predictions as module
from service.gateway.outcomes import OutcomeSubscription
from service.gateway.predictions import Predictions
from tests.support.fake_worker import FakeWorker
from tests.support.waiting import until

OURS = "local"
LONG = 30.0
Story = Callable[["Gateway"], Awaitable[None]]


class Gateway:
    """What one process has for its predictions."""

    def __init__(self, settings: Settings, catalog: Catalog) -> None:
        self.ledger = AsyncLedger(settings)
        self.notifier = Notifier(settings)
        self.outcomes = OutcomeSubscription(self.ledger)
        self.predictions = Predictions(settings, catalog, self.ledger, self.notifier, self.outcomes)

    def new(self, model: str = "echo", input: Any = None, **more: Any) -> NewPrediction:
        schema = self.predictions.schemas[model]
        return NewPrediction.from_input(schema, input or {}, OURS, **more)

    async def accept(self, model: str = "echo", **more: Any) -> str:
        return (await self.predictions.create_prediction(self.new(model, **more))).prediction.id

    async def until_waiting(self, count: int = 1) -> None:
        await asyncio.to_thread(until, "they wait", lambda: self.outcomes.waiting >= count)


@asynccontextmanager
async def opened(settings: Settings, catalog: Catalog) -> AsyncIterator[Gateway]:
    gateway = Gateway(settings, catalog)
    await gateway.outcomes.subscribe()
    try:
        yield gateway
    finally:
        await gateway.predictions.close()
        await gateway.outcomes.unsubscribe()
        gateway.notifier.close()
        await gateway.ledger.close()


@pytest.fixture
def run_story(settings: Settings, catalog: Catalog) -> Callable[[Story], None]:
    """Run a story with a gateway of its own."""

    def run(story: Story) -> None:
        async def scenario() -> None:
            async with opened(settings, catalog) as gateway:
                await story(gateway)
                assert gateway.outcomes.waiting == 0, "nobody is left behind"

        asyncio.run(scenario())

    return run


def test_a_create_that_waits_ends_with_the_outcome(
    run_story: Callable[[Story], None], worker: FakeWorker
) -> None:
    async def story(gateway: Gateway) -> None:
        asked = asyncio.create_task(gateway.predictions.create_prediction(gateway.new(), LONG))
        await gateway.until_waiting()
        claimed = await asyncio.to_thread(until, "it is recorded", worker.claim)
        worker.succeed(claimed[0], "said")
        prediction = (await asked).prediction
        assert (prediction.status, prediction.output) == (Status.SUCCEEDED, '"said"')
        assert prediction.queue_position is None

    run_story(story)


def test_a_wait_that_is_over_first_leaves_the_prediction_as_it_is(
    run_story: Callable[[Story], None],
) -> None:
    async def story(gateway: Gateway) -> None:
        created = await gateway.predictions.create_prediction(gateway.new(), 0.05)
        assert created.prediction.status is Status.STARTING
        waited = await gateway.predictions.wait_for_prediction(created.prediction.id, OURS, 0.05)
        assert waited.status is Status.STARTING

    run_story(story)


def test_a_wait_says_what_became_of_it_meanwhile_though_nobody_announced_it(
    run_story: Callable[[Story], None], worker: FakeWorker
) -> None:
    async def story(gateway: Gateway) -> None:
        id = await gateway.accept()
        asked = asyncio.create_task(gateway.predictions.wait_for_prediction(id, OURS, 0.3))
        await gateway.until_waiting()
        (claimed,) = worker.claim()
        await asyncio.to_thread(until, "it is watched", lambda: worker.watched(claimed))
        worker.ledger.redis.hdel(worker.ledger.key("prediction", id), "watchers")
        worker.succeed(claimed)
        assert (await asked).status is Status.SUCCEEDED

    run_story(story)


def test_a_repeated_create_waits_for_the_first_one(
    run_story: Callable[[Story], None], worker: FakeWorker
) -> None:
    async def story(gateway: Gateway) -> None:
        first = await gateway.accept(idempotency_key="k")
        again = gateway.new(idempotency_key="k")
        assert again.prediction.id != first
        asked = asyncio.create_task(gateway.predictions.create_prediction(again, LONG))
        await gateway.until_waiting()
        await asyncio.to_thread(
            until, "it waits for the first", lambda: first in gateway.outcomes._listeners
        )
        worker.succeed(worker.claim()[0])
        created = await asked
        assert (created.repeated, created.prediction.id) == (True, first)
        assert created.prediction.status is Status.SUCCEEDED

    run_story(story)


def test_a_process_that_ends_lets_all_go_who_wait_and_who_come_then(
    run_story: Callable[[Story], None],
) -> None:
    async def story(gateway: Gateway) -> None:
        id = await gateway.accept()
        waits = [
            asyncio.create_task(gateway.predictions.wait_for_prediction(id, OURS, LONG)),
            asyncio.create_task(gateway.predictions.create_prediction(gateway.new(), LONG)),
        ]
        await gateway.until_waiting(2)
        gateway.predictions.drain()
        assert gateway.predictions.draining
        late = gateway.predictions.wait_for_prediction(id, OURS, LONG)
        one, created, other = await asyncio.gather(*waits, late)
        assert {one.status, created.prediction.status, other.status} == {Status.STARTING}

    run_story(story)


def test_a_refusal_is_raised_and_nothing_is_recorded(run_story: Callable[[Story], None]) -> None:
    async def story(gateway: Gateway) -> None:
        for _ in range(2):
            await gateway.accept("small")
        with pytest.raises(QueueFull):
            await gateway.accept("small")
        with pytest.raises(InvalidInput):
            gateway.new("strict", {"number": -1})
        states = await gateway.predictions.run_transition(read_models(["small", "strict"]))
        assert {name: known.queued for name, known in states.items()} == {"small": 2, "strict": 0}

    run_story(story)


def test_what_another_owner_has_is_not_there(run_story: Callable[[Story], None]) -> None:
    async def story(gateway: Gateway) -> None:
        id = await gateway.accept()
        ours = gateway.predictions
        for call in (
            ours.read_prediction(id, "another"),
            ours.wait_for_prediction(id, "another", 0.1),
            ours.read_stream(id, "another", 0),
            ours.require_prediction(id, "another"),
            ours.cancel_prediction(id, "another"),
            ours.erase_prediction(id, "another"),
        ):
            with pytest.raises(PredictionNotFound):
                await call
        assert (await ours.read_prediction(id, OURS)).prediction.status is Status.STARTING

    run_story(story)


def test_only_what_is_over_is_erased(run_story: Callable[[Story], None]) -> None:
    async def story(gateway: Gateway) -> None:
        id = await gateway.accept()
        with pytest.raises(NotOver):
            await gateway.predictions.erase_prediction(id, OURS)
        canceled = await gateway.predictions.cancel_prediction(id, OURS)
        assert canceled.status is Status.CANCELED
        assert (await gateway.predictions.erase_prediction(id, OURS)).data_removed

    run_story(story)


def test_a_long_stream_is_read_in_one_piece(
    run_story: Callable[[Story], None], worker: FakeWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story(gateway: Gateway) -> None:
        id = await gateway.accept()
        claimed = worker.claim()[0]
        monkeypatch.setattr(module, "read_stream", few_at_once)
        for piece in "abcde":
            worker.say(claimed, piece)
        found = await gateway.predictions.read_stream(id, OURS, 1)
        assert [text for _, text in found.events] == ["b", "c", "d", "e"]
        assert not found.more

    read_stream = module.read_stream

    def few_at_once(id: str, owner: str, since: int, **more: Any) -> Any:
        return read_stream(id, owner, since, most=2, **more)

    run_story(story)


def test_a_change_without_an_answer_is_unknown_and_one_that_was_not_sent_is_not(
    run_story: Callable[[Story], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story(gateway: Gateway) -> None:
        id = await gateway.accept()
        for sent, error in ((True, OutcomeUnknown), (False, LedgerUnavailable)):

            async def away(*args: object, sent: bool = sent, **more: object) -> None:
                raise LedgerUnavailable("away", sent=sent)

            with monkeypatch.context() as patch:
                patch.setattr(gateway.ledger, "run", away)
                with pytest.raises(error) as raised:
                    await gateway.predictions.cancel_prediction(id, OURS)
            if isinstance(raised.value, OutcomeUnknown):
                assert (raised.value.prediction, raised.value.repeatable) == (id, True)

    monkeypatch.setattr(module, "ANSWER_SECONDS", 0.3)
    run_story(story)


def test_a_ledger_that_does_not_answer_in_time_is_unavailable(
    run_story: Callable[[Story], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story(gateway: Gateway) -> None:
        async def never(*args: object, **more: object) -> None:
            await asyncio.Event().wait()

        monkeypatch.setattr(gateway.ledger, "run", never)
        with pytest.raises(LedgerUnavailable, match="in time"):
            await gateway.predictions.run_transition(read_models([]))
        monkeypatch.undo()

    monkeypatch.setattr(module, "ANSWER_SECONDS", 0.05)
    run_story(story)
