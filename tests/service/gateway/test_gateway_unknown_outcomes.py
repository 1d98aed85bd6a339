"""What its callers were told to be unknown is asked about until the ledger says what became of it."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from prometheus_client import REGISTRY

from contract.ledger.client import Ledger
from contract.ledger.new_prediction import NewPrediction
from contract.ledger.transitions import create, read_predictions
from contract.prediction import Prediction, Status, new_id
from contract.settings import Settings
from service.gateway import unknown_outcomes
from service.gateway.unknown_outcomes import UnknownOutcomes
from tests.support.lossy_ledger import LossyLedger, away, lost


def new_prediction(not_after: float, **what: Any) -> NewPrediction:
    prediction = Prediction(**{"id": new_id(), "model": "m", **what})
    return NewPrediction(prediction, 1000, 4, not_after=not_after)


def counted(outcome: str) -> float:
    name = "soloist_predictions_unknown_ended_total"
    return REGISTRY.get_sample_value(name, {"outcome": outcome}) or 0.0


def still_open() -> float | None:
    return REGISTRY.get_sample_value("soloist_predictions_unknown")


async def all_known(asking: UnknownOutcomes) -> None:
    assert asking._task is not None
    await asyncio.wait([asking._task], timeout=10)
    assert still_open() == 0


Story = Callable[[UnknownOutcomes, LossyLedger], Awaitable[None]]


@pytest.fixture
def run_story(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    monkeypatch.setattr(unknown_outcomes, "PAUSE_SECONDS", 0.02)

    def run(story: Story, *faults: Any) -> None:
        async def scenario() -> None:
            ledger = LossyLedger(settings, "find_receipts", *faults)
            asking = UnknownOutcomes(ledger)
            try:
                await story(asking, ledger)
            finally:
                await asking.close()
                await ledger.close()

        asyncio.run(scenario())

    return run


def outcomes(caplog: pytest.LogCaptureFixture) -> dict[str, str]:
    """What the log says became of each prediction."""
    known = [r for r in caplog.records if r.message == "a create's outcome is known"]
    return {record.prediction: record.outcome for record in known}  # type: ignore[attr-defined]


def test_it_asks_until_it_knows_and_says_so(
    run_story: Callable[..., None], ledger: Ledger, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    now = ledger.redis.time()[0]
    recorded, never = new_prediction(now + 60), new_prediction(now - 60)
    ledger.run(create([recorded]))
    before = {word: counted(word) for word in ("recorded", "never_recorded", "given_up")}

    async def story(asking: UnknownOutcomes, lossy: LossyLedger) -> None:
        asking.resolve_later(recorded)
        asking.resolve_later(never)
        assert still_open() == 2
        await all_known(asking)
        assert lossy.calls == ["find_receipts"] * 3

    run_story(story, away, lost)
    assert outcomes(caplog) == {
        recorded.prediction.id: "recorded",
        never.prediction.id: "never_recorded",
    }
    assert {word: counted(word) - before[word] for word in before} == {
        "recorded": 1,
        "never_recorded": 1,
        "given_up": 0,
    }


def test_what_may_be_recorded_yet_is_asked_about_again(
    run_story: Callable[..., None], ledger: Ledger, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    mine = new_prediction(ledger.redis.time()[0] + 60)

    async def story(asking: UnknownOutcomes, lossy: LossyLedger) -> None:
        asking.resolve_later(mine)
        await lossy.asked_for("find_receipts", 3)
        assert still_open() == 1
        await lossy.carry_out(create([mine]))
        await all_known(asking)

    run_story(story)
    assert outcomes(caplog) == {mine.prediction.id: "recorded"}


def test_another_requests_record_under_the_same_id_is_not_this_ones(
    run_story: Callable[..., None], ledger: Ledger, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    far = ledger.redis.time()[0] + 60
    ledger.run(create([new_prediction(far, id="mine", receipt="other")]))

    async def story(asking: UnknownOutcomes, lossy: LossyLedger) -> None:
        asking.resolve_later(new_prediction(far, id="mine", receipt="this"))
        await all_known(asking)

    run_story(story)
    assert outcomes(caplog) == {"mine": "never_recorded"}


def test_what_is_found_stays_as_it_is(run_story: Callable[..., None], ledger: Ledger) -> None:
    mine = new_prediction(ledger.redis.time()[0] + 60)
    ledger.run(create([mine]))

    async def story(asking: UnknownOutcomes, lossy: LossyLedger) -> None:
        asking.resolve_later(mine)
        await all_known(asking)

    run_story(story)
    (view,) = ledger.run(read_predictions([(mine.prediction.id, -1)]))
    assert view is not None
    assert view.prediction.status is Status.STARTING


def test_the_asking_is_bounded_in_number_and_in_time(
    run_story: Callable[..., None],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(unknown_outcomes, "MOST", 2)
    ids = ["a", "b", "c"]

    async def story(asking: UnknownOutcomes, lossy: LossyLedger) -> None:
        for id in ids:
            asking.resolve_later(new_prediction(2e9, id=id, result_ttl=0.1))
        assert outcomes(caplog) == {"a": "given_up"}
        await all_known(asking)

    run_story(story, *[away] * 999)
    assert outcomes(caplog) == dict.fromkeys(ids, "given_up")


def test_at_the_end_it_says_what_it_never_learned(
    run_story: Callable[..., None], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)

    async def story(asking: UnknownOutcomes, lossy: LossyLedger) -> None:
        asking.resolve_later(new_prediction(2e9, id="a"))

    run_story(story)
    assert outcomes(caplog) == {"a": "given_up"}
    assert still_open() == 0


def test_an_error_that_nobody_expected_does_not_end_the_asking(
    run_story: Callable[..., None], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)

    async def broken(ledger: LossyLedger, transition: Any) -> Any:
        raise RuntimeError("a bug")

    async def story(asking: UnknownOutcomes, lossy: LossyLedger) -> None:
        asking.resolve_later(new_prediction(0.0, id="a"))
        await all_known(asking)

    run_story(story, broken)
    assert outcomes(caplog) == {"a": "never_recorded"}
    assert "a bug" in caplog.text
