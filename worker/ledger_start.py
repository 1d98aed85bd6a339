"""The ledger at a worker's start: waited for while it is away, and refused when it is not safe."""

import logging
import time
from threading import Event, Thread

from contract.errors import LedgerUnavailable
from contract.ledger.client import Ledger
from contract.ledger.start import WaitLog
from worker.health import Health

logger = logging.getLogger(__name__)

AGAIN_SECONDS = 0.5


class LedgerCheck:
    """Asks the ledger whether predictions are safe there, until it answers. In a thread: a name may take long to
    be looked up, and the thread that asks for it hears no signal meanwhile.
    """

    def __init__(self, ledger: Ledger, health: Health) -> None:
        self._ledger = ledger
        self._health = health
        self._asked = Event()
        self._over = Event()
        self._error: BaseException | None = None
        self._health.waits_for = "the ledger has not answered yet"
        Thread(target=self._run, name="ledger-check", daemon=True).start()

    def wait_for_first_answer(self) -> None:
        """Return when the ledger has answered, or has not for the first time, or keeps us waiting for either.

        Raises:
            StartRefused: it answers, and is wrong for us.
        """
        self._asked.wait(2 * self._ledger.settings.ledger_timeout_seconds)
        self._raise()

    def wait_until_safe(self) -> None:
        """Return when it answers and is safe, however long that takes.

        Raises:
            StartRefused: it answers, and is wrong for us.
        """
        self._over.wait()
        self._raise()

    def _raise(self) -> None:
        if self._error is not None:
            raise self._error

    def _run(self) -> None:
        try:
            self._try()
        except BaseException as error:
            self._error = error
        finally:
            self._health.waits_for = ""
            self._asked.set()
            self._over.set()

    def _try(self) -> None:
        """Ask again and again; the log has a line for each trouble, and not for each try."""
        log = WaitLog(self._ledger.settings, logger)
        while True:
            try:
                self._ledger.check()
                break
            except LedgerUnavailable as error:
                self._health.waits_for = error.detail
                log.report_trouble(error)
            self._asked.set()
            time.sleep(AGAIN_SECONDS)
        log.report_end()
