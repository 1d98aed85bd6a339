"""Waiting for what other threads and processes do, with a deadline."""

from collections.abc import Callable
from typing import TypeVar

from local.processes import wait_for

T = TypeVar("T")

PAUSE_SECONDS = 0.01


def until(what: str, condition: Callable[[], T], seconds: float = 30.0) -> T:
    """The first true value of `condition`; a failure that names `what` when there is none in time."""
    value = wait_for(condition, seconds, PAUSE_SECONDS)
    assert value, f"not within {seconds:g} s: {what}"
    return value
