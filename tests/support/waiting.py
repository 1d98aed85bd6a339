"""Waiting for what other threads and processes do, with a deadline."""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

LONGEST_PAUSE_SECONDS = 0.05


def until(what: str, condition: Callable[[], T], seconds: float = 30.0) -> T:
    """The first true value of `condition`; a failure that names `what` when there is none in time."""
    deadline, pause = time.monotonic() + seconds, 0.002
    while not (value := condition()):
        assert time.monotonic() < deadline, f"not within {seconds:g} s: {what}"
        time.sleep(pause)
        pause = min(1.5 * pause, LONGEST_PAUSE_SECONDS)
    return value
