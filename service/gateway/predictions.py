"""Predictions of this gateway: submitted, waited for, read, canceled; the one way to them from every route."""

import asyncio
import time
from contextlib import AbstractContextManager, suppress
from dataclasses import replace
from typing import Any, TypeVar

from contract.broker import Notifier
from contract.catalog import Catalog
from contract.errors import (
    LedgerUnavailable,
    NotOver,
    OutcomeUnknown,
    PredictionNotFound,
)
from contract.input_schema import InputSchema
from contract.ledger.client import AsyncLedger
from contract.ledger.new_prediction import NewPrediction
from contract.ledger.transitions import (
    Created,
    Streamed,
    Transition,
    View,
    cancel,
    erase,
    read_predictions,
    read_stream,
)
from contract.prediction import Prediction
from contract.settings import Settings
from service.gateway import metrics
from service.gateway.outcomes import Listener, OutcomeSubscription
from service.gateway.readiness import Readiness
from service.gateway.recorder import Recorder
from service.gateway.refusals import explain_refusal
from service.gateway.retries import ANSWER_SECONDS, Retries

T = TypeVar("T")

AGAIN_SECONDS = 0.25
"""How long the last read after a wait may take: the client leaves soon."""


class Predictions:
    """Checks and records predictions, and wakes workers; then waits for outcomes."""

    def __init__(
        self,
        settings: Settings,
        catalog: Catalog,
        ledger: AsyncLedger,
        notifier: Notifier,
        outcomes: OutcomeSubscription,
    ) -> None:
        self._ledger = ledger
        self._outcomes = outcomes
        self._readiness = Readiness(ledger)
        self._recorder = Recorder(ledger, notifier)
        self.schemas = {name: InputSchema(spec) for name, spec in catalog.items()}

    @property
    def draining(self) -> bool:
        """True when this process ends: clients should come back to another one."""
        return self._outcomes.draining

    @property
    def hears_outcomes(self) -> bool:
        """False while outcomes that are announced do not reach this process."""
        return self._outcomes.subscribed

    def drain(self) -> None:
        """Answer all waiting requests now."""
        self._outcomes.drain()

    async def close(self) -> None:
        """Cancel what is under way. No more requests come."""
        await self._recorder.close()

    def listen_to(self, id: str, listener: Listener) -> AbstractContextManager[None]:
        """Call `listener` with every announcement about a prediction."""
        return self._outcomes.listen_to(id, listener)

    async def create_prediction(self, new: NewPrediction, wait_seconds: float = 0.0) -> Created:
        """Accept a prediction; with `wait_seconds` its outcome is awaited that long.

        Raises:
            ModelNotFound, Conflict, QueueFull, LedgerUnavailable, LedgerFull: it was not
                accepted.
            OutcomeUnknown: it may have been.
        """
        prediction = new.prediction
        if wait_seconds <= 0:
            return await self._accept(new)
        new.watcher = self._outcomes.name
        future: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        started = time.monotonic()
        check = self._readiness.check_model(prediction.model, started)
        with self._outcomes.listen_to(prediction.id, _settle(future)):
            created = await self._accept(new)
            if created.prediction.id != prediction.id or created.prediction.status.terminal:
                # Repeated by its key, so another prediction than the one listened for.
                rest = started + wait_seconds - time.monotonic()
                waited = await self.wait_for_prediction(
                    created.prediction.id, prediction.owner, rest
                )
                return Created(waited, created.repeated)
            await _outcome(created.prediction, future, started + wait_seconds)
        if created.prediction.status.terminal:
            seconds = time.monotonic() - started
            metrics.end_to_end_seconds(prediction.model, check.cold).observe(seconds)
        return created

    async def wait_for_prediction(self, id: str, owner: str, wait_seconds: float) -> Prediction:
        """The prediction once it is over, or as it stands when the time is up.

        Raises:
            PredictionNotFound: this owner has none with this id.
        """
        until = time.monotonic() + wait_seconds
        future: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        with self._outcomes.listen_to(id, _settle(future)):
            prediction = (await self.read_prediction(id, owner, watch=True)).prediction
            if not prediction.status.terminal:
                await _outcome(prediction, future, until)
        if not prediction.status.terminal:
            with suppress(LedgerUnavailable, TimeoutError):
                async with asyncio.timeout(AGAIN_SECONDS):
                    prediction = (await self.read_prediction(id, owner)).prediction
        return prediction

    async def read_prediction(self, id: str, owner: str, *, watch: bool = False) -> View:
        """A prediction as it stands; with `watch` the ledger announces its further course to this process.

        Raises:
            PredictionNotFound: this owner has none with this id.
        """
        watcher = self._outcomes.name if watch else None
        (view,) = await self.run_transition(
            read_predictions([(id, -1)], owner=owner, watcher=watcher)
        )
        if view is None:
            raise _missing(id)
        return view

    async def read_stream(self, id: str, owner: str, since: int) -> Streamed:
        """The events of a stream after the first `since`; further ones are announced to this process.

        Raises:
            PredictionNotFound: this owner has none with this id.
        """
        events: list[tuple[str, str]] = []
        while True:
            asked = read_stream(id, owner, since + len(events), watcher=self._outcomes.name)
            found = await self.run_transition(asked)
            if found is None:
                raise _missing(id)
            events += found.events
            if not found.more:
                return replace(found, events=events)

    async def require_prediction(self, id: str, owner: str) -> None:
        """Check that a prediction exists, without reading it.

        Raises:
            PredictionNotFound: this owner has none with this id.
        """
        if await self.run_transition(read_stream(id, owner, 0, most=0)) is None:
            raise _missing(id)

    async def cancel_prediction(self, id: str, owner: str) -> Prediction:
        """Cancel at any stage.

        Raises:
            PredictionNotFound: this owner has none with this id.
            OutcomeUnknown: it may have been canceled.
        """
        return await self._change(id, cancel(id, owner))

    async def erase_prediction(self, id: str, owner: str) -> Prediction:
        """Remove the input, output and logs of what is over.

        Raises:
            PredictionNotFound: this owner has none with this id.
            NotOver: it waits or runs.
            OutcomeUnknown: they may have been removed.
        """
        prediction = await self._change(id, erase(id, owner))
        if not prediction.status.terminal:
            raise NotOver(f"it is {prediction.status}; cancel it first")
        return prediction

    async def _change(self, id: str, transition: Transition[Prediction | None]) -> Prediction:
        """Run a change that may be repeated; the prediction after it."""
        until = asyncio.get_running_loop().time() + ANSWER_SECONDS
        try:
            prediction = await Retries(self._ledger, until).run_transition(transition)
        except LedgerUnavailable as error:
            if not error.sent:
                raise
            raise OutcomeUnknown(
                "the ledger did not say whether it has done this; ask for it again, which does no harm",
                prediction=id,
                repeatable=True,
            ) from error
        if prediction is None:
            raise _missing(id)
        return prediction

    async def run_transition(self, transition: Transition[T]) -> T:
        """Run one transition within the time that a client may wait for an answer.

        Raises:
            LedgerUnavailable: it took longer.
        """
        with metrics.ledger_call():
            try:
                async with asyncio.timeout(ANSWER_SECONDS):
                    return await self._ledger.run(transition)
            except TimeoutError:
                raise LedgerUnavailable("the ledger does not answer in time") from None

    async def _accept(self, new: NewPrediction) -> Created:
        result = await self._recorder.record_prediction(new)
        if not isinstance(result, Created):
            raise explain_refusal(new, result)
        if result.brief:
            view = await self.read_prediction(result.prediction.id, new.prediction.owner)
            return Created(view.prediction, repeated=True, failure=result.failure)
        return result


def _missing(id: str) -> PredictionNotFound:
    return PredictionNotFound(f"there is no prediction {id[:100]!r}")


def _settle(future: asyncio.Future[dict[str, Any]]) -> Listener:
    def on_announcement(kind: str, fields: dict[str, Any]) -> None:
        if kind in ("outcome", "drain") and not future.done():
            future.set_result(fields)

    return on_announcement


async def _outcome(
    prediction: Prediction, future: asyncio.Future[dict[str, Any]], until: float
) -> None:
    """Wait for the outcome and put it into the prediction, which stays as it is if none comes in time."""
    done, _ = await asyncio.wait([future], timeout=max(0.0, until - time.monotonic()))
    if done and (outcome := future.result()):
        prediction.update(outcome)
        prediction.queue_position = prediction.eta_seconds = None
