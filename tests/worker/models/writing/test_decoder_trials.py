"""Which texts may share a pass of a model that writes."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.worker.models.answers import item
from tests.worker.models.builders import generative_models as made
from worker.models import Model
from worker.models.passes.batching import Batching

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(
    ("family", "batching"),
    [
        ("gpt2", Batching.PAD_LEFT),
        ("bloom", Batching.PAD_LEFT),
        ("mamba", Batching.PAD_LEFT),
        ("bart", Batching.EQUAL_LENGTHS),
        ("xlnet", Batching.EQUAL_LENGTHS),
        ("rwkv", Batching.SINGLE),
    ],
)
def test_texts_share_a_pass_where_that_changes_none(
    family: str, batching: Batching, tmp_path: Path, loaded: Callable[..., Model]
) -> None:
    limit = {} if family in ("gpt2", "bart", "rwkv") else {"max_batch_tokens": 256}
    model: Any = loaded("text-generation", made.writer(tmp_path / "model", family), **limit)
    assert model._decoder.batching is batching


def test_bigbird_reads_by_blocks_of_equal_lengths(
    tmp_path: Path, loaded: Callable[..., Model]
) -> None:
    path = made.rewriter(tmp_path / "model", "bigbird_pegasus")
    model: Any = loaded("summarization", path)
    assert model.decoder.batching is Batching.EQUAL_LENGTHS


def test_unlike_wishes_share_one_pass_and_beams_take_their_own(
    tmp_path: Path, loaded: Callable[..., Model], monkeypatch: pytest.MonkeyPatch
) -> None:
    model: Any = loaded("text-generation", made.writer(tmp_path / "model", "gpt2"))
    passes: list[int] = []
    generate = model._decoder.model.generate

    def count(**options: Any) -> Any:
        passes.append(len(options["input_ids"]))
        return generate(**options)

    monkeypatch.setattr(model._decoder.model, "generate", count)
    parameters = [
        {"max_new_tokens": 3},
        {"max_new_tokens": 5, "temperature": 0.8, "seed": 1},
        {"max_new_tokens": 4, "repetition_penalty": 1.3},
        {"max_new_tokens": 4, "num_beams": 2},
        {"max_new_tokens": 4, "num_beams": 2},
    ]
    outputs = model.predict(
        [item("hello"[: n + 1], f"p{n}", **one) for n, one in enumerate(parameters)]
    )
    assert not any(isinstance(one, Exception) for one in outputs)
    assert sorted(passes) == [2, 3]


def test_a_row_that_is_over_is_not_carried_beyond_the_models_positions(
    tmp_path: Path, loaded: Callable[..., Model]
) -> None:
    """On a GPU the whole process would be lost there."""
    model = loaded("text-generation", made.writer(tmp_path / "model", "opt"))
    requests = [
        item("x" * (made.POSITIONS - 1), "a", max_new_tokens=1),
        item("y", "b", max_new_tokens=made.POSITIONS - 1),
        item("z" * 30, "c", max_new_tokens=20),
    ]
    assert model.predict(requests) == [model.predict([one])[0] for one in requests]
