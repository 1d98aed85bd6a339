"""Rows of unequal length as one rectangle of numbers, and the mask that says which are real."""

from collections.abc import Sequence
from itertools import chain
from typing import Any

import numpy as np

Rectangle = np.ndarray[tuple[int, int], np.dtype[Any]]


def mask_of(rows: Sequence[Sequence[int]], *, left: bool = False) -> Rectangle:
    """(rows, longest), True where a row has a number; rows end (`left`) or begin at one edge."""
    lengths = np.fromiter(map(len, rows), np.int64, len(rows))[:, None]
    places = np.arange(lengths.max())
    return places >= lengths.max() - lengths if left else places < lengths


def fill(mask: Rectangle, rows: Sequence[Sequence[int]], padding: int) -> Rectangle:
    """The rows' numbers where the mask is True, `padding` elsewhere. One copy, no loop over rows."""
    filled = np.full(mask.shape, padding, np.int64)
    filled[mask] = np.fromiter(chain.from_iterable(rows), np.int64)
    return filled
