"""Labels for texts, against plain transformers, one text at a time."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers as tf

from contract.errors import BadItem
from tests.worker.models.answers import ask, close, computed, item
from worker.models import Model

pytestmark = pytest.mark.slow


TEXTS = ["the cat", "a very good movie about food , the dog sat on the mat", "anna ran in park ."]


def ranked(names: list[str], scores: list[float]) -> list[dict[str, Any]]:
    pairs = sorted(zip(names, scores, strict=True), key=lambda pair: -pair[1])
    return [{"label": name, "score": score} for name, score in pairs]


@pytest.fixture
def classifier(folder: Callable[..., Path], loaded: Callable[..., Model]) -> tuple[Path, Model]:
    path = folder("bert_classifier")
    return path, loaded("text-classification", path)


def test_a_text_is_classified_by_softmax(classifier: tuple[Path, Model]) -> None:
    path, model = classifier
    for text, answer in zip(TEXTS, ask(model, *TEXTS), strict=True):
        _, output = computed(path, tf.AutoModelForSequenceClassification, text)
        scores = torch.softmax(output.logits[0], dim=-1).tolist()
        close(answer, ranked(["bad", "fair", "good"], scores))


def test_each_prediction_has_its_own_parameters(classifier: tuple[Path, Model]) -> None:
    path, model = classifier
    _, output = computed(path, tf.AutoModelForSequenceClassification, TEXTS[0])
    logits, names = output.logits[0], ["bad", "fair", "good"]
    first, second, third, fourth = model.predict(
        [
            item(TEXTS[0], top_k=1),
            item(TEXTS[0], function_to_apply="sigmoid"),
            item(TEXTS[0], function_to_apply="none", top_k=2),
            item(TEXTS[0], function_to_apply="softmax", top_k=10),
        ]
    )
    close(first, ranked(names, torch.softmax(logits, -1).tolist())[:1])
    close(second, ranked(names, torch.sigmoid(logits).tolist()))
    close(third, ranked(names, logits.tolist())[:2])
    assert len(fourth) == 3


def test_a_model_of_many_labels_at_once_is_read_by_sigmoid(
    folder: Callable[..., Path], loaded: Callable[..., Model]
) -> None:
    path = folder("bert_classifier", problem_type="multi_label_classification")
    (answer,) = ask(loaded("text-classification", path), TEXTS[0])
    _, output = computed(path, tf.AutoModelForSequenceClassification, TEXTS[0])
    close(answer, ranked(["bad", "fair", "good"], torch.sigmoid(output.logits[0]).tolist()))


@pytest.mark.parametrize("builder", ["gpt_classifier", "byte_classifier"])
def test_classifiers_of_other_kinds_are_read_as_plain_transformers_reads_them(
    builder: str, folder: Callable[..., Path], loaded: Callable[..., Model]
) -> None:
    path, texts = folder(builder), [*TEXTS, "a long text " * 20]
    for text, answer in zip(texts, ask(loaded("text-classification", path), *texts), strict=True):
        _, output = computed(path, tf.AutoModelForSequenceClassification, text)
        close(
            [one["score"] for one in answer],
            sorted(torch.softmax(output.logits[0], -1).tolist())[::-1],
        )


def test_a_text_longer_than_the_model_is_cut_off(classifier: tuple[Path, Model]) -> None:
    path, model = classifier
    text = "the cat sat on " * 200
    _, output = computed(path, tf.AutoModelForSequenceClassification, text)
    scores = torch.softmax(output.logits[0], dim=-1).tolist()
    close(ask(model, text)[0], ranked(["bad", "fair", "good"], scores))


def test_a_text_that_is_no_text_fails_alone(classifier: tuple[Path, Model]) -> None:
    _, model = classifier
    good, bad = ask(model, "the cat", "\ud800")
    assert len(good) == 3
    assert isinstance(bad, BadItem)


def test_zero_shot_ranks_the_callers_labels(
    folder: Callable[..., Path], loaded: Callable[..., Model]
) -> None:
    path = folder("bert_inference")
    names, text = ["sports", "politics", "food"], "a movie about food"
    logits = torch.stack(
        [
            computed(path, tf.AutoModelForSequenceClassification, text, f"This example is {name}.")[
                1
            ].logits[0]
            for name in names
        ]
    )
    single, each, own, sole = loaded("zero-shot-classification", path).predict(
        [
            item(text, candidate_labels=names),
            item(text, candidate_labels=names, multi_label=True),
            item(text, candidate_labels=names, hypothesis_template="this is about {}"),
            item(text, candidate_labels=names[:1]),
        ]
    )
    close(single, ranked(names, torch.softmax(logits[:, 2], 0).tolist()))
    close(each, ranked(names, torch.softmax(logits[:, [0, 2]], 1)[:, 1].tolist()))
    assert own != single
    close(sole[0]["score"], next(one["score"] for one in each if one["label"] == "sports"))


def test_a_template_is_filled_in_as_by_python(
    folder: Callable[..., Path], loaded: Callable[..., Model]
) -> None:
    model, path = (
        loaded("zero-shot-classification", folder("bert_inference")),
        folder("bert_inference"),
    )
    theirs = tf.pipeline("zero-shot-classification", model=str(path), device="cpu")
    names, text = ["sports", "{} food"], "a movie about food"
    for template in ("{{}} {}", "{0} and {0}", "about {}"):
        (mine,) = ask(model, text, candidate_labels=names, hypothesis_template=template)
        found = theirs(text, candidate_labels=names, hypothesis_template=template)
        close(mine, ranked(found["labels"], found["scores"]))


@pytest.mark.parametrize(
    "template", ["{}{", "{} {}", "{{}}", "{:>99999999}", "{0.__class__}", "{}{a}", "{!r}", "{0}{}"]
)
def test_a_template_that_takes_no_label_fails_alone(
    template: str, folder: Callable[..., Path], loaded: Callable[..., Model]
) -> None:
    model = loaded("zero-shot-classification", folder("bert_inference"))
    bad, good = model.predict(
        [
            item("a movie", "a", candidate_labels=["food", "cats"], hypothesis_template=template),
            item("a movie", "b", candidate_labels=["food", "cats"]),
        ]
    )
    assert isinstance(bad, BadItem)
    assert "cannot be filled in" in str(bad)
    assert len(good) == 2
    (alone,) = ask(model, "a", candidate_labels=["food"], hypothesis_template=template)
    assert isinstance(alone, BadItem)
