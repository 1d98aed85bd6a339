"""The seconds that each phase of a batch takes, as the models time them. Imports no torch itself."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from threading import local
from typing import Literal

Phase = Literal["warm_up", "preprocess", "inference"]


class _Marks(local):
    """A thread's own."""

    open = False

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}


_marks = _Marks()


@contextmanager
def timed(phase: Phase) -> Iterator[None]:
    """Time a part of a model's work, as a context or a decorator. Phases inside of it count as this one."""
    if _marks.open:
        yield
        return
    _marks.open = True
    started = time.perf_counter()
    try:
        yield
        if phase == "inference":
            _wait_for_device()
    finally:
        _marks.open = False
        spent = time.perf_counter() - started
        _marks.seconds[phase] = _marks.seconds.get(phase, 0.0) + spent


def take_seconds() -> dict[str, float]:
    """The seconds of each phase in this thread since the last call."""
    seconds, _marks.seconds = _marks.seconds, {}
    return seconds


def _wait_for_device() -> None:
    """A GPU computes on after the call. Without this the next phase, which reads the output, would be charged."""
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        torch.cuda.synchronize()
