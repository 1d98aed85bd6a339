"""The leases of running batches: renewed by a thread while the main thread computes, which learns of cancels thereby."""

import faulthandler
import logging
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Condition, Lock, Thread
from typing import NoReturn

from contract.errors import SoloistError
from contract.ledger.client import Ledger
from contract.ledger.lease_terms import LeaseTerms
from contract.ledger.transitions import extend
from worker.batch import Batch

logger = logging.getLogger(__name__)

HARD_EXIT_SLACK_SECONDS = 1.0
"""How long after the watchdog the timer in C ends a process whose interpreter lock is held."""
SILENCE_SLACK_SECONDS = 10.0
"""How long after its lease a process that could not renew it may live. Longer than one call to a ledger that is
away, which is no hang."""


class Leases:
    """The batches under way. One thread renews them; it is also the watchdog of their hard limit."""

    def __init__(
        self,
        ledger: Ledger,
        terms: LeaseTerms,
        renew_seconds: float,
        overdue: Callable[[Batch], None],
    ) -> None:
        """`overdue` is called, in this thread, with a batch that ran past its hard limit."""
        self._ledger = ledger
        self._terms = terms
        self._renew_seconds = renew_seconds
        self._end_after_timeout = overdue
        self._batches: list[Batch] = []
        self._done_seconds = 0.0
        self._changed = Condition()
        self._extending = Lock()
        self._trouble = ""
        """Why the last renewal failed, of which the log has one line."""
        Thread(target=self._run, name="leases", daemon=True).start()

    @property
    def batches(self) -> list[Batch]:
        with self._changed:
            return list(self._batches)

    @property
    def busy_seconds(self) -> float:
        """Seconds spent on batches, those under way included; it never falls."""
        with self._changed:
            return self._done_seconds + sum(batch.seconds for batch in self._batches)

    @property
    def late(self) -> bool:
        """True when a batch computes past its hard limit: the process should be ended."""
        return any(self.is_overdue(b, 2 * HARD_EXIT_SLACK_SECONDS) for b in self.batches)

    def is_overdue(self, batch: Batch, slack: float = 0.0) -> bool:
        """True when its model computes past the hard limit, and `slack` seconds more."""
        return batch.computing and batch.seconds > self._terms.timeout_seconds + slack

    @contextmanager
    def keep(self, batch: Batch) -> Iterator[None]:
        """Keep a batch's leases until it is finished."""
        with self._changed:
            self._batches.append(batch)
            self._arm()
            self._changed.notify_all()
        try:
            yield
        finally:
            self._drop(batch)

    def lift_hard_limit(self, batch: Batch) -> None:
        """The model has returned: the hard limit is for the model, so only the leases hold from now on."""
        with self._changed:
            batch.computing = False
            self._arm()

    @contextmanager
    def ending(self, batch: Batch) -> Iterator[None]:
        """Around the call that ends a batch's leases. No renewal is sent meanwhile, and none for this batch afterwards:
        the ledger would take the idle worker for busy.
        """
        with self._extending:
            yield
            self._drop(batch)

    def _drop(self, batch: Batch) -> None:
        with self._changed:
            if batch in self._batches:
                self._batches.remove(batch)
                self._done_seconds += batch.seconds
                self._arm()

    def is_only(self, batch: Batch) -> bool:
        """True when this process has no other batch under way."""
        return self.batches in ([], [batch])

    def _arm(self) -> None:
        """A timer in C that no Python code can hold up ends the process after the hard limit of the oldest
        that computes, or, set again by each renewal, when none came for so long that the batches are
        another's now.
        """
        faulthandler.cancel_dump_traceback_later()
        if computing := [b.started for b in self._batches if b.computing]:
            limit = min(computing) + self._terms.timeout_seconds + HARD_EXIT_SLACK_SECONDS
            silence = self._terms.lease_seconds + SILENCE_SLACK_SECONDS
            left = min(limit - time.monotonic(), silence)
            faulthandler.dump_traceback_later(max(left, 0.01), exit=True)

    def _run(self) -> None:
        while True:
            with self._changed:
                while not self._batches:
                    self._changed.wait()
                self._changed.wait(self._pause())
                self._arm()
            try:
                for batch in self.batches:
                    if self.is_overdue(batch):
                        self._end_after_timeout(batch)
                self.renew_all()
            except Exception:
                # Without this thread no lease is renewed and no hard limit is watched.
                logger.exception("the look at the leases failed")
                time.sleep(self._renew_seconds)

    def _pause(self) -> float:
        limit = self._terms.timeout_seconds
        left = [limit - b.seconds for b in self._batches if b.computing]
        return max(0.01, min([self._renew_seconds, *left]))

    def renew_all(self) -> None:
        """Extend all leases now, and stop the items that are no longer ours."""
        with self._extending:
            with self._changed:
                self._arm()
            batches = self.batches
            attempts = [attempt for batch in batches for attempt in batch.attempts]
            if not batches:
                return
            news = [(batch, batch.computing) for batch in batches]
            news = [
                (batch, computing)
                for batch, computing in news
                if batch.reported_computing is not computing
            ]
            left = {id: self._left(batch) for batch, _ in news for id, _ in batch.attempts}
            try:
                lost = self._ledger.run(extend(self._terms, attempts, left))
            except SoloistError as error:
                if self._trouble != error.code:
                    logger.warning("leases were not renewed", extra={"code": error.code})
                self._trouble = error.code
                return
        self._trouble = ""
        for batch, computing in news:
            batch.reported_computing = computing
        for batch in batches:
            batch.stop_items(lost)

    def _left(self, batch: Batch) -> float | None:
        """Seconds of its hard limit, by our own count; None when the model has returned."""
        left = self._terms.timeout_seconds - batch.seconds
        return max(0.0, left) if batch.computing else None


def end_process(code: int) -> NoReturn:
    """End this process at once, whatever its main thread does."""
    try:
        logging.shutdown()
    finally:
        os._exit(code)
