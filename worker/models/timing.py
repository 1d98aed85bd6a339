"""Where the time of a batch goes, as the models mark it. Does not import torch itself."""

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
    """Around a part of a model's work, or as its decorator. What is marked within it belongs to it."""
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
    """The seconds of each phase that this thread marked since it was asked last."""
    seconds, _marks.seconds = _marks.seconds, {}
    return seconds


def _wait_for_device() -> None:
    """A GPU computes on after the call. Whoever reads the output next would wait for it, and be blamed."""
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        torch.cuda.synchronize()
