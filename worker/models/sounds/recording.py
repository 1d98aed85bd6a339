"""A sound that is being decoded."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

Samples = np.ndarray[tuple[int], np.dtype[np.float32]]


@dataclass(frozen=True, slots=True)
class Recording:
    """What a decoder says of a sound, and its samples as they are decoded."""

    rate: int
    channels: int
    frames: int | None
    """What the file's header says; None if it does not."""
    blocks: Iterator[Any]
    """float32 arrays (frames, channels), from -1 to 1."""
