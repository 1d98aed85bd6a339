"""The one Celery task: claims a batch, predicts, finishes. Its instance lives once per process, so it holds the model."""

import atexit
import logging
import time
from dataclasses import replace

from celery import Task

from contract.broker import TASK, Notifier
from contract.catalog import ModelSpec
from contract.errors import DeviceLost, SoloistError
from contract.ledger.client import Ledger
from contract.ledger.lease_terms import LeaseTerms
from contract.ledger.transitions import Claim, Outcome, claim
from contract.settings import Settings
from contract.telemetry.endings import log_endings
from contract.telemetry.tracing import open_tracing
from worker import metrics
from worker.backoff import backoff_pauses
from worker.batch import Batch
from worker.batch_log import BatchLog
from worker.completion import LONGEST_PAUSE_SECONDS, Completion
from worker.drain import draining
from worker.health import Health
from worker.leases import Leases
from worker.ledger_start import LedgerCheck
from worker.model_loading import load_model
from worker.models.interface import Model
from worker.reports import Reporter

logger = logging.getLogger(__name__)


class Predict(Task):  # type: ignore[misc]
    """Answers a wake-up: claim a batch, predict, finish."""

    name = TASK
    ignore_result = True
    model: Model

    def __init__(
        self,
        settings: Settings,
        spec: ModelSpec,
        version: str,
        device: str,
        health: Health,
    ) -> None:
        self._settings = settings
        self._spec = spec
        self._version = version
        self._device = device
        self._health = health
        self._terms = LeaseTerms(
            model=spec.name,
            worker=settings.worker_name,
            version=version,
            max_batch_size=spec.max_batch_size,
            lease_seconds=settings.lease_seconds,
            timeout_seconds=spec.timeout_seconds,
            retry=settings.retry,
        )

    def set_worker_name(self, worker: str) -> None:
        """Be another worker to the ledger: in the pools that fork, each child is one."""
        self._terms = replace(self._terms, worker=worker)

    def load(self) -> None:
        """Load the model and open what a batch needs. Once in every process that runs batches, before
        its first message: in the pools that fork, after the fork.

        Raises:
            StartRefused: the model cannot be loaded, or the ledger is not safe. One that is away is waited for
                with the model loaded.
        """
        self._tracing = open_tracing(self._settings, "worker")
        atexit.register(self._tracing.close)
        batch_log = BatchLog(self._spec.name, self._terms.worker, self._device, self._tracing)
        self._ledger = Ledger(self._settings)
        check = LedgerCheck(self._ledger, self._health)
        check.wait_for_first_answer()  # one that is wrong is refused before anything is loaded
        self.model = load_model(self._spec, self._version, self._device, self._health.enter_phase)
        self._health.enter_phase("connecting")
        check.wait_until_safe()
        self._notifier = Notifier(self._settings)
        self._reporter = Reporter(self._ledger)
        self._leases = Leases(
            self._ledger,
            self._terms,
            self._settings.renew_seconds,
            lambda batch: self._completion.end_after_timeout(batch),
        )
        self._completion = Completion(
            self._ledger, self._terms, self._leases, self._notifier, batch_log, self._tracing
        )
        self._health.alive = lambda: not self._leases.late
        self._health.busy = lambda: bool(self._leases.batches)
        metrics.BUSY.set_function(self._health.busy)
        metrics.BUSY_SECONDS.read_value = lambda: self._leases.busy_seconds

    def run(self, wakeup: int) -> None:
        """Look for work once; `wakeup` is the number of the message that asked for it."""
        if draining():
            # The message came after the signal: send it on to another worker.
            self._notifier.send_wakeups(self._spec.name, [wakeup])
            return
        # Predictions that only this version may take are claimed without a further message, as a message may
        # have reached a worker of another version.
        while self._run_once(wakeup) and not draining():
            wakeup = 0

    def _run_once(self, wakeup: int) -> bool:
        """Claim and run one batch. True if others wait that only workers of this version may take."""
        started = time.monotonic()
        claimed = self._claim(wakeup)
        if claimed is None:
            self._notifier.send_wakeups(self._spec.name, [wakeup])
            return False
        seconds = time.monotonic() - started
        self._notifier.send_wakeups(self._spec.name, claimed.wakeups)
        log_endings(logger, self._tracing, claimed.endings)
        if claimed.predictions:
            self._run_batch(claimed, seconds)
        return claimed.more

    def _claim(self, wakeup: int) -> Claim | None:
        """Claim; None when the worker must end before the ledger answers. While it does not, the same claim is
        sent again: the answer that was lost may have held predictions, and nobody else would run them.
        """
        asked, trouble, pause = (
            claim(self._terms, wakeup),
            "",
            backoff_pauses(LONGEST_PAUSE_SECONDS),
        )
        while True:
            try:
                return self._ledger.run(asked)
            except SoloistError as error:
                if trouble != error.code:
                    logger.warning("nothing claimed", extra={"code": error.code})
                trouble = error.code
            if draining():
                return None
            time.sleep(next(pause))

    def _run_batch(self, claimed: Claim, claim_seconds: float) -> None:
        batch = Batch(claimed.predictions, self._reporter, self._spec.max_output_bytes)
        for prediction in claimed.predictions:
            metrics.QUEUE_SECONDS.observe(prediction.queue_seconds)
        metrics.BATCH_SIZE.observe(len(claimed.predictions))
        with self._leases.keep(batch):
            if claim_seconds > self._settings.renew_seconds:
                self._leases.renew_all()  # by the ledger's count they may be well into their hard limit
            try:
                batch.outcomes = outcomes = self._predict(batch)
            except DeviceLost as error:
                logger.error("the device is lost", extra={"detail": error.detail})
                self._completion.end_after_lost_device(batch)
            run = batch.seconds
            self._reporter.flush()
            fenced = self._completion.write_outcomes(batch, outcomes)
        batch.phases |= {"claim": claim_seconds, "finish": batch.seconds - run}
        self._reporter.forget_predictions(list(batch.claimed))
        self._completion.record_ended(batch, outcomes, fenced)

    def _predict(self, batch: Batch) -> list[Outcome]:
        try:
            return batch.predict(self.model)
        finally:
            self._leases.lift_hard_limit(batch)

    def hand_all_back(self) -> None:
        """The grace period is over: hand back what is not finished, and end."""
        self._completion.hand_all_back()

    def close(self) -> None:
        """Wait for what is still to be sent."""
        self._notifier.close(wait=True)
