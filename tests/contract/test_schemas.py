"""The schemas of the built-in tasks, and the examples in them."""

import jsonschema_rs
import pytest

from contract.schemas import EXAMPLES, SENTENCE, TASKS, example


@pytest.mark.parametrize("task", sorted(TASKS))
def test_the_example_of_a_task_is_an_input_of_it(task: str) -> None:
    given = example(TASKS[task].input)
    assert (given is None) is (task in ("fill-mask", "automatic-speech-recognition"))
    if given is not None:
        jsonschema_rs.validate(TASKS[task].input, given)


def test_every_example_belongs_to_a_task() -> None:
    assert EXAMPLES.keys() <= TASKS.keys()


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
