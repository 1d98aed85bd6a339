"""The pauses between two tries to reach a ledger that is away."""

from collections.abc import Iterator

FIRST_PAUSE_SECONDS = 0.05


def backoff_pauses(longest_seconds: float) -> Iterator[float]:
    """Seconds, each twice the one before, up to the longest; without end."""
    pause = FIRST_PAUSE_SECONDS
    while True:
        yield pause
        pause = min(pause * 2, longest_seconds)
