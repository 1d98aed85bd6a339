"""The one Celery task. Its instance lives once per process, so it holds the model."""

import atexit
import logging
import time
from dataclasses import replace

from celery import Task

from contract.broker import TASK, Notifier
from contract.catalog import ModelSpec
from contract.errors import DeviceLost, SoloistError
from contract.ledger.client import Ledger
from contract.ledger.transitions import Claim, LeaseTerms, Outcome, claim
from contract.settings import Settings
from contract.telemetry.endings import log_endings
from contract.telemetry.tracing import open_tracing
from worker import metrics
from worker.batch import Batch
from worker.batch_log import Account
from worker.completion import Ends, pauses
from worker.drain import draining
from worker.health import Health
from worker.leases import Leases
from worker.ledger_start import Admission
from worker.loading import load_model
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
            max_attempts=settings.max_attempts,
            dead_ttl_seconds=settings.dead_ttl_seconds,
        )

    def rename(self, worker: str) -> None:
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
        account = Account(self._spec.name, self._terms.worker, self._device, self._tracing)
        self._ledger = Ledger(self._settings)
        admission = Admission(self._ledger, self._health)
        admission.ask()  # one that is wrong is refused before anything is loaded
        self.model = load_model(self._spec, self._version, self._device, self._health.enter)
        self._health.enter("connecting")
        admission.wait()
        self._notifier = Notifier(self._settings)
        self._reporter = Reporter(self._ledger)
        self._leases = Leases(
            self._ledger,
            self._terms,
            self._settings.renew_seconds,
            lambda batch: self._ends.overdue(batch),
        )
        self._ends = Ends(
            self._ledger, self._terms, self._leases, self._notifier, account, self._tracing
        )
        self._health.alive = lambda: not self._leases.late
        self._health.busy = lambda: bool(self._leases.batches)
        metrics.BUSY.set_function(self._health.busy)
        metrics.BUSY_SECONDS.ask = lambda: self._leases.busy_seconds

    def run(self, wakeup: int) -> None:
        """Look for work once; `wakeup` is the number of the message that asked for it."""
        if draining():
            # Taken from the broker a moment too late: let another worker hear it.
            self._notifier.send_wakeups(self._spec.name, [wakeup])
            return
        # What waits for this version alone is its own to fetch: a message may have reached a worker of
        # another version, to whom it meant nothing.
        while self._work(wakeup) and not draining():
            wakeup = 0

    def _work(self, wakeup: int) -> bool:
        """Claim and serve one batch; whether others wait that only workers of this version may take."""
        started = time.monotonic()
        claimed = self._claim(wakeup)
        if claimed is None:
            self._notifier.send_wakeups(self._spec.name, [wakeup])
            return False
        seconds = time.monotonic() - started
        self._notifier.send_wakeups(self._spec.name, claimed.wakeups)
        log_endings(logger, self._tracing, claimed.endings)
        if claimed.predictions:
            self._serve(claimed, seconds)
        return claimed.more

    def _claim(self, wakeup: int) -> Claim | None:
        """Claim; None when the worker must end before the ledger answers. While it does not, the same claim is
        sent again: the answer that was lost may have held predictions, and nobody else would run them.
        """
        asked, trouble, pause = claim(self._terms, wakeup), "", pauses()
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
                self._ends.broken(batch)
            run = batch.seconds
            self._reporter.flush()
            fenced = self._ends.finish(batch, outcomes)
        batch.phases |= {"claim": claim_seconds, "finish": batch.seconds - run}
        self._reporter.forget(list(batch.claimed))
        self._ends.tell(batch, outcomes, fenced)

    def _run(self, batch: Batch) -> list[Outcome]:
        try:
            return batch.run(self.model)
        finally:
            self._leases.returned(batch)

    def hand_all_back(self) -> None:
        """The grace period is over: hand back what is not finished, and end."""
        self._ends.hand_all_back()

    def close(self) -> None:
        """Wait for what is still to be sent."""
        self._notifier.close(wait=True)
