"""The OpenAPI document: every route is in it, and real answers fit its schemas."""

import re
from collections.abc import Iterator
from typing import Any

import httpx
import jsonschema_rs
import pytest
from fastapi.routing import APIRoute
from starlette.routing import Route

from service.routes import ROUTERS, predictions
from tests.support.fake_worker import FakeWorker
from tests.support.gateway_thread import GatewayThread

CREATE = "/v1/models/local/echo/predictions"


@pytest.fixture
def document(http: httpx.Client) -> dict[str, Any]:
    body: dict[str, Any] = http.get("/openapi.json").json()
    return body


def operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield path, method, operation


def test_every_route_is_in_the_document(document: dict[str, Any], gateway: GatewayThread) -> None:
    routes = [*predictions.fast_routes]
    for router in ROUTERS:
        routes += [r for r in router.routes if not isinstance(r, APIRoute) or r.include_in_schema]
    served = {
        (route.path, method.lower())
        for route in routes
        if isinstance(route, Route)
        for method in (route.methods or set()) - {"HEAD"}
    }
    assert {(path, method) for path, method, _ in operations(document)} == served


def test_the_document_is_well_formed(document: dict[str, Any]) -> None:
    assert document["openapi"].startswith("3.1")
    assert document["info"]["title"] == "Soloist"
    for path, method, operation in operations(document):
        named = set(re.findall(r"{(\w+)}", path))
        declared = {p["name"] for p in operation.get("parameters", []) if p["in"] == "path"}
        assert declared == named, (path, method)
        assert operation["responses"], (path, method)
        assert all(re.fullmatch(r"\d{3}", status) for status in operation["responses"])
        for schema in schemas(operation):
            jsonschema_rs.meta.validate(schema)
            assert jsonschema_rs.validator_for({**schema, "components": document["components"]})
    ids = [op["operationId"] for *_, op in operations(document) if "operationId" in op]
    assert len(ids) == len(set(ids))


def test_operations_keep_their_names(document: dict[str, Any]) -> None:
    """Generated clients have a method for each. FastAPI derives them from the names of our functions."""
    ids = {op["operationId"] for *_, op in operations(document) if "operationId" in op}
    assert ids == {
        "cancel_prediction_v1_predictions__id__cancel_post",
        "erase_prediction_v1_predictions__id__delete",
        "get_account_v1_account_get",
        "get_model_v1_models__owner___name__get",
        "get_prediction_v1_predictions__id__get",
        "get_status_v1_status_get",
        "get_version_v1_models__owner___name__versions__version__get",
        "list_models_v1_models_get",
        "list_predictions_v1_predictions_get",
        "list_versions_v1_models__owner___name__versions_get",
        "stream_prediction_v1_predictions__id__stream_get",
    }


def schemas(operation: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for part in [*operation["responses"].values(), operation.get("requestBody", {})]:
        for content in part.get("content", {}).values():
            yield content.get("schema", {})
    yield from (parameter["schema"] for parameter in operation.get("parameters", []))


def schema_of(document: dict[str, Any], path: str, method: str, answer: httpx.Response) -> Any:
    content = document["paths"][path][method]["responses"][str(answer.status_code)]["content"]
    kind = answer.headers["content-type"].partition(";")[0]
    return {**content[kind]["schema"], "components": document["components"]}


def test_real_answers_fit_their_schemas(
    http: httpx.Client, document: dict[str, Any], worker: FakeWorker
) -> None:
    by_model = "/v1/models/{owner}/{name}/predictions"
    one, many = "/v1/predictions/{id}", "/v1/predictions"
    keyed = {"idempotency-key": "k"}
    seen = [(by_model, "post", http.post(CREATE, json={"input": {}}, headers=keyed))]
    url = seen[0][2].json()["urls"]["get"]
    seen.append((by_model, "post", http.post(CREATE, json={"input": {}}, headers=keyed)))
    seen.append((by_model, "post", http.post(CREATE, json={"input": {"n": 1}}, headers=keyed)))
    seen.append(
        (
            by_model,
            "post",
            http.post(CREATE, content=b"{", headers={"content-type": "application/json"}),
        )
    )
    seen.append((by_model, "post", http.post(CREATE, json={"input": 1})))
    seen.append((by_model, "post", http.post(CREATE, content=b"")))
    seen.append((by_model, "post", http.post(CREATE.replace("echo", "x"), json={"input": {}})))
    seen.append((many, "post", http.post(many, json={"version": "local/echo", "input": {}})))
    seen.append((one, "put", http.put(f"{many}/a", json={"version": "local/echo", "input": {}})))
    seen.append((one, "get", http.get(url)))
    claimed = worker.take()
    worker.say(claimed, progress=0.5)
    seen.append((one, "get", http.get(url)))
    worker.succeed(claimed, [1, {"a": None}])
    seen.append((one, "get", http.get(url)))
    worker.fail(worker.take())
    seen.append((f"{one}/cancel", "post", http.post(f"{url}/cancel")))
    seen.append((one, "get", http.get(f"{many}/nobody")))
    seen.append((many, "get", http.get(many)))
    seen.append((many, "get", http.get(many, params={"status": "queued"})))
    model = "/v1/models/{owner}/{name}"
    seen.append((model, "get", http.get("/v1/models/local/echo")))
    seen.append((f"{model}/versions", "get", http.get("/v1/models/local/echo/versions")))
    for path in ("/v1/models", "/v1/status", "/v1/account"):
        seen.append((path, "get", http.get(path)))
    assert {answer.status_code for *_, answer in seen} == {200, 201, 400, 404, 409, 415, 422}
    for path, method, answer in seen:
        jsonschema_rs.validate(schema_of(document, path, method, answer), answer.json())


def test_the_request_schema_accepts_what_the_gateway_accepts_and_no_more(
    http: httpx.Client, document: dict[str, Any]
) -> None:
    operation = document["paths"]["/v1/predictions"]["post"]
    schema = operation["requestBody"]["content"]["application/json"]["schema"]
    schema["components"] = document["components"]
    bodies: list[tuple[Any, bool]] = [
        ({"version": "local/echo", "input": {}}, True),
        ({"version": "local/echo", "input": {}, "priority": "low", "stream": True}, True),
        ({"version": "local/echo"}, False),
        ({"version": "local/echo", "input": {}, "more": 1}, False),
        ({"version": "local/echo", "input": {}, "priority": "urgent"}, False),
        ({"input": {}}, False),
    ]
    for body, accepted in bodies:
        assert jsonschema_rs.is_valid(schema, body) is accepted
        assert (http.post("/v1/predictions", json=body).status_code == 201) is accepted
