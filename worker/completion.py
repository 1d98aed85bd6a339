"""The end of a batch: its outcomes are written, or it is handed back. And the end of the process with it."""

import logging
import time
from collections.abc import Callable
from typing import NoReturn, TypeVar

from contract.broker import Notifier
from contract.errors import LedgerUnavailable, Refused
from contract.ledger.client import Ledger
from contract.ledger.lease_terms import LeaseTerms
from contract.ledger.transitions import Outcome, finish_in_parts, release
from contract.telemetry.endings import log_endings
from contract.telemetry.tracing import Tracing
from worker import metrics
from worker.backoff import backoff_pauses
from worker.batch import Batch
from worker.batch_log import BatchLog
from worker.leases import Leases, end_process

logger = logging.getLogger(__name__)

T = TypeVar("T")

EXIT_BROKEN = 70
"""sysexits.h EX_SOFTWARE: a hung batch or a lost device; a fresh process may do better."""
LONGEST_PAUSE_SECONDS = 0.5
"""Between two tries to reach the ledger."""
LAST_TRIES_SECONDS = 5.0
"""A process that must end begins no try to reach the ledger after this."""
LAST_SECONDS = 0.5
"""How long a process that must end waits for spans to be sent."""


class Completion:
    """Ends batches in the ledger, in the log, in metrics and in traces."""

    def __init__(
        self,
        ledger: Ledger,
        terms: LeaseTerms,
        leases: Leases,
        notifier: Notifier,
        batch_log: BatchLog,
        tracing: Tracing,
    ) -> None:
        self._ledger = ledger
        self._terms = terms
        self._leases = leases
        self._notifier = notifier
        self._batch_log = batch_log
        self._tracing = tracing

    def write_outcomes(self, batch: Batch, outcomes: list[Outcome]) -> list[str]:
        """Write the outcomes, however long the ledger is away; the ids that were fenced off."""
        return self._write_when_ledger_answers(batch, lambda: self._write(batch, outcomes))

    def record_ended(self, batch: Batch, outcomes: list[Outcome], fenced: list[str]) -> None:
        """Count and log a batch that is written."""
        late = set(fenced)
        failed = sum(o.error_code is not None for o in outcomes if o.id not in late)
        counts = {
            "fenced": len(late),
            "failed": failed,
            "succeeded": len(outcomes) - failed - len(late),
        }
        for word, count in counts.items():
            metrics.PREDICTIONS_BY_OUTCOME[word].inc(count)
        for phase, seconds in batch.phases.items():
            metrics.SECONDS_BY_PHASE[phase].observe(seconds)
        metrics.BATCH_SECONDS.observe(batch.seconds)
        self._batch_log.log_finished(batch, outcomes, late)

    def hand_all_back(self) -> None:
        """The grace period is over: write the outcomes that there are, hand back all other batches, and end."""
        try:
            self._end_each("drain", self._leases.batches)
        finally:
            self._end(0)

    def end_after_lost_device(self, batch: Batch) -> NoReturn:
        """Hand all batches back as suspect, for any of them may have lost the device, and end. Each prediction is
        charged with a lost worker.
        """
        blame = {"suspect": True, "lost": True}
        try:
            self._write_when_ledger_answers(
                batch, lambda: self._hand_back(batch, "device_lost", **blame)
            )
        except Exception as error:
            self._log_lost(batch, "device_lost", error)
        try:
            self._end_each("device_lost", self._others(batch), **blame)
        finally:
            self._end(EXIT_BROKEN)

    def end_after_timeout(self, batch: Batch) -> None:
        """A batch ran past its hard limit: end it and the process, as nothing in Python stops a thread that
        computes.
        """
        try:
            for late in [batch, *filter(self._leases.is_overdue, self._others(batch))]:
                self._end_overdue(late)
            self._end_each("timeout", self._others(batch))
        finally:
            self._end(EXIT_BROKEN)

    def _write(self, batch: Batch, outcomes: list[Outcome]) -> list[str]:
        with self._leases.ending(batch):
            idle = self._leases.is_only(batch)
            parts = finish_in_parts(self._terms, outcomes, idle=idle, seconds=batch.seconds)
            return [id for part in parts for id in self._ledger.run(part)]

    def _write_when_ledger_answers(self, batch: Batch, write: Callable[[], T]) -> T:
        """Try until the ledger answers."""
        trouble, pause = "", backoff_pauses(LONGEST_PAUSE_SECONDS)
        while True:
            try:
                return write()
            except Refused as error:
                if trouble != error.code:
                    logger.warning("outcomes are kept back", extra={"code": error.code})
                    batch.add_event("kept back", code=error.code)
                trouble = error.code
                metrics.LEDGER_RETRIES.inc()
                time.sleep(next(pause))

    def _hand_back(
        self, batch: Batch, reason: str, *, suspect: bool = False, lost: bool = False
    ) -> None:
        """Give what is left of a batch back to the queue."""
        with self._leases.ending(batch):
            how = {"suspect": suspect, "lost": lost, "idle": self._leases.is_only(batch)}
            released = self._ledger.run(release(self._terms, batch.attempts, reason=reason, **how))
        logger.warning("handed back", extra={"reason": reason, "predictions": len(batch.attempts)})
        self._notifier.send_wakeups(self._terms.model, released.wakeups)
        self._batch_log.log_handed_back(batch, reason)
        log_endings(logger, self._tracing, released.endings)

    def _end_each(self, reason: str, batches: list[Batch], **blame: bool) -> None:
        """Try once to end each batch of a process that ends now. One that fails does not keep the others from being
        tried, until LAST_TRIES_SECONDS are over.
        """
        until = time.monotonic() + LAST_TRIES_SECONDS
        for batch in batches:
            try:
                if time.monotonic() > until:
                    raise LedgerUnavailable
                if batch.outcomes is None:
                    self._hand_back(batch, reason, **blame)
                else:
                    self.record_ended(batch, batch.outcomes, self._write(batch, batch.outcomes))
            except Exception as error:
                self._log_lost(batch, reason, error)

    @staticmethod
    def _log_lost(batch: Batch, reason: str, error: Exception) -> None:
        """Log that a batch was not ended. Its leases run out, and the keeper requeues it."""
        facts = {
            "code": getattr(error, "code", type(error).__name__),
            "reason": reason,
            "predictions": [id for id, _ in batch.attempts],
        }
        if batch.outcomes is None:
            logger.warning("not handed back", extra=facts)
        else:
            logger.error("outcomes are given up", extra=facts)

    def _others(self, batch: Batch) -> list[Batch]:
        """All batches but this one; pools other than solo run several."""
        return [other for other in self._leases.batches if other is not batch]

    def _end_overdue(self, batch: Batch) -> None:
        """A prediction that was claimed alone fails with `timeout`. Of several it is not known which one hangs, so all
        go back to the queue, to run alone.
        """
        attempts = batch.attempts
        logger.error("hard limit", extra={"predictions": len(attempts), "seconds": batch.seconds})
        try:
            if len(batch.claimed) == 1:
                self._time_out(batch)
            else:
                self._hand_back(batch, "timeout", suspect=True)
        except Exception as error:
            code = getattr(error, "code", type(error).__name__)
            logger.warning("the keeper must end it", extra={"code": code})

    def _time_out(self, batch: Batch) -> None:
        outcomes = batch.timed_out(self._terms.timeout_seconds)
        self._batch_log.log_finished(batch, outcomes, self._write(batch, outcomes))

    def _end(self, code: int) -> NoReturn:
        """End the process at once, whatever its main thread does."""
        try:
            self._notifier.close(wait=True)
            self._tracing.close(LAST_SECONDS)
        finally:
            end_process(code)
