"""Rows of NaN are found, and only those."""

from typing import Any

import numpy as np
import pytest

from contract.errors import OutputInvalid
from worker.models.logits import unusable

pytestmark = pytest.mark.slow

NAN, INF = float("nan"), float("inf")


def lost(values: Any, real: Any = None) -> list[bool]:
    found = unusable(values, real)
    assert all(error is None or isinstance(error, OutputInvalid) for error in found)
    return [error is not None for error in found]


@pytest.mark.parametrize("kind", ["array", "tensor", "half"])
def test_a_row_with_nan_or_infinity_is_unusable_and_its_neighbours_are_not(kind: str) -> None:
    import torch

    rows: Any = [[0.0, 1.0], [NAN, 1.0], [INF, 0.0], [-INF, 1.0], [-INF, -INF]]
    values = np.array(rows, np.float32)
    if kind != "array":
        values = torch.tensor(rows, dtype=torch.float32 if kind == "tensor" else torch.float16)
    assert lost(values) == [False, True, True, False, True]


def test_what_was_computed_for_padding_does_not_count() -> None:
    real = np.array([[True, False], [True, True]])
    values = np.array([[1.0, NAN], [1.0, NAN]], np.float32)
    assert lost(values, real) == [False, True]
    assert lost(np.stack([values, values], axis=-1), real) == [False, True]


def test_a_row_of_padding_and_what_is_ruled_out_has_no_answer() -> None:
    real = np.array([[1, 0], [1, 0]])
    assert lost(np.array([[-INF, 3.0], [2.0, -INF]], np.float32), real) == [True, False]
