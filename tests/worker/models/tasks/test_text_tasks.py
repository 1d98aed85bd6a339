"""The answers of encoders, against plain transformers, one item at a time."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers as tf

from contract.catalog import ModelSpec
from contract.errors import BadItem, ModelUnloadable
from tests.worker.models.answers import ask, close, item
from worker.models import Model, open_model
from worker.models.tasks.question_answering import _among

pytestmark = pytest.mark.slow

TEXTS = ["the cat", "a very good movie about food , the dog sat on the mat", "anna ran in park ."]


def plain(folder: Path, auto: Any, *texts: Any) -> tuple[Any, Any]:
    """What transformers itself gives for one text or pair: (encoding, output)."""
    tokenizer = tf.AutoTokenizer.from_pretrained(folder)
    model = auto.from_pretrained(folder).eval()
    encoding = tokenizer(*texts, truncation=True, return_tensors="pt")
    with torch.inference_mode():
        return encoding, model(**encoding)


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
        _, output = plain(path, tf.AutoModelForSequenceClassification, text)
        scores = torch.softmax(output.logits[0], dim=-1).tolist()
        close(answer, ranked(["bad", "fair", "good"], scores))


def test_each_prediction_has_its_own_parameters(classifier: tuple[Path, Model]) -> None:
    path, model = classifier
    _, output = plain(path, tf.AutoModelForSequenceClassification, TEXTS[0])
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
    _, output = plain(path, tf.AutoModelForSequenceClassification, TEXTS[0])
    close(answer, ranked(["bad", "fair", "good"], torch.sigmoid(output.logits[0]).tolist()))


@pytest.mark.parametrize("builder", ["gpt_classifier", "byte_classifier"])
def test_classifiers_of_other_kinds_are_read_as_plain_transformers_reads_them(
    builder: str, folder: Callable[..., Path], loaded: Callable[..., Model]
) -> None:
    path, texts = folder(builder), [*TEXTS, "a long text " * 20]
    for text, answer in zip(texts, ask(loaded("text-classification", path), *texts), strict=True):
        _, output = plain(path, tf.AutoModelForSequenceClassification, text)
        close(
            [one["score"] for one in answer],
            sorted(torch.softmax(output.logits[0], -1).tolist())[::-1],
        )


def test_entities_need_a_tokenizer_that_knows_its_places(folder: Callable[..., Path]) -> None:
    source = str(folder("byte_classifier", model="BertForTokenClassification"))
    spec = ModelSpec(name="tiny", source=source, task="token-classification")
    with pytest.raises(ModelUnloadable, match="fast tokenizer"):
        open_model(spec).load(spec, "cpu")


def test_a_text_longer_than_the_model_is_cut_off(classifier: tuple[Path, Model]) -> None:
    path, model = classifier
    text = "the cat sat on " * 200
    _, output = plain(path, tf.AutoModelForSequenceClassification, text)
    scores = torch.softmax(output.logits[0], dim=-1).tolist()
    close(ask(model, text)[0], ranked(["bad", "fair", "good"], scores))


def test_a_text_that_is_no_text_fails_alone(classifier: tuple[Path, Model]) -> None:
    _, model = classifier
    good, bad = ask(model, "the cat", "\ud800")
    assert len(good) == 3
    assert isinstance(bad, BadItem)


def test_small_passes_answer_as_one_large_one(
    folder: Callable[..., Path], loaded: Callable[..., Model]
) -> None:
    path, texts = folder("bert_classifier"), TEXTS * 5
    whole = ask(loaded("text-classification", path), *texts)
    close(ask(loaded("text-classification", path, max_batch_size=2), *texts), whole)
    close(ask(loaded("text-classification", path, max_batch_tokens=40), *texts), whole)


def test_no_pass_holds_more_tokens_than_the_catalog_allows(
    folder: Callable[..., Path], loaded: Callable[..., Model], monkeypatch: pytest.MonkeyPatch
) -> None:
    model: Any = loaded("text-classification", folder("bert_classifier"), max_batch_tokens=41)
    seen, forward = [], model._encoder.forward

    def spy(encodings: list[Any]) -> Any:
        output, mask = forward(encodings)
        seen.append(mask.numel())
        return output, mask

    monkeypatch.setattr(model._encoder, "forward", spy)
    ask(model, *TEXTS * 7)
    assert len(seen) > 1
    assert max(seen) <= 41


def test_more_rows_than_are_tokenised_at_once_keep_their_order(
    classifier: tuple[Path, Model], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = ask(classifier[1], *TEXTS * 3)
    monkeypatch.setattr("worker.models.texts.encoder.WINDOW", 4)
    close(ask(classifier[1], *TEXTS * 3), whole)


def test_zero_shot_ranks_the_callers_labels(
    folder: Callable[..., Path], loaded: Callable[..., Model]
) -> None:
    path = folder("bert_inference")
    names, text = ["sports", "politics", "food"], "a movie about food"
    logits = torch.stack(
        [
            plain(path, tf.AutoModelForSequenceClassification, text, f"This example is {name}.")[
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


def squad(path: Path, question: str, context: str, longest: int = 15) -> tuple[str, float]:
    """The best span of words, searched the slow way; for a context of one window."""
    encoding, output = plain(path, tf.AutoModelForQuestionAnswering, question, context)
    words = encoding.sequence_ids(0)
    readable = [place for place, word in enumerate(words) if word == 1]
    starts, ends = output.start_logits[0], output.end_logits[0]
    among = [0, *readable]
    start_sum, end_sum = starts[among].logsumexp(0).item(), ends[among].logsumexp(0).item()
    best = (-1.0, 0, 0)
    for one in readable:
        for other in readable:
            if one <= other < one + longest:
                score = math.exp(starts[one].item() - start_sum + ends[other].item() - end_sum)
                best = max(best, (score, one, other))
    score, one, other = best
    first = encoding.word_to_chars(0, encoding.token_to_word(0, one), 1).start
    last = encoding.word_to_chars(0, encoding.token_to_word(0, other), 1).end
    return context[first:last], score


@pytest.mark.parametrize("question", ["where is anna ?", "who ?", "what lives in the park ?"])
def test_a_question_is_answered_by_the_best_span(
    question: str, folder: Callable[..., Path], loaded: Callable[..., Model]
) -> None:
    path, context = (
        folder("bert_reader"),
        "anna lives in london . bob visited paris , cats ran on the mat",
    )
    (answer,) = ask(loaded("question-answering", path), {"question": question, "context": context})
    text, score = squad(path, question, context)
    assert answer["answer"] == text == context[answer["start"] : answer["end"]]
    assert answer["score"] == pytest.approx(score, abs=1e-5)


def test_several_answers_are_a_list_best_first(
    folder: Callable[..., Path], loaded: Callable[..., Model]
) -> None:
    asked = {"question": "who ?", "context": "anna lives in london . bob visited paris"}
    model = loaded("question-answering", folder("bert_reader"))
    (several,) = ask(model, asked, top_k=3, max_answer_len=2)
    assert len(several) == 3
    assert [one["score"] for one in several] == sorted(
        (one["score"] for one in several), reverse=True
    )
    assert all(len(one["answer"].split()) <= 2 for one in several)
    assert len({(one["start"], one["end"]) for one in several}) == 3


def test_no_answer_is_an_answer_where_that_is_asked_for(
    folder: Callable[..., Path], loaded: Callable[..., Model]
) -> None:
    asked = {"question": "who ?", "context": "anna lives in london"}
    model = loaded("question-answering", folder("bert_reader"))
    (several,) = ask(model, asked, top_k=1000, handle_impossible_answer=True)
    assert sum(one["answer"] == "" for one in several) == 1


def test_a_long_context_is_read_to_its_end(
    folder: Callable[..., Path], loaded: Callable[..., Model], monkeypatch: pytest.MonkeyPatch
) -> None:
    model: Any = loaded("question-answering", folder("bert_reader"))
    context = "the cat sat on a mat . " * 40 + "anna lives in london"
    read: list[Any] = []
    forward = model._encoder.forward
    monkeypatch.setattr(model._encoder, "forward", lambda some: read.extend(some) or forward(some))
    (answer,) = ask(model, {"question": "who ?", "context": context})
    ends = max(offset[1] for window in read for offset in window.offsets)
    assert ends == len(context)
    assert answer["answer"] == context[answer["start"] : answer["end"]]


def test_logits_of_unreadable_tokens_do_not_matter() -> None:
    readable = np.array([False, False, True, True])
    found = _among(np.array([0.0, 5000.0, 1.0, 1.0], np.float32), readable, 0)
    close(found, [*(np.exp([-1.0, -np.inf, 0.0, 0.0]) / (2 + np.exp(-1.0)))])
