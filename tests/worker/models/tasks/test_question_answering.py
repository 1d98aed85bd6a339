"""Answers in a context, against plain transformers, one question at a time."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import transformers as tf

from tests.worker.models.answers import ask, close, computed
from worker.models import Model
from worker.models.tasks.question_answering import _among

pytestmark = pytest.mark.slow


def squad(path: Path, question: str, context: str, longest: int = 15) -> tuple[str, float]:
    """The best span of words, searched the slow way; for a context of one window."""
    encoding, output = computed(path, tf.AutoModelForQuestionAnswering, question, context)
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
