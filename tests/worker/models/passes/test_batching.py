"""In what company a model answers as alone, whatever its architecture."""

from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from worker.models.passes.batching import (
    ALONE,
    AT_THE_LEFT,
    AT_THE_RIGHT,
    OF_ONE_LENGTH,
    Company,
    company_of,
)

pytestmark = pytest.mark.slow

ROWS = [[1], [1, 2], [3, 4, 5]]
CONFIG = SimpleNamespace(model_type="new")


def found(answer: Callable[[list[int], int, Company], float], left: bool = False) -> Company | None:
    """The company of a model that answers a row of so many places by `answer`."""

    def compute(rows: Sequence[Any], company: Company) -> list[Any]:
        longest = max(map(len, rows))
        crowd = len(rows) if company.rows else 1
        return [torch.tensor([answer(row, longest, company) + (crowd > 1) * 0]) for row in rows]

    return company_of(CONFIG, left, ROWS, compute)


def test_a_model_that_heeds_the_mask_is_filled_up_at_the_right() -> None:
    assert found(lambda row, longest, company: sum(row)) == AT_THE_RIGHT
    assert found(lambda row, longest, company: sum(row), left=True) == AT_THE_RIGHT


def test_a_model_that_reads_the_last_place_is_filled_up_at_the_left_if_its_tokenizer_does() -> None:
    def last(row: list[int], longest: int, company: Company) -> float:
        return row[-1] if company.left or len(row) == longest else 0

    assert found(last, left=True) == AT_THE_LEFT
    assert found(last) == OF_ONE_LENGTH


def test_a_model_that_reads_the_padding_runs_with_rows_of_the_same_length() -> None:
    assert found(lambda row, longest, company: sum(row) / longest, left=True) == OF_ONE_LENGTH


def test_a_model_that_reads_its_neighbours_runs_alone() -> None:
    assert found(lambda row, longest, company: sum(row) + company.rows) == ALONE


def test_a_model_that_answers_as_it_pleases_is_none() -> None:
    told = iter(range(100))
    assert found(lambda row, longest, company: float(next(told))) is None


def test_rounding_is_no_difference() -> None:
    assert found(lambda row, longest, company: 1000 + sum(row) + 1e-3 * longest) == AT_THE_RIGHT


def test_nan_is_no_difference_for_it_is_found_as_what_it_is() -> None:
    assert found(lambda row, longest, company: float("nan")) == AT_THE_RIGHT
