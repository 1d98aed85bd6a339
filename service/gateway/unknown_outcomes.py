"""Finds out in the background whether creates that were answered with 504 were recorded."""

import asyncio
import logging
from dataclasses import dataclass

from contract.errors import SoloistError
from contract.ledger.client import AsyncLedger
from contract.ledger.new_prediction import NewPrediction
from contract.ledger.transitions import Receipts, find_receipts
from service.gateway import metrics

logger = logging.getLogger(__name__)

MOST = 10_000
"""Creates that are asked about at a time; of more, the oldest are given up."""
PATIENCE_SECONDS = 900.0
"""How long one is asked about at most, and never longer than its record is kept for certain."""
PAUSE_SECONDS = 1.0
AT_ONCE = 500


@dataclass(frozen=True, slots=True)
class UnknownOutcome:
    """A create of which nobody knows whether it was recorded."""

    model: str
    receipt: str
    not_after: float
    trace_id: str | None
    since: float
    until: float

    def judge_receipt(self, receipt: str | None, now: float) -> str | None:
        """What became of it; None while it may be recorded yet."""
        if receipt == self.receipt:
            return "recorded"
        return "never_recorded" if now > self.not_after or receipt is not None else None


class UnknownOutcomes:
    """The creates that are asked about. One that was recorded takes its course."""

    def __init__(self, ledger: AsyncLedger) -> None:
        self._ledger = ledger
        self._open: dict[str, UnknownOutcome] = {}
        self._task: asyncio.Task[None] | None = None
        metrics.UNKNOWN.set_function(lambda: len(self._open))

    def resolve_later(self, new: NewPrediction) -> None:
        """Find out whether this one was recorded, in the background."""
        prediction = new.prediction
        parent = prediction.traceparent
        now = asyncio.get_running_loop().time()
        self._open[prediction.id] = UnknownOutcome(
            prediction.model,
            prediction.receipt or "",
            new.not_after or 0.0,
            parent.split("-")[1] if parent else None,
            now,
            now + min(PATIENCE_SECONDS, prediction.result_ttl),
        )
        while len(self._open) > MOST:
            self._close(next(iter(self._open)), "given_up")
        if self._task is None:
            self._task = asyncio.create_task(self._ask_until_known())

    async def close(self) -> None:
        """Ask no more."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
        for id in list(self._open):
            self._close(id, "given_up")

    async def _ask_until_known(self) -> None:
        try:
            while self._open:
                await self._ask_once()
                if self._open:
                    await asyncio.sleep(PAUSE_SECONDS)
        finally:
            self._task = None

    async def _ask_once(self) -> None:
        """Ask once about all that are open, as long as the ledger answers."""
        self._give_up()
        ids = list(self._open)
        for start in range(0, len(ids), AT_ONCE):
            some = ids[start : start + AT_ONCE]
            try:
                answer = await self._ledger.run(find_receipts(some))
            except Exception as error:  # whatever it is, it must not end the asking
                if not isinstance(error, SoloistError):
                    logger.exception("asking what was recorded")
                break
            self._close_answered(some, answer)

    def _close_answered(self, ids: list[str], answer: Receipts) -> None:
        for id, receipt in zip(ids, answer.receipts, strict=True):
            question = self._open.get(id)
            outcome = question and question.judge_receipt(receipt, answer.now)
            if outcome:
                self._close(id, outcome)

    def _give_up(self) -> None:
        """Close those that were asked about for too long."""
        now = asyncio.get_running_loop().time()
        for id in [id for id, question in self._open.items() if question.until < now]:
            self._close(id, "given_up")

    def _close(self, id: str, outcome: str) -> None:
        question = self._open.pop(id)
        metrics.KNOWN[outcome].inc()
        if outcome == "recorded":
            metrics.submitted(question.model).inc()
        logger.info(
            "a create's outcome is known",
            extra={
                "prediction": id,
                "model": question.model,
                "outcome": outcome,
                "seconds": round(asyncio.get_running_loop().time() - question.since, 3),
                "trace_id": question.trace_id,
            },
        )
