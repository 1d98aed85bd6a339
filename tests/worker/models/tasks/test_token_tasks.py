"""Entities and masked words, against transformers' own pipelines."""

from collections.abc import Callable
from pathlib import Path

import pytest
import transformers as tf

from contract.catalog import ModelSpec
from contract.errors import BadItem, ModelUnloadable
from tests.worker.models.answers import ask, close, item
from worker.models import Model, open_model

pytestmark = pytest.mark.slow


def test_entities_need_a_tokenizer_that_knows_its_places(folder: Callable[..., Path]) -> None:
    source = str(folder("byte_classifier", model="BertForTokenClassification"))
    spec = ModelSpec(name="tiny", source=source, task="token-classification")
    with pytest.raises(ModelUnloadable, match="fast tokenizer"):
        open_model(spec).load(spec, "cpu")


@pytest.mark.parametrize("strategy", ["none", "simple", "first", "average", "max"])
def test_entities_are_those_of_transformers_own_pipeline(
    strategy: str, folder: Callable[..., Path], loaded: Callable[..., Model]
) -> None:
    path = folder("bert_tagger")
    theirs = tf.pipeline(
        "token-classification", model=str(path), aggregation_strategy=strategy, device="cpu"
    )
    texts = ["anna visited paris , bob is in london .", "cats lived", "the the"]
    answers = ask(loaded("token-classification", path), *texts, aggregation_strategy=strategy)
    for text, answer in zip(texts, answers, strict=True):
        close(answer, [{**one, "score": float(one["score"])} for one in theirs(text)])


def test_labels_are_ignored_as_asked(
    folder: Callable[..., Path], loaded: Callable[..., Model]
) -> None:
    model, text = loaded("token-classification", folder("bert_tagger")), "anna visited paris"
    everything, nothing = model.predict(
        [item(text, ignore_labels=[]), item(text, ignore_labels=["O", "PER", "LOC"])]
    )
    assert everything
    assert nothing == []


def test_masks_are_filled_as_by_transformers_own_pipeline(
    folder: Callable[..., Path], loaded: Callable[..., Model]
) -> None:
    path = folder("bert_filler")
    theirs, model = tf.pipeline("fill-mask", model=str(path), device="cpu"), None
    model = loaded("fill-mask", path)
    texts = ["the [MASK] sat on the mat", "[MASK] is very [MASK] .", "a [MASK]"]
    for text, answer in zip(texts, ask(model, *texts), strict=True):
        close(answer, theirs(text))
    close(ask(model, texts[0], top_k=2)[0], theirs(texts[0], top_k=2))
    found = ask(model, texts[0], targets=["cat", "dog"])[0]
    wanted = theirs(texts[0], targets=["cat", "dog"])
    close(found, wanted)


def test_targets_in_pieces_count_by_their_first_piece_and_strange_ones_fail(
    folder: Callable[..., Path], loaded: Callable[..., Model]
) -> None:
    model = loaded("fill-mask", folder("bert_filler"))
    pieces, mixed = model.predict(
        [item("the [MASK]", targets=["cats"]), item("the [MASK]", targets=["cats", "dog"])]
    )
    assert [one["token_str"] for one in pieces] == ["cat"]
    assert {one["token_str"] for one in mixed} == {"cat", "dog"}


def test_a_text_without_a_mask_says_what_a_mask_is(
    folder: Callable[..., Path], loaded: Callable[..., Model]
) -> None:
    model = loaded("fill-mask", folder("bert_filler"))
    bare, far = ask(model, "the cat", "cat " * 100 + "[MASK]")
    assert "[MASK]" in str(bare)
    assert isinstance(far, BadItem)
