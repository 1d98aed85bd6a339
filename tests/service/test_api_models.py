"""Models, versions, the account, probes, metrics, and the OpenAPI document."""

import asyncio
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import jsonschema_rs
import pytest
from fastapi.routing import APIRoute
from prometheus_client.parser import text_string_to_metric_families
from starlette.routing import Route

from contract.catalog import Catalog
from service.routes import ROUTERS, predictions
from tests.support.fake_worker import FakeWorker
from tests.support.gateway_thread import GatewayThread

CREATE = "/v1/models/local/echo/predictions"


def metric(http: httpx.Client, name: str, **labels: str) -> float:
    """One number of /metrics; 0 where there is none yet."""
    text = http.get("/metrics").text
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            if sample.name == name and labels.items() <= sample.labels.items():
                return sample.value
    return 0.0


def test_the_list_of_models_reads_for_both_kinds_of_client(
    http: httpx.Client, catalog: Catalog
) -> None:
    body = http.get("/v1/models").json()
    assert (body["object"], body["previous"], body["next"]) == ("list", None, None)
    assert body["data"] == body["results"]
    assert [model["id"] for model in body["data"]] == [spec.id for spec in catalog.values()]
    for model in body["data"]:
        assert model["object"] == "model"
        assert isinstance(model["created"], int)
        assert model["owned_by"] == model["owner"] == model["id"].split("/")[0]
        assert model == http.get(model["url"]).json()


def test_a_model_shows_its_schemas_and_its_queue(
    http: httpx.Client, catalog: Catalog, worker: FakeWorker
) -> None:
    spec = catalog["sentiment"]
    http.post("/v1/models/acme/sentiment/predictions", json={"input": {"text": "a"}})
    assert http.get("/v1/models/acme/sentiment").json()["state"] == "cold"
    worker.announce("sentiment")
    model = http.get("/v1/models/acme/sentiment").json()
    assert (model["owner"], model["name"]) == ("acme", "sentiment")
    assert model["description"] == "What people feel"
    assert model["visibility"] in ("public", "private")
    schemas = model["latest_version"]["openapi_schema"]["components"]["schemas"]
    assert schemas == {"Input": spec.inputs, "Output": spec.outputs}
    assert jsonschema_rs.is_valid(schemas["Input"], {"text": "a"})
    assert (model["queue"]["queued"], model["queue"]["running"], model["queue"]["busy"]) == (
        1,
        0,
        0,
    )
    assert model["queue"]["oldest_seconds"] >= 0
    assert (model["state"], len(model["workers"])) == ("ready", 1)
    assert model["workers"][0]["model_version"] == model["latest_version"]["id"]
    assert model["example"] == {"text": "Win a free cruise, reply now!"}


def test_a_model_has_the_version_that_is_served(
    http: httpx.Client, catalog: Catalog, worker: FakeWorker
) -> None:
    spec = catalog["sentiment"]
    url = "/v1/models/acme/sentiment"
    worker.announce("sentiment")
    page = http.get(f"{url}/versions").json()
    (version,) = page["results"]
    assert (page["previous"], page["next"]) == (None, None)
    assert re.fullmatch("[0-9a-f]{64}", version["id"])
    assert version["id"] == worker.version("sentiment") == spec.entry + worker.content
    assert version == http.get(f"{url}/versions/{version['id']}").json()
    assert version == http.get(url).json()["latest_version"]


def test_the_account_has_what_the_clients_read(http: httpx.Client) -> None:
    account = http.get("/v1/account").json()
    assert set(account) == {"type", "username", "name", "github_url"}
    assert account["type"] in ("user", "organization")
    assert all(isinstance(value, str) for value in account.values())


def test_the_probes_answer(http: httpx.Client) -> None:
    assert http.get("/livez").json() == {"alive": True}
    ready = http.get("/readyz")
    assert (ready.status_code, ready.json()) == (200, {"state": "ready"})


def test_metrics_count_what_happens(http: httpx.Client, worker: FakeWorker) -> None:
    posts = {"method": "POST", "route": "/v1/models/{owner}/{name}/predictions", "status": "201"}
    gets = {"method": "GET", "route": "/v1/predictions/{id}", "status": "404"}
    conflicts = {"reason": "prediction_not_found"}

    def numbers() -> list[float]:
        return [
            metric(http, "soloist_http_requests_total", **posts),
            metric(http, "soloist_http_requests_total", **gets),
            metric(http, "soloist_predictions_submitted_total", model="echo"),
            metric(http, "soloist_predictions_rejected_total", **conflicts),
            metric(http, "soloist_prediction_seconds_count", model="echo", cold="true"),
            metric(http, "soloist_predictions_created_at_once_count"),
            metric(http, "soloist_ledger_seconds_count"),
            metric(http, "soloist_http_request_seconds_count", route=gets["route"]),
        ]

    before = numbers()
    with ThreadPoolExecutor(1) as thread:
        headers = {"prefer": "wait=30"}
        asked = thread.submit(http.post, CREATE, json={"input": {}}, headers=headers)
        worker.serve_one()
        asked.result(10)
    http.get("/v1/predictions/nobody")
    assert [now - then for now, then in zip(numbers(), before, strict=True)] == [1.0] * 8
    assert metric(http, "soloist_ledger_up") == 1
    assert metric(http, "soloist_http_requests_in_progress") == 0


def test_a_metric_never_has_an_id_or_an_address_of_a_client_as_label(http: httpx.Client) -> None:
    id = http.post(CREATE, json={"input": {}}).json()["id"]
    http.get(f"/v1/predictions/{id}")
    http.get("/some/where/unheard-of")
    text = http.get("/metrics").text
    assert id not in text
    assert "unheard-of" not in text


def test_an_idle_gateway_answers_many_submissions_with_few_calls_to_the_ledger(
    gateway: GatewayThread, http: httpx.Client, worker: FakeWorker
) -> None:
    """What comes in one turn of the event loop goes out in one call."""
    calls = metric(http, "soloist_predictions_created_at_once_count")
    created = metric(http, "soloist_predictions_created_at_once_sum")

    async def ask() -> list[int]:
        transport = httpx.ASGITransport(gateway.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            answers = await asyncio.gather(
                *(client.post(CREATE, json={"input": {"n": n}}) for n in range(100))
            )
        return [answer.status_code for answer in answers]

    assert gateway.run(ask()) == [201] * 100
    assert metric(http, "soloist_predictions_created_at_once_sum") - created == 100
    assert metric(http, "soloist_predictions_created_at_once_count") - calls <= 10
    taken = [one.id for _ in range(13) for one in worker.claim()]
    assert len(set(taken)) == 100


# --- the OpenAPI document -------------------------------------------------------------------------


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


def test_the_documentation_page_is_there(http: httpx.Client) -> None:
    answer = http.get("/docs")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/html")
    for name in ("docs.js", "swagger-ui-bundle.js", "swagger-ui.css"):
        assert f'"page/{name}"' in answer.text
        assert http.get(f"/page/{name}").status_code == 200
    assert http.get("/redoc").status_code == 404


def test_nothing_of_the_documentation_page_comes_from_elsewhere(http: httpx.Client) -> None:
    answer = http.get("/docs")
    assert "//" not in answer.text
    rules = dict(
        part.strip().split(" ", 1) for part in answer.headers["content-security-policy"].split(";")
    )
    assert rules["default-src"] == "'none'"
    assert rules["script-src"] == rules["style-src"] == rules["connect-src"] == "'self'"
