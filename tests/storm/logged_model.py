"""The model of the storm: its outputs follow from its inputs, and each run of each item is in a log."""

import hashlib
import json
import os
import signal
import time
from pathlib import Path
from typing import Any

from contract.catalog import ModelSpec
from worker.models.interface import Item

MOST_SECONDS = 20.0
"""No item takes longer, whatever its input says."""
PIECES = 12


def output_of(input: dict[str, Any]) -> Any:
    """What an input must become, whoever ran it and how often. The text of one that streams."""
    if input["do"] == "stream":
        return "".join(pieces_of(input))
    return {"n": input["n"], "mark": mark_of(input)}


def pieces_of(input: dict[str, Any]) -> list[str]:
    """What one that streams emits, in this order."""
    mark = mark_of(input)
    return [f"{input['n']}.{number}:{mark[number]} " for number in range(PIECES)]


def mark_of(input: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(input, sort_keys=True).encode()).hexdigest()[:24]


class LoggedModel:
    """Does what `do` of an input says, and writes a line to `runs` before and after.

    echo: the output, after `seconds`. stream: the same in pieces. refuse: an error in the output's process.
    raise: an error of the whole batch, which is then split. poison: kills its worker. fragile: kills its
    worker in its first run.
    """

    def load(self, spec: ModelSpec, device: str) -> None:
        self._runs = Path(spec.options["runs"])
        self._again: set[str] = set()

    def predict(self, items: list[Item]) -> list[Any]:
        batch = os.urandom(4).hex()
        for item in items:
            # What the batch of the call before was split into is no other start.
            self._write(item, "again" if item.id in self._again else "start", batch)
        self._again -= {item.id for item in items}
        try:
            return [self._answer(item, batch) for item in items]
        except BaseException:
            for item in items:
                self._write(item, "end", batch)
            if len(items) > 1:
                self._again |= {item.id for item in items}
            raise

    def _answer(self, item: Item, batch: str) -> Any:
        do = item.input["do"]
        if do == "poison" or (do == "fragile" and self._ran_once(item)):
            os.kill(os.getpid(), signal.SIGKILL)
        if do == "raise":
            raise ValueError("this item is no good")
        if do == "stream":
            self._stream(item)
        else:
            self._pause(item, float(item.input.get("seconds", 0.0)))
        self._write(item, "end", batch)
        return ValueError("this item is no good") if do == "refuse" else output_of(item.input)

    def _stream(self, item: Item) -> None:
        for piece in pieces_of(item.input):
            item.emit(piece)
            self._pause(item, float(item.input.get("seconds", 0.0)) / PIECES)

    def _pause(self, item: Item, seconds: float) -> None:
        until = time.monotonic() + min(seconds, MOST_SECONDS)
        while (left := until - time.monotonic()) > 0 and not item.should_stop():
            time.sleep(min(left, 0.05))

    def _ran_once(self, item: Item) -> bool:
        """Whether this run is the first one of this item, in any worker."""
        lines = self._runs.read_text().splitlines()
        return sum(item.id in line and '"start"' in line for line in lines) == 1

    def _write(self, item: Item, what: str, batch: str) -> None:
        row = {
            "id": item.id,
            "input": item.input,
            "what": what,
            "pid": os.getpid(),
            "batch": batch,
            "at": time.monotonic(),  # one clock for all processes of a machine, which nobody sets
        }
        log = os.open(self._runs, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        try:
            os.write(log, json.dumps(row).encode() + b"\n")
        finally:
            os.close(log)
