"""Sends what running predictions report (output, logs, progress) to the ledger, off the thread that computes."""

import logging
from collections.abc import Iterable, Iterator
from threading import Condition, Thread
from typing import Any

from contract.errors import SoloistError
from contract.ledger.client import Ledger
from contract.ledger.transitions import (
    EVENTS_AT_ONCE,
    MOST_LOG_BYTES,
    MOST_STREAMED_BYTES,
    Claimed,
    Report,
    Transition,
    report,
)
from worker.backoff import backoff_pauses
from worker.models.interface import Item

logger = logging.getLogger(__name__)

LONGEST_PAUSE_SECONDS = 1.0
MOST_GATHERED = 4096
"""Letters of pieces that are put together."""


class StreamedOutput:
    """What was streamed of one prediction's output, and the place of the current run in it.

    What was streamed cannot be taken back. So a later run sends nothing while it repeats what was streamed, then what
    goes beyond it, and nothing any more once it differs.
    """

    def __init__(self, attempt: int, streamed: str = "") -> None:
        self.attempt = attempt
        self.text = bytearray(streamed.encode())
        self._at = 0
        self._silent = self._differs = False
        self._ever = bool(streamed)

    def restart(self) -> None:
        """The next run begins."""
        self._at = 0
        self._silent = self._differs = False

    def add_piece(self, piece: bytes) -> bytes:
        """What is new of the next piece of this run."""
        start, self._at = self._at, self._at + len(piece)
        self._ever = self._ever or bool(piece)
        if self._silent:
            return b""
        known = self.text[start : self._at]
        new = piece[len(known) :]
        self._differs = not piece.startswith(known)
        if self._differs or len(self.text) + len(new) > MOST_STREAMED_BYTES:
            self._silent = True
            return b""
        self.text += new
        return new

    @property
    def said(self) -> int | None:
        """As `Outcome.said`."""
        if not self._ever:
            return None
        return -1 if self._differs else self._at


class Reporter:
    """Sends what gathered while the last report was on its way: no timer, one call for all items."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._outputs: dict[str, StreamedOutput] = {}
        self._waiting: dict[str, Report] = {}
        self._sending = False
        self._flushing = 0
        self._changed = Condition()
        self._start()

    def _start(self) -> None:
        Thread(target=self._run, name="reporter", daemon=True).start()

    def follow_predictions(self, claimed: Iterable[Claimed]) -> None:
        """Begin to carry the reports of these predictions."""
        with self._changed:
            self._outputs |= {c.id: StreamedOutput(c.attempt, c.streamed) for c in claimed}

    def forget_predictions(self, ids: list[str]) -> None:
        """These are over."""
        with self._changed:
            for id in ids:
                self._outputs.pop(id, None)
                self._waiting.pop(id, None)

    def said(self, id: str) -> int | None:
        """As `Outcome.said`, of the run that is over now."""
        with self._changed:
            output = self._outputs.get(id)
            return output.said if output else None

    def take_report(self, item: Item, kind: str, value: Any) -> None:
        """Take what an item reports: ("output" | "logs" | "progress" | "again", value)."""
        with self._changed:
            output = self._outputs.get(item.id)
            if output is None:
                return
            if kind == "again":
                output.restart()
                return
            offset = len(output.text)
            text = str(value)
            if kind == "output":
                # As the ledger writes it: a model's text may hold half a surrogate pair.
                text = output.add_piece(text.encode(errors="replace")).decode()
                if not text:
                    return
            waiting = self._waiting.get(item.id)
            if waiting is None:
                waiting = self._waiting[item.id] = Report(item.id, output.attempt, offset=offset)
            _add(waiting, kind, text)
            self._changed.notify_all()

    def flush(self) -> None:
        """Return when all that was taken is recorded; an outcome must not overtake its own pieces. While
        the ledger is away that is not waited for: who listens gets with the outcome what is missing.
        """
        with self._changed:
            self._flushing += 1
            self._changed.notify_all()
            while self._waiting or self._sending:
                self._changed.wait(0.5)
            self._flushing -= 1

    def _run(self) -> None:
        while True:
            with self._changed:
                while not self._waiting:
                    self._changed.wait()
            self.send_waiting()

    def send_waiting(self) -> None:
        """Send what gathered since the last report."""
        with self._changed:
            reports, self._waiting = list(self._waiting.values()), {}
            self._sending = True
        try:
            for some in _parts(reports):
                self._send(report(some))
        except Exception as error:
            # The output is complete without its pieces. And whoever sends must go on, or no batch would end
            # any more.
            code = getattr(error, "code", type(error).__name__)
            logger.warning("a report was lost", extra={"code": code})
        finally:
            with self._changed:
                self._sending = False
                self._changed.notify_all()

    def _send(self, sent: Transition[bool]) -> None:
        """Send, and again while the ledger is away and the model still runs: nothing can go on behind a gap."""
        for pause in backoff_pauses(LONGEST_PAUSE_SECONDS):
            try:
                self._ledger.run(sent)
                return
            except SoloistError as error:
                with self._changed:
                    if self._changed.wait_for(lambda: self._flushing > 0, pause):
                        raise
                logger.debug("a report is sent again", extra={"code": error.code})


def _add(waiting: Report, kind: str, text: str) -> None:
    if kind == "progress":
        waiting.progress = float(text)
        return
    # Bounded also while nothing can be sent: beyond this the ledger keeps the last of the logs alone.
    if kind == "output" or len(waiting.logs) <= MOST_LOG_BYTES:
        _gather(waiting.events, kind, text)
    if kind == "logs":
        waiting.logs = (waiting.logs + text)[-2 * MOST_LOG_BYTES :]


def _gather(events: list[tuple[str, str]], kind: str, text: str) -> None:
    """Many small pieces that wait are few larger ones: each weighs as much as a hundred of its letters."""
    if len(events) >= EVENTS_AT_ONCE and events[-1][0] == kind:
        before = events[-1][1]
        if len(before) + len(text) <= MOST_GATHERED:
            events[-1] = (kind, before + text)
            return
    events.append((kind, text))


def _parts(reports: list[Report]) -> Iterator[list[Report]]:
    """What gathered while the ledger was away is more than one call should hold it up for."""
    some: list[Report] = []
    for one in reports:
        some.append(one)
        if sum(len(each.events) for each in some) > EVENTS_AT_ONCE:
            yield some
            some = []
    if some:
        yield some
