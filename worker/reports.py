"""Carries what running predictions say of themselves to the ledger, off the thread that computes."""

import logging
from threading import Condition, Thread
from typing import Any

from contract.ledger import Ledger
from contract.transitions import Report, report
from worker.models.interface import Item

logger = logging.getLogger(__name__)


class Reporter:
    """Sends what gathered while the last report was on its way: no timer, one call for all items."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._attempts: dict[str, int] = {}
        self._waiting: dict[str, Report] = {}
        self._sending = False
        self._changed = Condition()
        Thread(target=self._run, name="reporter", daemon=True).start()

    def follow(self, attempts: dict[str, int]) -> None:
        """Begin to carry the reports of these predictions (id -> attempt)."""
        with self._changed:
            self._attempts |= attempts

    def forget(self, ids: list[str]) -> None:
        """These are over."""
        with self._changed:
            for id in ids:
                self._attempts.pop(id, None)
                self._waiting.pop(id, None)

    def take(self, item: Item, kind: str, value: Any) -> None:
        """Take what an item reports: ("output" | "logs" | "progress", value)."""
        with self._changed:
            attempt = self._attempts.get(item.id)
            if attempt is None:
                return
            waiting = self._waiting.setdefault(item.id, Report(item.id, attempt))
            if kind == "progress":
                waiting.progress = float(value)
            else:
                waiting.events.append((kind, str(value)))
            if kind == "logs":
                waiting.logs += str(value)
            self._changed.notify_all()

    def flush(self) -> None:
        """Return when all that was taken is recorded; an outcome must not overtake its own pieces."""
        with self._changed:
            while self._waiting or self._sending:
                self._changed.wait(0.5)

    def _run(self) -> None:
        while True:
            with self._changed:
                while not self._waiting:
                    self._changed.wait()
                reports, self._waiting = list(self._waiting.values()), {}
                self._sending = True
            try:
                self._ledger.run(report(reports))
            except Exception as error:
                # The output is complete without its pieces: they are worth no second try. And this
                # thread must go on, or no batch would end any more.
                code = getattr(error, "code", type(error).__name__)
                logger.warning("a report was lost", extra={"code": code})
            finally:
                with self._changed:
                    self._sending = False
                    self._changed.notify_all()
