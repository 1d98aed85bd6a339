"""Rows of NaN are found, and only those."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from contract.errors import BadItem, OutputInvalid
from tests.worker.models.answers import ask, close
from worker.models import Model
from worker.models.passes.logits import find_invalid_rows

pytestmark = pytest.mark.slow

NAN, INF = float("nan"), float("inf")


def lost(values: Any, real: Any = None) -> list[bool]:
    found = find_invalid_rows(values, real)
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


NAMES = {"candidate_labels": ["sports", "food"]}
POISONED: dict[str, tuple[str, str, Callable[[str], Any], dict[str, Any]]] = {
    "text-classification": ("ForSequenceClassification", "bert", lambda text: text, {}),
    "zero-shot-classification": ("ForSequenceClassification", "bert", lambda text: text, NAMES),
    "token-classification": ("ForTokenClassification", "bert", lambda text: text, {}),
    "question-answering": (
        "ForQuestionAnswering",
        "bert",
        lambda text: {"question": "who", "context": text},
        {},
    ),
    "fill-mask": ("ForMaskedLM", "bert", lambda text: f"<mask> {text}", {}),
    "text-ranking": (
        "ForSequenceClassification",
        "bert",
        lambda text: {"query": "who", "texts": ["bob", text]},
        {},
    ),
}
LABELS: dict[str, Any] = {
    "zero-shot-classification": {"id2label": {0: "contradiction", 1: "entailment"}},
    "question-answering": {"num_labels": 2},
    "text-ranking": {"num_labels": 1},
    "fill-mask": {"tie_word_embeddings": False},
}


@pytest.fixture(params=POISONED)
def poisoned(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    """A model that computes NaN for texts with one word, and how it is asked about a text."""
    import torch

    from contract.catalog import ModelSpec
    from tests.worker.models.builders import text_encoders as made
    from worker.models import open_model

    head, family, question, parameters = POISONED[request.param]
    labels = {"id2label": None, "label2id": None} if request.param in LABELS else {}
    folder = made.family(
        tmp_path / "m", family, head, **{**labels, **LABELS.get(request.param, {})}
    )
    spec = ModelSpec(name="tiny", source=str(folder), task=request.param)
    model: Any = open_model(spec)
    model.load(spec, "cpu")
    embeddings = model._encoder.model.get_input_embeddings().weight
    with torch.no_grad():
        embeddings[made.VOCABULARY.index("london")] = NAN
    return model, question, parameters


def test_an_item_that_gives_nan_ends_as_output_invalid_and_its_neighbours_are_untouched(
    poisoned: tuple[Model, Callable[[str], Any], dict[str, Any]],
) -> None:
    model, question, parameters = poisoned
    texts = ["the cat", "anna lives in london", "a very good movie about food"]
    good, bad, other = ask(model, *map(question, texts), **parameters)
    assert type(bad) is OutputInvalid
    close(good, ask(model, question(texts[0]), **parameters)[0])
    close(other, ask(model, question(texts[2]), **parameters)[0])
    (bulk,) = ask(model, [question(text) for text in texts], **parameters)
    assert type(bulk) is OutputInvalid


@pytest.mark.parametrize("text", ["  ", "\n"])
def test_a_text_without_a_token_is_invalid_alone_and_in_a_batch(
    text: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    from contract.catalog import ModelSpec
    from tests.worker.models.builders import text_encoders as made
    from worker.models import open_model

    source = made.family(tmp_path_factory.mktemp("bare") / "m", "gpt2")
    spec = ModelSpec(name="tiny", source=str(source), task="text-classification")
    model = open_model(spec)
    model.load(spec, "cpu")
    (alone,) = ask(model, text)
    good, bad, other = ask(model, "the cat", text, "a very good movie")
    assert type(alone) is type(bad) is BadItem
    assert "no token" in str(bad)
    assert len(good) == len(other) == 3
