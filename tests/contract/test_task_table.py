"""The table of tasks, and the examples in it."""

import jsonschema_rs
import pytest

from contract.examples import SENTENCE, example
from contract.tasks import TASKS

WITHOUT_EXAMPLE = {
    "fill-mask": "it needs the model's own mask",
    "automatic-speech-recognition": "it needs speech",
}


@pytest.mark.parametrize("task", sorted(TASKS))
def test_the_example_of_a_task_is_an_input_of_it(task: str) -> None:
    given = example(TASKS[task].input)
    assert (given is None) is (task in WITHOUT_EXAMPLE)
    if given is not None:
        jsonschema_rs.validate(TASKS[task].input, given)


@pytest.mark.parametrize("task", sorted(TASKS))
def test_a_parameter_is_served_or_refused_and_not_both(task: str) -> None:
    row = TASKS[task]
    assert not row.parameters.keys() & row.refused.keys()
    assert all(reason.strip() for reason in row.refused.values())


@pytest.mark.parametrize(
    ("schema", "made"),
    [
        ({}, None),
        ({"examples": [{"n": 1}, {"n": 2}], "required": ["n"]}, {"n": 1}),
        ({"examples": [1]}, None),
        ({"properties": {"a": {"type": "string"}}, "required": ["a"]}, {"a": SENTENCE}),
        ({"properties": {"a": {"type": "integer"}}, "required": ["a"]}, None),
    ],
)
def test_a_model_of_ones_own_is_tried_with_its_first_example_or_a_text(schema, made) -> None:
    assert example(schema) == made
