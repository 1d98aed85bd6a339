"""Which texts may share a pass of a model that writes."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import made_writing as made
import pytest

from worker.models import Model

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(
    ("family", "mixing"),
    [
        ("gpt2", "any"),
        ("bloom", "any"),
        ("mamba", "any"),
        ("bart", "equal lengths"),
        ("xlnet", "equal lengths"),
        ("rwkv", "none"),
    ],
)
def test_texts_share_a_pass_where_that_changes_none(
    family: str, mixing: str, tmp_path: Path, loaded: Callable[..., Model]
) -> None:
    limit = {} if family in ("gpt2", "bart", "rwkv") else {"max_batch_tokens": 256}
    model: Any = loaded("text-generation", made.writer(tmp_path / "model", family), **limit)
    assert model._generator.mixing == mixing


def test_bigbird_reads_by_blocks_of_equal_lengths(
    tmp_path: Path, loaded: Callable[..., Model]
) -> None:
    path = made.rewriter(tmp_path / "model", "bigbird_pegasus")
    model: Any = loaded("summarization", path)
    assert model.generator.mixing == "equal lengths"
