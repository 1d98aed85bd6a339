"""What fills up rows is what the model takes for padding."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from worker.models.passes.padding import PaddingToken, make_mask, pad_rows


def config(**said: Any) -> Any:
    usual = {"pad_token_id": None, "eos_token_id": None, "is_encoder_decoder": False}
    made = SimpleNamespace(**{**usual, **said})
    made.get_text_config = lambda: made
    return made


def filling(pad: int | None = None, **said: Any) -> PaddingToken:
    return PaddingToken.of_model(SimpleNamespace(pad_token_id=pad), config(**said), 10)


def test_rows_begin_or_end_at_one_edge() -> None:
    rows = [[5], [6, 7]]
    assert pad_rows(make_mask(rows), rows, 0).tolist() == [[5, 0], [6, 7]]
    assert pad_rows(make_mask(rows, left=True), rows, 0).tolist() == [[0, 5], [6, 7]]
    assert make_mask(rows, least=4).shape == (2, 4)
    assert np.array_equal(make_mask(rows).sum(axis=1), [1, 2])


def test_what_the_model_looks_for_fills_and_not_what_the_tokenizer_says() -> None:
    assert filling(pad=3, pad_token_id=0).choose([[0, 3], [4]]) == 0


@pytest.mark.parametrize("named", [None, -1, 10, [-1]])
def test_a_model_without_padding_is_told_a_token_that_ends_no_row(named: Any) -> None:
    found = filling(pad=3, pad_token_id=named)
    assert found.choose([[1, 2], [4]]) == 3
    assert found.config.pad_token_id == 3
    assert found.choose([[3, 2], [3], [0], [1]]) == 4 or found.config.pad_token_id not in {
        3,
        2,
        0,
        1,
    }
    assert found.config.pad_token_id == found.choose([[3, 2], [3], [0], [1]])


def test_a_token_beyond_the_embeddings_never_fills() -> None:
    assert filling(pad=10, eos_token_id=11).choose([[4]]) == 0


def test_the_end_that_an_encoder_decoder_looks_for_never_fills() -> None:
    said = {"is_encoder_decoder": True, "eos_token_id": 0}
    assert filling(pad=0, pad_token_id=0, **said).choose([[4, 0]]) == 1
    assert filling(pad=0, **said).choose([[4, 0]]) == 1
