"""Records new predictions in the ledger: each ends as recorded, as not recorded, or as unknown."""

import asyncio
import math

from contract.broker import Notifier
from contract.errors import LedgerUnavailable, OutcomeUnknown
from contract.ledger.client import AsyncLedger
from contract.ledger.new_prediction import NewPrediction
from contract.ledger.transitions import (
    Conflicting,
    Created,
    CreateResult,
    Full,
    Late,
    NoRoom,
    Unserved,
    create,
    find_receipts,
)
from service.gateway import metrics
from service.gateway.coalescer import CallerGone, Coalescer, PendingItem
from service.gateway.retries import ANSWER_SECONDS, Retries
from service.gateway.unknown_outcomes import UnknownOutcomes

RECORD_SECONDS = 2.0
"""How long after its request a prediction may be recorded. An answer of the ledger after that is final. The rest of
ANSWER_SECONDS is for asking."""
CLOSE_SECONDS = 0.1
"""How long before its last caller leaves the tries of a call end."""
CLOCK_SECONDS = 0.25
"""An answer that took longer is too imprecise to set the clock by."""
CLOCK_AGE_SECONDS = 60.0
"""How long the ledger's clock is known for: two clocks drift apart by some ms a minute."""

RecordResult = Created | Conflicting | Unserved | Full | NoRoom
PendingCreate = PendingItem[NewPrediction, RecordResult]
Batch = list[PendingCreate]


class Recorder:
    """Records predictions: those of one turn of the event loop in one call, each within its own time."""

    def __init__(self, ledger: AsyncLedger, notifier: Notifier) -> None:
        self._ledger = ledger
        self._notifier = notifier
        self._reserve_bytes = ledger.settings.ledger_reserve_bytes
        self._creates = Coalescer(self._record, lambda new: len(new.prediction.input))
        self._clock = LedgerClock(ledger)
        self._unknown = UnknownOutcomes(ledger)

    async def record_prediction(self, new: NewPrediction) -> RecordResult:
        """What the ledger says to it.

        Raises:
            LedgerUnavailable, LedgerFull: it is not recorded, and never will be.
            OutcomeUnknown: the ledger may have recorded it, or may do so yet.
        """
        started = asyncio.get_running_loop().time()
        try:
            result = await self._creates.submit_item(new, started + ANSWER_SECONDS)
            if isinstance(result, Created) and not result.repeated:
                metrics.submitted(new.prediction.model).inc()
            return result
        except CallerGone as gone:
            if not gone.sent:
                raise LedgerUnavailable(
                    "the ledger is slow; this request was not sent to it"
                ) from None
        except LedgerUnavailable as error:
            if not error.sent:
                raise
        self._unknown.resolve_later(new)
        raise OutcomeUnknown(
            "the ledger did not say whether it recorded this prediction; ask for it by its id, or send "
            "the same again with the same id or Idempotency-Key",
            prediction=new.prediction.id,
        )

    async def close(self) -> None:
        """Cancel what is under way."""
        await self._creates.close()
        await self._unknown.close()

    async def _record(self, batch: Batch) -> None:
        """Record a batch. When this raises, the items without a result are unknown if the error was `sent`, and
        otherwise not recorded.
        """
        metrics.CREATED_AT_ONCE.observe(len(batch))
        until = max(pending.until for pending in batch) - CLOSE_SECONDS
        await self._clock.refresh(until)
        batch = [pending for pending in batch if not pending.over and self._begin(pending)]
        retries = Retries(self._ledger, until)
        refused: dict[str, Unserved | Full | NoRoom] = {}
        while batch:
            creation = await retries.run_transition(
                create([pending.item for pending in batch], reserve_bytes=self._reserve_bytes)
            )
            metrics.LEDGER_SECONDS.observe(retries.seconds)
            self._clock.learn_from(creation.now, retries.seconds)
            for model, wakeups in creation.wakeups.items():
                self._notifier.send_wakeups(model, wakeups)
            pairs = zip(batch, creation.results, strict=True)
            batch = [
                pending
                for pending, result in pairs
                if not self._settle(pending, result, refused, retries.in_doubt)
            ]
            if batch:
                await retries.wait_before_next()

    def _begin(self, pending: PendingCreate) -> bool:
        """Set until when it may be recorded; False if that has passed, and it must not be sent."""
        record_until = pending.until - ANSWER_SECONDS + RECORD_SECONDS
        if record_until < asyncio.get_running_loop().time():
            pending.set_exception(
                LedgerUnavailable("the ledger is slow; this request was not sent to it")
            )
            return False
        pending.item.not_after = self._clock.convert_loop_time(record_until)
        pending.sent = True
        return True

    def _settle(
        self,
        pending: PendingCreate,
        result: CreateResult,
        refused: dict[str, Unserved | Full | NoRoom],
        in_doubt: bool,
    ) -> bool:
        """Set a final result; False while an earlier try may still bring another one.

        Args:
            refused: by id, refusals that are not final as long as an earlier try is in doubt.
        """
        id = pending.item.prediction.id
        if isinstance(result, Late):
            if id in refused:
                pending.set_result(refused[id])
            else:
                pending.set_exception(
                    LedgerUnavailable("the ledger answered too late; nothing was recorded")
                )
        elif isinstance(result, Unserved | Full | NoRoom) and in_doubt:
            refused[id] = result
            return False
        else:
            pending.set_result(result)
        return True


class LedgerClock:
    """The ledger's clock as this process knows it, to within one round trip: rather behind it than ahead,
    so that nothing is recorded after a caller was told that it was not.
    """

    def __init__(self, ledger: AsyncLedger) -> None:
        self._ledger = ledger
        self._loop = asyncio.get_running_loop()
        self._offset = 0.0
        self._noted_at = -math.inf

    async def refresh(self, until: float) -> None:
        """Ask the ledger, if what is known is too old.

        Raises:
            LedgerUnavailable: it did not answer.
        """
        if self._loop.time() - self._noted_at < CLOCK_AGE_SECONDS:
            return
        retries = Retries(self._ledger, until)
        try:
            answer = await retries.run_transition(find_receipts([]))
        except LedgerUnavailable as error:
            raise LedgerUnavailable(error.detail) from error  # it changes nothing
        self._set(answer.now)

    def learn_from(self, now: float, seconds: float) -> None:
        """Set the clock by an answer that came just now and took so many seconds."""
        if seconds < CLOCK_SECONDS:
            self._set(now)

    def _set(self, now: float) -> None:
        self._noted_at = self._loop.time()
        self._offset = now - self._noted_at

    def convert_loop_time(self, time: float) -> float:
        """A time of the event loop by the ledger's clock."""
        return time + self._offset
