"""A model that does what its inputs say, for tests that need a model to misbehave. Needs no torch."""

import ctypes
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

from contract.catalog import ModelSpec
from contract.errors import DeviceLost
from worker.models.interface import Item

MOST_SECONDS = 90.0
"""No wait of this model is longer, whatever a test forgot."""


class NoMemory(RuntimeError):
    """Reads as torch's own: what counts is the text that a RuntimeError carries."""

    def __init__(self) -> None:
        super().__init__("CUDA error: out of memory")


class Echo:
    """Answers `{"echo": text}`, unless the input's `do` says otherwise.

    Options of its catalog entry: `runs`, a file that gets one line (id, pid, batch size) for each run of
    each item; `fits`, the largest batch that fits in memory; `load`, what loading does.
    """

    def load(self, spec: ModelSpec, device: str) -> None:
        self._runs = Path(spec.options["runs"])
        self._fits = spec.options.get("fits", sys.maxsize)
        match spec.options.get("load"):
            case "fail":
                raise OSError("no file named model.safetensors")
            case "when mended" if not (self._runs.parent / "mended").exists():
                raise OSError(
                    f"no file {self._runs.parent}/model.safetensors, nor at s3://me:pw@there/it"
                )
            case "hang":
                (self._runs.parent / "loading").touch()
                time.sleep(MOST_SECONDS)

    def predict(self, items: list[Item]) -> list[Any]:
        lines = "".join(f"{item.id} {os.getpid()} {len(items)}\n" for item in items)
        log = os.open(self._runs, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        try:
            os.write(log, lines.encode())
        finally:
            os.close(log)
        if len(items) > self._fits:
            raise NoMemory
        return [self._answer(item) for item in items]

    def _answer(self, item: Item) -> Any:
        do = item.input.get("do", "echo")
        return getattr(self, f"_{do}")(item)

    def _echo(self, item: Item) -> Any:
        return {"echo": item.input.get("text"), "pid": os.getpid()}

    def _sleep(self, item: Item) -> Any:
        """Sleeps whatever happens: what does not cooperate."""
        time.sleep(min(item.input["seconds"], MOST_SECONDS))
        return self._echo(item)

    def _compute(self, item: Item) -> Any:
        """Pure Python for a while, as tokenizers and samplers do."""
        until = time.monotonic() + min(item.input["seconds"], MOST_SECONDS)
        while time.monotonic() < until:
            sum(range(1000))
        return self._echo(item)

    def _wait(self, item: Item) -> Any:
        """Waits for a file, or until nobody wants the answer."""
        until = time.monotonic() + MOST_SECONDS
        gate = Path(item.input["gate"])
        while not gate.exists() and time.monotonic() < until:
            if item.should_stop():
                return "stopped"
            time.sleep(0.02)
        return self._echo(item)

    def _stubborn(self, item: Item) -> Any:
        """Waits for a file, and does not care whether anybody wants the answer."""
        until = time.monotonic() + MOST_SECONDS
        while not Path(item.input["gate"]).exists() and time.monotonic() < until:
            time.sleep(0.02)
        return self._echo(item)

    def _kill(self, item: Item) -> Any:
        os.kill(os.getpid(), signal.SIGKILL)

    def _hold(self, item: Item) -> Any:
        """Sleeps in C with the interpreter's lock held: no other thread of this process runs."""
        ctypes.PyDLL(None).sleep(int(min(item.input["seconds"], MOST_SECONDS)))
        return self._echo(item)

    def _raise(self, item: Item) -> Any:
        raise ValueError("this text is no good")

    def _refuse(self, item: Item) -> Any:
        """An error in the output's place: the others of the batch need no second run."""
        return ValueError("this text is no good")

    def _memory(self, item: Item) -> Any:
        raise MemoryError

    def _exit(self, item: Item) -> Any:
        sys.exit(3)

    def _nan(self, item: Item) -> Any:
        return {"score": float("nan")}

    def _too_large(self, item: Item) -> Any:
        raise NoMemory

    def _lose_device(self, item: Item) -> Any:
        if "gate" in item.input:
            self._stubborn(item)
        raise DeviceLost("CUDA error: an illegal memory access was encountered")

    def _fill(self, item: Item) -> Any:
        return "x" * item.input["bytes"]

    def _stream(self, item: Item) -> Any:
        """Pieces, one at a time; `gate` holds it up before piece `hold_at`. A `text` is cut into other pieces in
        each run; `faults` says what happens in which run, after a quarter of it in the first, two in the second.
        """
        if "text" in item.input:
            return self._stream_text(item)
        pieces = item.input["pieces"]
        for number, piece in enumerate(pieces):
            if number == item.input.get("hold_at"):
                self._wait(item)
            item.emit(piece)
            item.log(f"piece {number}")
            item.progress((number + 1) / len(pieces))
        return "".join(pieces)

    def _stream_text(self, item: Item) -> Any:
        run = sum(line.startswith(item.id) for line in self._runs.read_text().splitlines())
        fault, text = item.input["faults"].get(str(run)), item.input["text"]
        stop = len(text) * run // 4
        if fault == "other text":
            text = text.swapcase()
        for start in range(0, len(text), run):
            if start >= stop:
                self._fail(item, fault)
                fault = None
            item.emit(text[start : start + run])
        return text

    def _fail(self, item: Item, fault: str | None) -> None:
        match fault:
            case "no memory":
                raise NoMemory
            case "no memory later":
                self._wait(item)
                raise NoMemory
            case "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            case "wait":
                self._wait(item)
