"""An input that does not fit its model's schema is refused with the place and the reason, in a short sentence."""

from typing import Any

import pytest

from contract.catalog import ModelSpec
from contract.errors import InvalidInput
from contract.examples import example
from contract.input_schema import InputSchema
from contract.json_pointer import MAX_POINTER, json_pointer
from contract.tasks import TASKS

MOST_CHARACTERS = 500


def refusal(spec: ModelSpec, value: dict[str, Any]) -> InvalidInput:
    with pytest.raises(InvalidInput) as caught:
        InputSchema(spec).check(value)
    assert len(caught.value.detail) < MOST_CHARACTERS
    assert caught.value.detail.endswith(f"; the schema is at /v1/models/{spec.id}")
    return caught.value


def own(schema: dict[str, Any]) -> ModelSpec:
    return ModelSpec(name="own", python="nowhere:Own", input_schema=schema)


def of_task(task: str) -> ModelSpec:
    return ModelSpec(name="m", source="./any", task=task)


def test_what_fits_passes_silently() -> None:
    for task in TASKS.values():
        if given := example(task.input):
            InputSchema(of_task(task.name)).check(given)
    InputSchema(ModelSpec(name="own", python="nowhere:Own")).check({"whatever": [1]})


def test_an_input_that_is_no_object_fits_no_model() -> None:
    InputSchema(own({})).check({})
    with pytest.raises(InvalidInput, match=r"^input: "):
        InputSchema(own({})).check(["a list"])  # type: ignore[arg-type]


def test_a_parameter_that_is_not_served_is_named_with_the_reason() -> None:
    cases = [(task.name, name) for task in TASKS.values() for name in task.refused]
    assert cases
    for task, name in cases:
        given = example(TASKS[task].input) or {"inputs": "aaaa"}
        value = {**given, "parameters": {**given.get("parameters", {}), name: 1}}
        found = refusal(of_task(task), value)
        assert found.pointer == "/input/parameters", (task, name)
        assert f"`{name}` is not served: {TASKS[task].refused[name]}" in found.detail


@pytest.mark.parametrize(
    ("inputs", "pointer", "reason"),
    [
        ("https://example.com/cat.png", "/input/inputs", "paths are not opened; the schema is"),
        (["AAAA", "/a cat.png"], "/input/inputs/1", "'/a cat.png' does not fit: The file's bytes"),
        ("A" * 5000 + "!" + "A" * 5000, "/input/inputs", "AAA...' does not fit: The file's bytes"),
        ([], "/input/inputs", "has less than 1 item"),
    ],
)
def test_an_image_that_does_not_fit_is_told_why_and_not_that_it_is_neither_one_nor_a_list(
    inputs: Any, pointer: str, reason: str
) -> None:
    found = refusal(of_task("image-classification"), {"inputs": inputs})
    assert found.pointer == pointer
    assert reason in found.detail


def test_a_template_without_a_place_for_the_label_is_told_what_one_is() -> None:
    for task, inputs in (
        ("zero-shot-classification", "a"),
        ("zero-shot-image-classification", "AA"),
    ):
        parameters = {"candidate_labels": ["a"], "hypothesis_template": "no place"}
        found = refusal(of_task(task), {"inputs": inputs, "parameters": parameters})
        assert found.pointer == "/input/parameters/hypothesis_template"
        assert "'no place' does not fit: A sentence with `{}` where the label goes" in found.detail


@pytest.mark.parametrize(
    ("schema", "reason"),
    [
        (
            {"pattern": "^a", "description": "begins with an a."},
            "'b' does not fit: begins with an a;",
        ),
        ({"pattern": "^a", "description": "x" * 5000}, "does not fit: xxx"),
        ({"pattern": "^a"}, "does not match"),
        ({"$ref": "#/$defs/a"}, "'b' does not fit: begins with an a;"),
        ({"maxLength": 0, "description": "begins with an a"}, "is longer than 0"),
    ],
)
def test_a_schema_of_the_catalogs_is_told_in_its_own_words(
    schema: dict[str, Any], reason: str
) -> None:
    defined = {"a": {"pattern": "^a", "description": "begins with an a"}}
    spec = own({"type": "object", "properties": {"text": schema}, "$defs": defined})
    assert reason in refusal(spec, {"text": "b"}).detail


def test_a_value_of_megabytes_is_not_thrown_back() -> None:
    spec = own({"type": "object", "properties": {"n": {"type": "integer"}}})
    found = refusal(spec, {"n": "x" * 1_000_000})
    assert 'is not of type "integer"' in found.detail


@pytest.mark.parametrize(
    ("steps", "pointer"),
    [
        ([], ""),
        (["input", 0, "a"], "/input/0/a"),
        (["a/b", "c~d", "~/"], "/a~1b/c~0d/~0~1"),
        (["a", "k" * (MAX_POINTER + 1), "b"], "/a"),
        (["k" * (MAX_POINTER - 1)], "/" + "k" * (MAX_POINTER - 1)),
    ],
)
def test_a_pointer_is_as_rfc_6901_says_and_cut_between_its_steps(
    steps: list[str | int], pointer: str
) -> None:
    assert json_pointer(steps) == pointer
