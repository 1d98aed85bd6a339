"""Which rows may share a pass of a model: it is tried when the model is loaded.

An answer must not depend on the rows beside it. No file of a model says what that takes: most models heed the
padding mask, some take none or read the padding all the same, a few mix up whole rows. So each is asked alone and in a
batch, and gets the largest batches in which it answers the same.
"""

from collections.abc import Callable, Hashable, Iterable
from enum import Enum


class Batching(Enum):
    """What rows may share a pass."""

    PAD_RIGHT = "rows of any length, padded at the right"
    PAD_LEFT = "rows of any length, padded at the left"
    EQUAL_LENGTHS = "rows of one length"
    SINGLE = "one row"

    @property
    def pads(self) -> bool:
        return self in (Batching.PAD_RIGHT, Batching.PAD_LEFT)

    def pass_key(self, length: int, number: int) -> Hashable:
        """Equal for rows that may share a pass; `number` is the row's own."""
        if self.pads:
            return None
        return length if self is Batching.EQUAL_LENGTHS else (number,)


def find_batching(
    candidates: Iterable[Batching], agrees: Callable[[Batching], bool], otherwise: Batching
) -> Batching:
    """The first candidate in which the model answers as it does alone."""
    return next((one for one in candidates if agrees(one)), otherwise)
