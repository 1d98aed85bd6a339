"""Celery's pools, and what a worker needs in each. `solo` is the default; the others show why it is.

| pool | a batch computes in | loads the model | needs |
|---|---|---|---|
| solo | the main thread | the process | `SoloConsumer`, for what Celery leaves to its event loop |
| threads | a thread | the process | nothing |
| gevent, eventlet | a greenlet | the process | `patch_sockets`, before anything imports sockets |
| prefork | a child | each child, after the fork | `LoadInChildren` |
"""

import os
import signal
import sys
import time
from collections.abc import Callable
from threading import Thread
from typing import TYPE_CHECKING, Any, Protocol

from contract.errors import EXIT_REFUSED, StartRefused
from worker import drain

if TYPE_CHECKING:
    from contract.settings import Settings
    from worker.health import Health
    from worker.heartbeat import Heartbeat
    from worker.task import Predict

SOLO, PREFORK = "solo", "prefork"
GREENLETS = ("gevent", "eventlet")
POOLS = (SOLO, PREFORK, "threads", *GREENLETS)


def check_concurrency(pool: str, concurrency: int) -> str | None:
    """Why a pool cannot run so many batches at once."""
    if concurrency < 1 or (pool == SOLO and concurrency != 1):
        return "--concurrency must be at least 1, and 1 in the solo pool"
    return None


def patch_sockets(pool: str) -> None:
    """Make sockets and threads those of the greenlet pools. Before anything else imports them."""
    if pool in GREENLETS:
        from celery import maybe_patch_concurrency

        maybe_patch_concurrency(["worker", "-P", pool], ["-P"], ["--pool"])


def is_solo(pool: Any) -> bool:
    """Whether this is Celery's solo pool, whose message handler returns when the batch is done."""
    return bool(pool.__module__ == "celery.concurrency.solo")


class Loading(Protocol):
    """Who loads the model, and what that means for the start and the end of the process."""

    def load(self) -> None:
        """Before Celery is set up."""

    def on_connected(self) -> None:
        """The broker is there."""

    def before_first_message(self) -> None:
        """Celery is set up, and has forked nothing."""

    def end(self, exit_code: int | None) -> int:
        """Celery has ended; the process's exit code."""


def choose_loading(
    pool: str,
    concurrency: int,
    settings: "Settings",
    task: "Predict",
    heartbeat: "Heartbeat",
    health: "Health",
    ready: Callable[[], None],
) -> Loading:
    """`ready` is called in each process that has loaded the model and may take messages."""
    if pool == PREFORK:
        return LoadInChildren(concurrency, settings, task, heartbeat, health, ready)
    return LoadHere(settings, task, heartbeat, health, ready)


class LoadHere:
    """The process that Celery runs in loads the model, before it asks the broker for anything."""

    def __init__(
        self,
        settings: "Settings",
        task: "Predict",
        heartbeat: "Heartbeat",
        health: "Health",
        ready: Callable[[], None],
    ) -> None:
        self._settings = settings
        self._task = task
        self._heartbeat = heartbeat
        self._health = health
        self._ready = ready

    def load(self) -> None:
        """Raises StartRefused."""
        drain.end_by_exception()
        with self._heartbeat.starting(self._settings.worker_name):
            self._task.load()
        drain.finish_batch_first(
            self._settings.grace_seconds, self._task.hand_all_back, self._heartbeat.beat_now
        )

    def on_connected(self) -> None:
        from worker import start_log

        start_log.note_seconds("connect", time.monotonic() - self._health.since)
        self._ready()

    def before_first_message(self) -> None:
        """Nothing is forked."""

    def end(self, exit_code: int | None) -> int:
        self._task.close()
        return exit_code or 0


class LoadInChildren:
    """Each child loads the model, after the fork: a torch that was used before a fork hangs after it. A child that
    cannot load ends the whole worker.
    """

    def __init__(
        self,
        concurrency: int,
        settings: "Settings",
        task: "Predict",
        heartbeat: "Heartbeat",
        health: "Health",
        ready: Callable[[], None],
    ) -> None:
        from multiprocessing import Value

        self._concurrency = concurrency
        self._settings = settings
        self._task = task
        self._heartbeat = heartbeat
        self._health = health
        self._ready = ready
        self._loaded = Value("i", 0)
        """How many children have loaded the model; less than 0 once one could not."""

    def load(self) -> None:
        """Have each child load, and this process become ready when all have."""
        import billiard.pool
        import billiard.util
        from celery.signals import setup_logging, worker_process_init

        # At its end a child may wait for 30 s until its parent has read a result that nobody needs.
        billiard.pool.GUARANTEE_MESSAGE_CONSUMPTION_RETRY_LIMIT = 10
        # Its lines about children go to our log, as JSON.
        billiard.util.get_logger().propagate = True
        # As long as nobody listens, Celery sets up logging of its own in the children, and drops our lines.
        setup_logging.connect(_keep_logging, weak=False)
        worker_process_init.connect(self._load_in_child, weak=False)
        Thread(target=self._wait_for_children, name="children", daemon=True).start()

    def on_connected(self) -> None:
        """Each child becomes ready by itself."""

    def before_first_message(self) -> None:
        drain.finish_batch_first(
            self._settings.grace_seconds,
            lambda: os._exit(EXIT_REFUSED if self._failed else 0),
            # Celery would wait for children that wait for their model or for the ledger, and have no batch.
            lambda: None if self._loaded.value else os._exit(0),
        )

    def end(self, exit_code: int | None) -> int:
        return EXIT_REFUSED if self._failed else exit_code or 0

    @property
    def _failed(self) -> bool:
        return bool(self._loaded.value < 0)

    def _load_in_child(self, **_: Any) -> None:
        name = f"{self._settings.worker_name}-{os.getpid()}"
        try:
            self._task.set_worker_name(name)
            self._heartbeat.start(name)
            self._task.load()
            self._ready()  # this child's own; the parent's waits for all
        except BaseException as error:
            # Celery would swallow it, and this child would live on without a model.
            self._end_worker(name, error)
        with self._loaded.get_lock():
            self._loaded.value += 1

    def _end_worker(self, name: str, error: BaseException) -> None:
        from worker import start_failure

        self._heartbeat.stop(records_failure=isinstance(error, StartRefused))
        if isinstance(error, StartRefused):
            start_failure.record_start_failure(self._health.facts["model"], error, name)
        with self._loaded.get_lock():
            first, self._loaded.value = not self._failed, -(2**30)
        if first:
            print(f"soloist worker: {error}", file=sys.stderr, flush=True)
        os.kill(os.getppid(), signal.SIGTERM)
        os._exit(EXIT_REFUSED)

    def _wait_for_children(self) -> None:
        while 0 <= self._loaded.value < self._concurrency:
            time.sleep(0.1)
        if self._loaded.value > 0:
            self._health.enter_phase("ready")


def _keep_logging(**_: Any) -> None:
    """Logging is set up already."""
