"""Creates whose answers get lost: found again, refused for certain, or unknown, and never recorded twice."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from prometheus_client import REGISTRY

from contract.errors import LedgerFull, LedgerUnavailable, OutcomeUnknown
from contract.ledger.client import Ledger
from contract.ledger.new_prediction import NewPrediction
from contract.ledger.transitions import Created, Full, create
from contract.prediction import Prediction, new_id
from contract.settings import Settings
from service.gateway import recorder, retries
from service.gateway.recorder import Recorder
from tests.support.fake_notifier import FakeNotifier
from tests.support.lossy_ledger import (
    Fault,
    LossyLedger,
    away,
    delayed,
    full,
    lost,
    silent,
    swallowed,
)

QUICK = 0.25
"""How fast these tests live: a request has so much of its real time."""


class RecorderHarness:
    """A recorder before a ledger with faults."""

    def __init__(self, settings: Settings, faults: tuple[Fault, ...]) -> None:
        self.ledger = LossyLedger(settings, "create", *faults)
        self.notifier = FakeNotifier()
        self.recorder = Recorder(self.ledger, self.notifier)  # type: ignore[arg-type]

    async def record(self, new: NewPrediction) -> Any:
        return await self.recorder.record_prediction(new)


Story = Callable[[RecorderHarness], Awaitable[None]]
RunStory = Callable[..., None]


@pytest.fixture
def run_story(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> RunStory:
    """Run a story with a recorder whose first creates meet these faults."""
    for module, names in (
        (retries, ("TRY_SECONDS", "LEAST_SECONDS", "MOST_PAUSE_SECONDS")),
        (recorder, ("ANSWER_SECONDS", "RECORD_SECONDS", "CLOSE_SECONDS")),
    ):
        for name in names:
            monkeypatch.setattr(module, name, getattr(module, name) * QUICK)

    def run(story: Story, *faults: Fault) -> None:
        async def scenario() -> None:
            harness = RecorderHarness(settings, faults)
            try:
                await story(harness)
            finally:
                await harness.recorder.close()
                await harness.ledger.close()

        asyncio.run(scenario())

    return run


def new_prediction(max_queue: int = 1000, **what: Any) -> NewPrediction:
    return NewPrediction(Prediction(**{"id": new_id(), "model": "m", **what}), max_queue, 4)


def recorded_ids(ledger: Ledger) -> list[str]:
    keys = ledger.redis.keys(ledger.key("prediction", "*"))
    return sorted(key.decode().rpartition(":")[2] for key in keys)


def metric(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(f"soloist_{name}", labels) or 0.0


@pytest.mark.parametrize("fault", [swallowed, lost, silent, away])
def test_a_create_without_an_answer_is_tried_again_and_recorded_once(
    run_story: RunStory, ledger: Ledger, fault: Fault
) -> None:
    before = metric("predictions_submitted_total", model="m")
    mine = new_prediction()

    async def story(harness: RecorderHarness) -> None:
        created = await harness.record(mine)
        assert isinstance(created, Created)
        assert not created.repeated
        assert created.prediction.id == mine.prediction.id
        assert created.prediction.queue_position == 1
        assert harness.notifier.sent == [("m", [1])]

    run_story(story, fault)
    assert recorded_ids(ledger) == [mine.prediction.id]
    assert metric("predictions_submitted_total", model="m") - before == 1


def test_all_of_a_batch_are_found_again_each_as_its_own(
    run_story: RunStory, ledger: Ledger
) -> None:
    batch = [new_prediction() for _ in range(5)]

    async def story(harness: RecorderHarness) -> None:
        results = await asyncio.gather(*map(harness.record, batch))
        assert [r.prediction.id for r in results] == [s.prediction.id for s in batch]
        assert not any(r.repeated for r in results)

    run_story(story, swallowed)
    assert recorded_ids(ledger) == sorted(s.prediction.id for s in batch)


@pytest.mark.parametrize("fault", [lost, swallowed])
def test_of_two_that_bring_the_same_id_one_has_created_it_whatever_is_lost(
    run_story: RunStory, fault: Fault
) -> None:
    async def story(harness: RecorderHarness) -> None:
        both = [
            new_prediction(id="mine", digest="d", receipt=receipt) for receipt in ("one", "two")
        ]
        results = await asyncio.gather(*map(harness.record, both))
        assert [r.repeated for r in results] == [False, True]

    run_story(story, fault)


def test_a_ledger_that_is_away_refuses_soon_and_for_certain(
    run_story: RunStory, ledger: Ledger
) -> None:
    async def story(harness: RecorderHarness) -> None:
        with pytest.raises(LedgerUnavailable) as refused:
            await harness.record(new_prediction())
        assert not refused.value.sent
        assert harness.ledger.calls.count("create") == 2

    run_story(story, *[away] * 9)
    assert recorded_ids(ledger) == []


@pytest.mark.parametrize(
    "faults", [[lost] * 99, [silent] * 99, [lost, *[away] * 99], [lost, *[full] * 99]]
)
def test_what_stays_without_an_answer_is_unknown_in_time(
    run_story: RunStory, faults: list[Fault]
) -> None:
    mine = new_prediction()

    async def story(harness: RecorderHarness) -> None:
        # Without an end of its own it would be tried for as long as there are faults, or wait for ever.
        async with asyncio.timeout(10):
            with pytest.raises(OutcomeUnknown) as unknown:
                await harness.record(mine)
        assert len(harness.ledger.faults) > 0
        assert unknown.value.prediction == mine.prediction.id
        assert not unknown.value.repeatable

    run_story(story, *faults)


def test_a_full_memory_is_a_refusal_at_once_where_nothing_is_on_its_way(
    run_story: RunStory,
) -> None:
    async def story(harness: RecorderHarness) -> None:
        with pytest.raises(LedgerFull):
            await harness.record(new_prediction())
        assert harness.ledger.calls.count("create") == 1

    run_story(story, full)


def test_a_full_queue_is_a_refusal_only_when_no_earlier_try_can_be_recorded_any_more(
    run_story: RunStory, ledger: Ledger
) -> None:
    first = new_prediction(max_queue=1)

    async def refused(harness: RecorderHarness) -> None:
        await harness.record(first)
        harness.ledger.faults = [lost]
        started = asyncio.get_running_loop().time()
        assert await harness.record(new_prediction(max_queue=1)) == Full(1, None)
        assert asyncio.get_running_loop().time() - started > recorder.RECORD_SECONDS

    run_story(refused)
    assert recorded_ids(ledger) == [first.prediction.id]


def test_a_try_that_arrives_while_the_queue_is_asked_again_is_found(
    run_story: RunStory, ledger: Ledger
) -> None:
    async def found(harness: RecorderHarness) -> None:
        await harness.record(new_prediction(max_queue=1))
        harness.ledger.faults = [delayed(0.5 * QUICK)]
        mine = new_prediction(max_queue=1)
        asked = asyncio.create_task(harness.record(mine))
        # The second try was refused, because the queue is full.
        await harness.ledger.asked_for("create", 3)
        await asyncio.to_thread(ledger.redis.delete, ledger.key("queued", "m"))
        created = await asked
        assert isinstance(created, Created)
        assert not created.repeated

    run_story(found)


def test_a_try_that_arrives_after_its_callers_time_records_nothing(
    run_story: RunStory, ledger: Ledger
) -> None:
    async def story(harness: RecorderHarness) -> None:
        with pytest.raises(OutcomeUnknown):
            await harness.record(new_prediction())
        await harness.ledger.late  # type: ignore[attr-defined]

    run_story(story, delayed(2.2 * QUICK), *[lost] * 99)
    assert recorded_ids(ledger) == []


def test_the_time_counts_from_each_callers_own_start(run_story: RunStory, ledger: Ledger) -> None:
    """Behind a slow call, one was told 503 and recorded later: its time counted from the call's start."""

    async def story(harness: RecorderHarness) -> None:
        first = asyncio.create_task(harness.record(new_prediction()))
        await harness.ledger.asked_for("create")
        with pytest.raises(LedgerUnavailable) as refused:
            await harness.record(new_prediction())
        assert not refused.value.sent
        assert "not sent" in refused.value.detail
        with pytest.raises(OutcomeUnknown):
            await first

    run_story(story, *[silent] * 99)
    assert recorded_ids(ledger) == []


def test_one_who_comes_when_the_call_before_is_nearly_given_up_is_recorded(
    run_story: RunStory, ledger: Ledger
) -> None:
    late = new_prediction()

    async def story(harness: RecorderHarness) -> None:
        first = asyncio.create_task(harness.record(new_prediction()))
        await asyncio.sleep(1.5 * QUICK)
        harness.ledger.faults = []
        created = await harness.record(late)
        assert created.prediction.id == late.prediction.id
        await asyncio.wait([first])

    run_story(story, *[silent] * 99)
    assert late.prediction.id in recorded_ids(ledger)


def test_a_clock_that_nobody_could_ask_is_a_refusal_and_no_doubt(
    run_story: RunStory, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story(harness: RecorderHarness) -> None:
        monkeypatch.setattr(harness.ledger, "_script", "find_receipts")
        with pytest.raises(LedgerUnavailable) as refused:
            await harness.record(new_prediction())
        assert not refused.value.sent
        assert "create" not in harness.ledger.calls

    run_story(story, *[lost] * 99)


def test_at_the_end_a_create_that_is_out_is_unknown(run_story: RunStory) -> None:
    async def story(harness: RecorderHarness) -> None:
        asked = asyncio.create_task(harness.record(new_prediction()))
        await harness.ledger.asked_for("create")
        await harness.recorder.close()
        with pytest.raises(OutcomeUnknown):
            await asked

    run_story(story, silent)


def test_a_repeated_create_is_not_counted_again(run_story: RunStory, ledger: Ledger) -> None:
    first = new_prediction(idempotency_key="k", digest="d")
    ledger.run(create([first]))
    before = metric("predictions_submitted_total", model="m")

    async def story(harness: RecorderHarness) -> None:
        again = await harness.record(new_prediction(idempotency_key="k", digest="d"))
        assert again.repeated
        assert again.prediction.id == first.prediction.id

    run_story(story, swallowed)
    assert metric("predictions_submitted_total", model="m") == before
