"""Tells the ledger that this worker is there and what it does, from a thread of its own."""

import atexit
import logging
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Event, Thread

from contract import __version__
from contract.errors import SoloistError, StartRefused
from contract.ledger.client import Ledger
from contract.ledger.transitions import Transition, deregister, register
from contract.ledger.workers import REPEAT_SHARE, Worker
from contract.settings import Settings
from worker.device import Device
from worker.drain import draining
from worker.health import Health

logger = logging.getLogger(__name__)


class Heartbeat:
    """One worker's announcements. They go on while the model loads and while a batch computes; those of a
    worker that died run out like its leases. What people see depends on them, and for how long what names
    a version waits for a worker of it.
    """

    def __init__(
        self, settings: Settings, model: str, version: str, device: Device, health: Health
    ) -> None:
        """`version` is the model's."""
        self._settings = settings
        self._model = model
        self._version = version
        self._device = device
        self._health = health
        self.loaded = ""
        """What it has loaded, in a few words, once it is ready."""
        self._changed = Event()
        self._ended = False
        self._records_failure = False
        self._heard = True
        """Whether the ledger may have the last announcement: one that is on its way counts."""

    def start(self, name: str) -> None:
        """Announce the worker of this name until the process ends. In the pools that fork, each child is
        one, and begins after the fork.
        """
        self._start = secrets.token_hex(4)
        self._thread = Thread(target=self._run, args=[name], name="heartbeat", daemon=True)
        self._thread.start()
        self._health.on_phase = self.beat_now
        atexit.register(self.stop)

    @contextmanager
    def starting(self, name: str) -> Iterator[None]:
        """As `begin`, and what is done in here is the start. A worker that is refused it takes its announcement back
        first, so that nothing comes after its last words.
        """
        self.start(name)
        try:
            yield
        except StartRefused:
            self.stop(records_failure=True)
            raise

    def beat_now(self) -> None:
        """Announce now: what it does has changed."""
        self._changed.set()

    def stop(self, *, records_failure: bool = False) -> None:
        """Take the announcement back. From a ledger that is away it is not: it runs out by itself. `records_failure` is of
        a worker that says itself why it could not start (worker/start_failure.py).
        """
        self._records_failure = self._records_failure or records_failure
        self._ended = True
        self._changed.set()
        if self._heard:
            self._thread.join(2 * self._settings.ledger_timeout_seconds)

    def _run(self, name: str) -> None:
        ledger, often = Ledger(self._settings), self._settings.renew_seconds
        while not self._ended:
            self._changed.clear()
            self._heard = self._send(ledger, lambda: self._announcement(name))
            rarely = max(REPEAT_SHARE * self._settings.lease_seconds, often)
            self._changed.wait(rarely if self._heard else often)
        if self._heard:
            early = not (self._health.ready or draining() or self._records_failure)
            self._send(ledger, lambda: deregister(self._model, name, early=early))
        ledger.close()

    @staticmethod
    def _send(ledger: Ledger, say: Callable[[], Transition[bool]]) -> bool:
        """Whether the ledger took it."""
        try:
            ledger.run(say())
            return True
        except SoloistError:  # it is said again soon, and whoever needs the ledger tells of it
            logger.debug("not announced", exc_info=True)
        except Exception:
            logger.exception("not announced")
        return False

    def _announcement(self, name: str) -> Transition[bool]:
        lease = self._settings.lease_seconds
        return register(self._model, self._worker(name), lease, self._start)

    def _worker(self, name: str) -> Worker:
        """What there is to say now. That it is busy, the ledger knows by its leases."""
        ready = self._health.ready
        return Worker(
            name=name,
            state="draining" if draining() else "ready" if ready else "starting",
            phase="" if ready else self._health.phase,
            device=self._device.torch_name,
            gpu_name=self._device.name,
            gpu_uuid=self._device.uuid,
            version=__version__,
            model_version=self._version,
            loaded=self.loaded,
        )
