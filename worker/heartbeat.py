"""The heartbeat of a worker: a thread that registers it in the ledger, again and again, with what it does."""

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
    """Registers one worker: while the model loads, while a batch computes, while it drains. A registration runs out
    like a lease when its worker dies. Statuses depend on it, and how long a prediction that names a version waits for a
    worker of that version.
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
        self._registered = True
        """Whether the ledger may have the last registration; one whose answer is still out counts."""

    def start(self, name: str) -> None:
        """Register the worker of this name until the process ends. In the pool that forks each child is a worker, and
        starts its heartbeat after the fork.
        """
        self._start = secrets.token_hex(4)
        self._thread = Thread(target=self._run, args=[name], name="heartbeat", daemon=True)
        self._thread.start()
        self._health.on_phase = self.beat_now
        atexit.register(self.stop)

    @contextmanager
    def starting(self, name: str) -> Iterator[None]:
        """As `start`, around the start of the worker. If it is refused, the worker is deregistered before its failure is
        recorded.
        """
        self.start(name)
        try:
            yield
        except StartRefused:
            self.stop(records_failure=True)
            raise

    def beat_now(self) -> None:
        """Register again now, as what the worker does has changed."""
        self._changed.set()

    def stop(self, *, records_failure: bool = False) -> None:
        """Deregister the worker. In a ledger that is away the registration runs out by itself. `records_failure`: the
        caller records why the worker could not start.
        """
        self._records_failure = self._records_failure or records_failure
        self._ended = True
        self._changed.set()
        if self._registered:
            self._thread.join(2 * self._settings.ledger_timeout_seconds)

    def _run(self, name: str) -> None:
        ledger, often = Ledger(self._settings), self._settings.renew_seconds
        while not self._ended:
            self._changed.clear()
            self._registered = self._send(ledger, lambda: self._registration(name))
            rarely = max(REPEAT_SHARE * self._settings.lease_seconds, often)
            self._changed.wait(rarely if self._registered else often)
        if self._registered:
            early = not (self._health.ready or draining() or self._records_failure)
            self._send(ledger, lambda: deregister(self._model, name, early=early))
        ledger.close()

    @staticmethod
    def _send(ledger: Ledger, make: Callable[[], Transition[bool]]) -> bool:
        """Whether the ledger took it."""
        try:
            ledger.run(make())
            return True
        except SoloistError:  # the next beat is soon, and other calls log that the ledger is away
            logger.debug("not announced", exc_info=True)
        except Exception:
            logger.exception("not announced")
        return False

    def _registration(self, name: str) -> Transition[bool]:
        lease = self._settings.lease_seconds
        return register(self._model, self._worker(name), lease, self._start)

    def _worker(self, name: str) -> Worker:
        """The worker as it is now. The ledger knows by its leases whether it is busy."""
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
