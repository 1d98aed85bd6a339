"""From logits to labels with scores."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from contract.errors import OutputInvalid
from worker.models.passes.label_scores import LabelScores

pytestmark = pytest.mark.slow

LOGITS = [[0.0, 2.0, -1.0]]


def config(labels: int = 3, problem: str | None = None) -> Any:
    names = {0: "bad", 1: "good"}
    return SimpleNamespace(num_labels=labels, id2label=names, problem_type=problem)


def scores(logits: list[list[float]], found: Any, *parameters: dict[str, Any]) -> list[Any]:
    return LabelScores(found).from_logits(
        torch.tensor(logits), list(parameters or [{}] * len(logits))
    )


@pytest.mark.parametrize(
    ("labels", "problem", "function"),
    [
        (3, None, "softmax"),
        (3, "single_label_classification", "softmax"),
        (3, "multi_label_classification", "sigmoid"),
        (1, None, "sigmoid"),
        (1, "regression", "none"),
    ],
)
def test_the_configuration_says_what_makes_scores_of_logits(
    labels: int, problem: str | None, function: str
) -> None:
    assert LabelScores(config(labels, problem)).function == function


def test_labels_come_best_first_and_a_label_without_a_name_by_its_number() -> None:
    (answer,) = scores(LOGITS, config())
    assert [one["label"] for one in answer] == ["good", "bad", "LABEL_2"]
    assert sum(one["score"] for one in answer) == pytest.approx(1)


def test_each_row_has_its_own_function_and_number_of_labels() -> None:
    asked = [{"function_to_apply": "none", "top_k": 1}, {"function_to_apply": "sigmoid"}]
    first, second = scores(LOGITS * 2, config(), *asked)
    assert first == [{"label": "good", "score": 2.0}]
    assert [one["score"] for one in second][1] == pytest.approx(0.5)


def test_a_row_that_is_not_numbers_is_an_error_and_its_neighbour_is_not() -> None:
    lost, kept = scores([[float("nan"), 0.0, 0.0], *LOGITS], config())
    assert isinstance(lost, OutputInvalid)
    assert kept[0]["label"] == "good"
