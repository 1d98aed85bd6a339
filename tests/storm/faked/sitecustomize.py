"""For a Python under libfaketime 0.9.10, which breaks the call that `time.sleep` makes, and no other that waits."""

import select
import time


def sleep(seconds: float) -> None:
    if seconds < 0:
        raise ValueError("sleep length must be non-negative")
    select.select([], [], [], seconds)


time.sleep = sleep
