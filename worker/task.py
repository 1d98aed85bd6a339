"""The one Celery task. Its instance lives once per process, so it holds the model."""

import atexit
import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import NoReturn, TypeVar

from celery import Task

from contract.broker import TASK, Doorbell
from contract.catalog import ModelSpec
from contract.errors import (
    DeviceLost,
    LedgerUnavailable,
    ModelUnloadable,
    Refused,
    SoloistError,
    StartRefused,
    Timeout,
)
from contract.fates import tell
from contract.ledger import Ledger, ledger_trouble
from contract.settings import Settings
from contract.tracing import open_tracing
from contract.transitions import Claim, Holder, Outcome, claim, finish_in_parts, release
from worker import metrics
from worker.account import Account
from worker.batch import Batch
from worker.drain import draining
from worker.health import Health
from worker.leases import Leases, end_process
from worker.models import open_model
from worker.models.faults import translate
from worker.models.interface import Model
from worker.models.phases import taken
from worker.reports import Reporter

logger = logging.getLogger(__name__)

T = TypeVar("T")

EXIT_BROKEN = 70
"""sysexits.h EX_SOFTWARE: a hung batch or a lost device; a fresh process may do better."""
LONGEST_PAUSE_SECONDS = 0.5
"""Between two tries to reach the ledger: what is kept back is written at once when it is there again."""
LAST_TRIES_SECONDS = 5.0
"""How long the last tries of a process that must end may go on beginning."""
LAST_SECONDS = 0.5
"""What a process that must end at once gives to the spans that wait to be sent."""


def _pauses() -> Iterator[float]:
    """Seconds between the tries to reach a ledger that is away."""
    pause = 0.05
    while True:
        yield pause
        pause = min(pause * 2, LONGEST_PAUSE_SECONDS)


class Predict(Task):  # type: ignore[misc]
    """Answers a ring: claim a batch, predict, finish."""

    name = TASK
    ignore_result = True
    model: Model

    def __init__(
        self,
        settings: Settings,
        spec: ModelSpec,
        device: str,
        health: Health,
    ) -> None:
        self._settings = settings
        self._spec = spec
        self._device = device
        self._health = health
        self._holder = Holder(
            model=spec.name,
            worker=settings.worker_name,
            max_batch_size=spec.max_batch_size,
            lease_seconds=settings.lease_seconds,
            timeout_seconds=spec.timeout_seconds,
            max_attempts=settings.max_attempts,
            dead_ttl_seconds=settings.dead_ttl_seconds,
        )

    def rename(self, worker: str) -> None:
        """Be another worker to the ledger: in the pools that fork, each child is one."""
        self._holder = replace(self._holder, worker=worker)

    def load(self) -> None:
        """Load the model and open what a batch needs. Once in every process that runs batches, before
        its first message: in the pools that fork, after the fork.

        Raises:
            StartRefused: the model cannot be loaded, or the ledger is not safe.
        """
        self._tracing = open_tracing(self._settings, "worker")
        atexit.register(self._tracing.close)
        self._told = Account(self._spec.name, self._holder.worker, self._device, self._tracing)
        self._ledger = Ledger(self._settings)
        self._check_ledger()
        self.model = self._load_model()
        self._doorbell = Doorbell(self._settings)
        self._reporter = Reporter(self._ledger)
        self._leases = Leases(
            self._ledger, self._holder, self._settings.renew_seconds, self._end_overdue
        )
        self._health.alive = lambda: not self._leases.late
        self._health.busy = lambda: bool(self._leases.batches)
        metrics.BUSY.set_function(self._health.busy)
        metrics.BUSY_SECONDS.ask = lambda: self._leases.busy_seconds

    def _check_ledger(self) -> None:
        """Wait for a ledger that does not answer yet; refuse one that is not safe."""
        told = ""
        while True:
            try:
                return self._ledger.check()
            except Refused as error:
                if told != error.detail:
                    trouble = ledger_trouble(self._settings, error)
                    logger.warning("waiting for the ledger", extra=trouble)
                told = error.detail
                time.sleep(0.5)

    def _load_model(self) -> Model:
        self._health.enter("importing")
        started = time.monotonic()
        try:
            model = open_model(self._spec)
            self._health.enter("loading")
            imported = time.monotonic()
            model.load(self._spec, self._device)
        except StartRefused:
            raise
        except Exception as error:
            logger.debug("the model failed to load", exc_info=True)
            raise ModelUnloadable(f"models.{self._spec.name}: {translate(error).detail}") from error
        warm_up = taken().get("warm_up", 0.0)
        metrics.START_SECONDS.labels("import").set(imported - started)
        metrics.START_SECONDS.labels("load").set(time.monotonic() - imported - warm_up)
        metrics.START_SECONDS.labels("warm_up").set(warm_up)
        return model

    def run(self, ring: int) -> None:
        """Look for work once; `ring` is the number of the message that asked for it."""
        if draining():
            # Taken from the broker a moment too late: let another worker hear it.
            self._doorbell.ring(self._spec.name, [ring])
            return
        started = time.monotonic()
        claimed = self._claim(ring)
        if claimed is None:
            return
        seconds = time.monotonic() - started
        self._doorbell.ring(self._spec.name, claimed.rings)
        tell(logger, self._tracing, claimed.told)
        if claimed.predictions:
            self._serve(claimed, seconds)

    def _claim(self, ring: int) -> Claim | None:
        """Claim; None when the worker must end before the ledger answers. While it does not, the same claim is
        sent again: the answer that was lost may have held predictions, and nobody else would run them.
        """
        asked, trouble, pauses = claim(self._holder, ring), "", _pauses()
        while True:
            try:
                return self._ledger.run(asked)
            except SoloistError as error:
                if trouble != error.code:
                    logger.warning("nothing claimed", extra={"code": error.code})
                trouble = error.code
            if draining():
                return None
            time.sleep(next(pauses))

    def _serve(self, claimed: Claim, claim_seconds: float) -> None:
        batch = Batch(claimed.predictions, self._reporter, self._spec.max_output_bytes)
        for prediction in claimed.predictions:
            metrics.QUEUE_SECONDS.observe(prediction.queue_seconds)
        metrics.BATCH_SIZE.observe(len(claimed.predictions))
        with self._leases.hold(batch):
            if claim_seconds > self._settings.renew_seconds:
                self._leases.renew()  # by the ledger's count they may be well into their hard limit
            try:
                batch.outcomes = outcomes = self._run(batch)
            except DeviceLost as error:
                logger.error("the device is lost", extra={"detail": error.detail})
                self._end_broken(batch)
            run = batch.seconds
            self._reporter.flush()
            fenced = self._insist(batch, lambda: self._finish(batch, outcomes))
        batch.phases |= {"claim": claim_seconds, "finish": batch.seconds - run}
        self._reporter.forget(list(batch.claimed))
        self._account(batch, outcomes, fenced)

    def _run(self, batch: Batch) -> list[Outcome]:
        try:
            return batch.run(self.model)
        finally:
            self._leases.returned(batch)

    def _finish(self, batch: Batch, outcomes: list[Outcome]) -> list[str]:
        """Write the outcomes; the ids that were fenced off."""
        with self._leases.settling(batch):
            idle = self._leases.only(batch)
            parts = finish_in_parts(self._holder, outcomes, idle=idle, seconds=batch.seconds)
            return [id for part in parts for id in self._ledger.run(part)]

    def _insist(self, batch: Batch, write: Callable[[], T]) -> T:
        """Write how a batch ended; while the ledger is away, keep it and try again."""
        trouble, pauses = "", _pauses()
        while True:
            try:
                return write()
            except Refused as error:
                if trouble != error.code:
                    logger.warning("outcomes are kept back", extra={"code": error.code})
                    batch.note("kept back", code=error.code)
                trouble = error.code
                metrics.LEDGER_RETRIES.inc()
                time.sleep(next(pauses))

    def _account(self, batch: Batch, outcomes: list[Outcome], fenced: list[str]) -> None:
        late = set(fenced)
        failed = sum(o.error_code is not None for o in outcomes if o.id not in late)
        counts = {
            "fenced": len(late),
            "failed": failed,
            "succeeded": len(outcomes) - failed - len(late),
        }
        for word, count in counts.items():
            metrics.ENDED[word].inc(count)
        for phase, seconds in batch.phases.items():
            metrics.SPENT[phase].observe(seconds)
        metrics.BATCH_SECONDS.observe(batch.seconds)
        self._told.finished(batch, outcomes, late)

    def _hand_back(
        self, batch: Batch, reason: str, *, suspect: bool = False, lost: bool = False
    ) -> None:
        """Give what is left of a batch back to the queue."""
        with self._leases.settling(batch):
            how = {"suspect": suspect, "lost": lost, "idle": self._leases.only(batch)}
            released = self._ledger.run(release(self._holder, batch.attempts, reason=reason, **how))
        logger.warning("handed back", extra={"reason": reason, "predictions": len(batch.attempts)})
        self._doorbell.ring(self._spec.name, released.rings)
        self._told.handed_back(batch, reason)
        tell(logger, self._tracing, released.told)

    def hand_all_back(self) -> None:
        """The grace period is over: write the outcomes that are kept back, give back what is not finished, and
        end.
        """
        try:
            self._part("drain", self._leases.batches)
        finally:
            self._end(0)

    def _part(self, reason: str, batches: list[Batch], **blame: bool) -> None:
        """The last try for the batches of a process that ends now, each apart: what fails for one may work for
        the next, but a ledger that is away must not hold up the end.
        """
        until = time.monotonic() + LAST_TRIES_SECONDS
        for batch in batches:
            try:
                if time.monotonic() > until:
                    raise LedgerUnavailable
                if batch.outcomes is None:
                    self._hand_back(batch, reason, **blame)
                else:
                    self._account(batch, batch.outcomes, self._finish(batch, batch.outcomes))
            except Exception as error:
                self._tell_lost(batch, reason, error)

    @staticmethod
    def _tell_lost(batch: Batch, reason: str, error: Exception) -> None:
        """Its leases end, and the keeper takes it back."""
        facts = {
            "code": getattr(error, "code", type(error).__name__),
            "reason": reason,
            "predictions": [id for id, _ in batch.attempts],
        }
        if batch.outcomes is None:
            logger.warning("not handed back", extra=facts)
        else:
            logger.error("outcomes are given up", extra=facts)

    def _end_broken(self, batch: Batch) -> NoReturn:
        """The device is lost: this batch may be why, or one beside it. Who loses a device loses a worker."""
        blame = {"suspect": True, "lost": True}
        try:
            self._insist(batch, lambda: self._hand_back(batch, "device_lost", **blame))
        except Exception as error:
            self._tell_lost(batch, "device_lost", error)
        try:
            self._part("device_lost", self._others(batch), **blame)
        finally:
            self._end(EXIT_BROKEN)

    def _others(self, batch: Batch) -> list[Batch]:
        """The batches that are under way beside this one, in the pools that run several."""
        return [other for other in self._leases.batches if other is not batch]

    def _end_overdue(self, batch: Batch) -> None:
        """A batch ran past its hard limit. Nothing in Python stops the computing thread, so the process ends."""
        try:
            for late in [batch, *filter(self._leases.overran, self._others(batch))]:
                self._judge(late)
            self._part("timeout", self._leases.batches)
        finally:
            self._end(EXIT_BROKEN)

    def _judge(self, batch: Batch) -> None:
        """What was claimed alone is to blame for running past the limit. Of several the innocent deserve another
        start, each alone, whatever is left of them.
        """
        attempts = batch.attempts
        logger.error("hard limit", extra={"predictions": len(attempts), "seconds": batch.seconds})
        try:
            if len(batch.claimed) == 1:
                self._time_out(batch, attempts)
            else:
                self._hand_back(batch, "timeout", suspect=True)
        except Exception as error:
            code = getattr(error, "code", type(error).__name__)
            logger.warning("the keeper must end it", extra={"code": code})

    def _time_out(self, batch: Batch, attempts: list[tuple[str, int]]) -> None:
        limit = self._spec.timeout_seconds
        failure = Timeout(f"it ran past the model's hard limit of {limit:g} s")
        outcomes = [
            Outcome(id, attempt, error=str(failure), error_code=failure.code, predict_seconds=limit)
            for id, attempt in attempts
        ]
        self._told.finished(batch, outcomes, self._finish(batch, outcomes))

    def _end(self, code: int) -> NoReturn:
        """End the process at once, whatever its main thread does."""
        try:
            self._doorbell.close(wait=True)
            self._tracing.close(LAST_SECONDS)
        finally:
            end_process(code)

    def close(self) -> None:
        """Wait for what is still to be sent."""
        self._doorbell.close(wait=True)
