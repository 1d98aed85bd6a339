"""The caller's labels in a template."""

from typing import Any

import pytest

from contract.errors import BadItem
from worker.models.texts.hypotheses import fill_hypotheses


def filled(template: str | None, *labels: str) -> list[str]:
    parameters: dict[str, Any] = {"candidate_labels": list(labels)}
    if template is not None:
        parameters["hypothesis_template"] = template
    return fill_hypotheses(parameters, "It is {}.")


def test_each_label_stands_in_the_template() -> None:
    assert filled("About {}!", "food", "{}") == ["About food!", "About {}!"]
    assert filled("{0}, {0} and {{}}", "a") == ["a, a and {}"]


def test_without_a_template_the_usual_one_is_taken() -> None:
    assert filled(None, "food") == ["It is food."]


@pytest.mark.parametrize("template", ["none", "{label}", "{:>999999999}", "{0.real}", "{", "{1}"])
def test_a_template_that_cannot_be_filled_is_refused_by_name(template: str) -> None:
    with pytest.raises(BadItem, match="`hypothesis_template`"):
        filled(template, "a")
