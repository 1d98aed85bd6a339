"""The one Celery task. Its instance lives once per process, so it holds the model."""

import atexit
import logging
import time
from dataclasses import replace

from celery import Task

from contract.broker import TASK, Doorbell
from contract.catalog import ModelSpec
from contract.errors import (
    DeviceLost,
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
from contract.transitions import Claim, Holder, Outcome, claim, finish, finish_in_parts, release
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

EXIT_BROKEN = 70
"""sysexits.h EX_SOFTWARE: a hung batch or a lost device; a fresh process may do better."""
LONGEST_PAUSE_SECONDS = 2.0
LAST_SECONDS = 0.5
"""What a process that must end at once gives to the spans that wait to be sent."""


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
        try:
            claimed = self._ledger.run(claim(self._holder, ring))
        except SoloistError as error:
            logger.warning("nothing claimed", extra={"code": error.code})
            return
        seconds = time.monotonic() - started
        self._doorbell.ring(self._spec.name, claimed.rings)
        tell(logger, self._tracing, claimed.told)
        if claimed.predictions:
            self._serve(claimed, seconds)

    def _serve(self, claimed: Claim, claim_seconds: float) -> None:
        batch = Batch(claimed.predictions, self._reporter, self._spec.max_output_bytes)
        for prediction in claimed.predictions:
            metrics.QUEUE_SECONDS.observe(prediction.queue_seconds)
        metrics.BATCH_SIZE.observe(len(claimed.predictions))
        with self._leases.hold(batch):
            try:
                outcomes = batch.run(self.model)
            except DeviceLost as error:
                logger.error("the device is lost", extra={"detail": error.detail})
                self._hand_back(batch, "device_lost", suspect=True)
                self._end(EXIT_BROKEN)
            run = batch.seconds
            self._reporter.flush()
            fenced = self._finish(batch, outcomes)
        batch.phases |= {"claim": claim_seconds, "finish": batch.seconds - run}
        self._reporter.forget(list(batch.claimed))
        self._account(batch, outcomes, fenced)

    def _finish(self, batch: Batch, outcomes: list[Outcome]) -> list[str]:
        """Write the outcomes; while the ledger is away, keep them and try again."""
        pause = 0.05
        while True:
            try:
                with self._leases.settling(batch):
                    idle = self._leases.only(batch)
                    parts = finish_in_parts(
                        self._holder, outcomes, idle=idle, seconds=batch.seconds
                    )
                    return [id for part in parts for id in self._ledger.run(part)]
            except Refused as error:
                logger.warning("outcomes are kept back", extra={"code": error.code})
                metrics.LEDGER_RETRIES.inc()
                batch.note("kept back", code=error.code)
                time.sleep(pause)
                pause = min(pause * 2, LONGEST_PAUSE_SECONDS)

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

    def _hand_back(self, batch: Batch, reason: str, *, suspect: bool) -> None:
        """Give a batch back to the queue; the keeper does it when the ledger is away now."""
        try:
            with self._leases.settling(batch):
                idle = self._leases.only(batch)
                released = self._ledger.run(
                    release(self._holder, batch.attempts, idle=idle, suspect=suspect, reason=reason)
                )
        except SoloistError as error:
            logger.warning("not handed back", extra={"code": error.code})
            return
        logger.warning("handed back", extra={"reason": reason, "predictions": len(batch.attempts)})
        self._doorbell.ring(self._spec.name, released.rings)
        self._doorbell.close(wait=True)
        self._told.handed_back(batch, reason)
        tell(logger, self._tracing, released.told)

    def hand_all_back(self) -> None:
        """The grace period is over: give back what is not finished, and end."""
        for batch in self._leases.batches:
            self._hand_back(batch, "drain", suspect=False)
        self._end(0)

    def _end_overdue(self, batch: Batch) -> None:
        """A batch ran past its hard limit. One prediction alone is to blame for it; among several the
        innocent deserve another start, each alone. Nothing in Python stops the computing thread, so the
        process ends.
        """
        attempts = batch.attempts
        logger.error("hard limit", extra={"predictions": len(attempts), "seconds": batch.seconds})
        if len(attempts) == 1:
            (id, attempt), limit = attempts[0], self._spec.timeout_seconds
            failure = Timeout(f"it ran past the model's hard limit of {limit:g} s")
            outcome = Outcome(
                id, attempt, error=failure.detail, error_code=failure.code, predict_seconds=limit
            )
            try:
                fenced = self._ledger.run(
                    finish(self._holder, [outcome], idle=True, seconds=batch.seconds)
                )
                self._told.finished(batch, [outcome], fenced)
            except SoloistError as error:
                logger.warning("the keeper must end it", extra={"code": error.code})
        else:
            self._hand_back(batch, "timeout", suspect=True)
        self._end(EXIT_BROKEN)

    def _end(self, code: int) -> None:
        """End the process at once, whatever its main thread does."""
        self._tracing.close(LAST_SECONDS)
        end_process(code)

    def close(self) -> None:
        """Wait for what is still to be sent."""
        self._doorbell.close(wait=True)
