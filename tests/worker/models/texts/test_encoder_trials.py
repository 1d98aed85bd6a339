"""In which batches an encoder answers as alone, whatever its architecture."""

from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from worker.models.passes.batching import Batching
from worker.models.texts.encoder_trials import find_text_batching

pytestmark = pytest.mark.slow

ROWS = [[1], [1, 2], [3, 4, 5]]
CONFIG = SimpleNamespace(model_type="new")


def found(
    answer: Callable[[list[int], int, Batching], float], left: bool = False
) -> Batching | None:
    """The batching of a model that answers a row of so many places by `answer`."""

    def compute(rows: Sequence[Any], batching: Batching) -> list[Any]:
        longest = max(map(len, rows))
        crowd = len(rows) if (batching is not Batching.SINGLE) else 1
        return [torch.tensor([answer(row, longest, batching) + (crowd > 1) * 0]) for row in rows]

    return find_text_batching(CONFIG, left, ROWS, compute)


def test_a_model_that_heeds_the_mask_is_filled_up_at_the_right() -> None:
    assert found(lambda row, longest, batching: sum(row)) == Batching.PAD_RIGHT
    assert found(lambda row, longest, batching: sum(row), left=True) == Batching.PAD_RIGHT


def test_a_model_that_reads_the_last_place_is_filled_up_at_the_left_if_its_tokenizer_does() -> None:
    def last(row: list[int], longest: int, batching: Batching) -> float:
        return row[-1] if batching is Batching.PAD_LEFT or len(row) == longest else 0

    assert found(last, left=True) == Batching.PAD_LEFT
    assert found(last) == Batching.EQUAL_LENGTHS


def test_a_model_that_reads_the_padding_runs_with_rows_of_the_same_length() -> None:
    assert (
        found(lambda row, longest, batching: sum(row) / longest, left=True)
        == Batching.EQUAL_LENGTHS
    )


def test_a_model_that_reads_its_neighbours_runs_alone() -> None:
    assert (
        found(lambda row, longest, batching: sum(row) + (batching is not Batching.SINGLE))
        == Batching.SINGLE
    )


def test_a_model_that_answers_as_it_pleases_is_none() -> None:
    told = iter(range(100))
    assert found(lambda row, longest, batching: float(next(told))) is None


def test_rounding_is_no_difference() -> None:
    assert (
        found(lambda row, longest, batching: 1000 + sum(row) + 1e-3 * longest) == Batching.PAD_RIGHT
    )


def test_nan_is_no_difference_for_it_is_found_as_what_it_is() -> None:
    assert found(lambda row, longest, batching: float("nan")) == Batching.PAD_RIGHT
