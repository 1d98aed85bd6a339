"""Parameters that Hugging Face's clients know and a task does not serve: refused by name, with the reason."""

from collections.abc import Callable, Iterator

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
