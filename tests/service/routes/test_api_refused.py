"""Parameters that Hugging Face's clients know and a task does not serve: refused by name, with the reason."""

from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from contract.catalog import Catalog, ModelSpec
from contract.examples import example
from contract.settings import Settings
from contract.tasks import TASKS
from contract.tasks.row import MAX_MEDIA
from tests.support.gateway_thread import GatewayThread

CASES = [(task.name, name) for task in TASKS.values() for name in task.refused]


@pytest.fixture
def gateway(settings: Settings) -> Iterator[GatewayThread]:
    specs = [ModelSpec(name=task, source="./any", task=task) for task in TASKS]
    with GatewayThread(settings, Catalog(specs)) as started:
        yield started


def test_a_parameter_that_is_not_served_is_refused_with_the_reason(http: httpx.Client) -> None:
    assert CASES
    for task, name in CASES:
        given = example(TASKS[task].input) or {"inputs": "aaaa"}
        body = {**given, "parameters": {**given.get("parameters", {}), name: 1}}
        answer = http.post(f"/v1/models/local/{task}/predictions", json={"input": body})
        problem = answer.json()
        assert (answer.status_code, problem["code"]) == (422, "invalid_input"), (task, name)
        assert problem["pointer"] == "/input/parameters"
        assert f"`{name}` is not served: {TASKS[task].refused[name]}" in problem["detail"]


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
    http: httpx.Client, inputs: Any, pointer: str, reason: str
) -> None:
    url = "/v1/models/local/image-classification/predictions"
    problem = http.post(url, json={"input": {"inputs": inputs}}).json()
    assert problem["pointer"] == pointer
    assert reason in problem["detail"]
    assert len(problem["detail"]) < 500


def test_a_template_without_a_place_for_the_label_is_told_what_one_is(http: httpx.Client) -> None:
    for task, inputs in (
        ("zero-shot-classification", "a"),
        ("zero-shot-image-classification", "AA"),
    ):
        parameters = {"candidate_labels": ["a"], "hypothesis_template": "no place"}
        body = {"input": {"inputs": inputs, "parameters": parameters}}
        problem = http.post(f"/v1/models/local/{task}/predictions", json=body).json()
        assert problem["pointer"] == "/input/parameters/hypothesis_template"
        assert (
            "'no place' does not fit: A sentence with `{}` where the label goes"
            in problem["detail"]
        )


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
    settings: Settings,
    client_of: Callable[[GatewayThread], httpx.Client],
    schema: dict[str, Any],
    reason: str,
) -> None:
    defined = {"a": {"pattern": "^a", "description": "begins with an a"}}
    inputs = {"type": "object", "properties": {"text": schema}, "$defs": defined}
    spec = ModelSpec(name="own", python="nowhere:Own", input_schema=inputs)
    with GatewayThread(settings, Catalog([spec])) as started:
        body = {"input": {"text": "b"}}
        answer = client_of(started).post("/v1/models/local/own/predictions", json=body)
    assert answer.status_code == 422
    assert reason in answer.json()["detail"]
    assert len(answer.json()["detail"]) < 500


def test_a_file_that_is_too_large_is_told_the_limit(
    settings: Settings, client_of: Callable[[GatewayThread], httpx.Client]
) -> None:
    spec = ModelSpec(name="vit", source="./any", task="image-classification")
    large = settings.model_copy(update={"body_limit_bytes": 2 * MAX_MEDIA})
    with GatewayThread(large, Catalog([spec])) as started:
        body = {"input": {"image": "A" * (MAX_MEDIA + 1)}}
        answer = client_of(started).post("/v1/models/local/vit/predictions", json=body)
    detail = answer.json()["detail"]
    assert f"is longer than {MAX_MEDIA} characters" in detail
    assert len(detail) < 500
