"""One line, one count and one span for every request, and an answer to what nobody caught."""

import logging
from typing import Any

import httpx
import pytest
from prometheus_client import REGISTRY
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from service.http.access_log import AccessLog

TRACE = f"00-{'a' * 32}-{'b' * 16}-01"
SEEN: list[float | None] = []


async def predict(request: Request) -> Response:
    request.scope["route"] = Route("/predict", predict)
    request.state.prediction, request.state.model = "p1", "echo"
    SEEN.append(REGISTRY.get_sample_value("soloist_http_requests_in_progress"))
    return PlainTextResponse("done", 201)


async def fail(request: Request) -> Response:
    raise ValueError("a secret")


async def break_off(request: Request) -> Response:
    async def pieces() -> Any:
        yield "a"
        raise ValueError("a secret")

    return StreamingResponse(pieces())


@pytest.fixture
def http(caplog: pytest.LogCaptureFixture) -> httpx.Client:
    caplog.set_level(logging.INFO, "service.http.access_log")
    routes = [
        Route("/predict", predict, methods=["POST"]),
        Route("/fail", fail, methods=["GET", "POST"]),
        Route("/break-off", break_off),
        Route("/livez", predict),
    ]
    return TestClient(Starlette(routes=routes, middleware=[Middleware(AccessLog)]))


def counted(method: str, route: str, status: int) -> float:
    labels = {"method": method, "route": route, "status": str(status)}
    return REGISTRY.get_sample_value("soloist_http_requests_total", labels) or 0.0


def lines(caplog: pytest.LogCaptureFixture) -> list[dict[str, Any]]:
    return [vars(record) for record in caplog.records if record.message == "request"]


def test_a_request_has_one_line_with_its_prediction_model_and_trace(
    http: httpx.Client, caplog: pytest.LogCaptureFixture
) -> None:
    before = counted("POST", "/predict", 201)
    http.post("/predict", headers={"traceparent": TRACE})
    (line,) = lines(caplog)
    told = {name: line[name] for name in ("method", "path", "status", "prediction", "model")}
    assert told == {
        "method": "POST",
        "path": "/predict",
        "status": 201,
        "prediction": "p1",
        "model": "echo",
    }
    assert line["trace_id"] == "a" * 32
    assert line["seconds"] >= 0
    assert counted("POST", "/predict", 201) - before == 1


def test_what_is_under_way_is_counted_until_it_is_answered(http: httpx.Client) -> None:
    SEEN.clear()
    http.post("/predict")
    assert SEEN == [1.0]
    assert REGISTRY.get_sample_value("soloist_http_requests_in_progress") == 0


def test_a_probe_is_neither_logged_nor_counted(
    http: httpx.Client, caplog: pytest.LogCaptureFixture
) -> None:
    before = counted("GET", "/predict", 201)
    assert http.get("/livez").status_code == 201
    assert (lines(caplog), counted("GET", "/predict", 201)) == ([], before)


@pytest.mark.parametrize(("method", "again"), [("POST", "false"), ("GET", None)])
def test_what_nobody_caught_is_a_500_without_a_word_of_it(
    http: httpx.Client, caplog: pytest.LogCaptureFixture, method: str, again: str | None
) -> None:
    answer = http.request(method, "/fail")
    assert (answer.status_code, answer.json()["code"]) == (500, "internal_error")
    assert answer.json()["instance"] == "/fail"
    assert answer.headers.get("x-should-retry") == again
    assert "secret" not in answer.text
    assert [line["status"] for line in lines(caplog)] == [500]
    assert [r.levelname for r in caplog.records if r.message == "unexpected"] == ["ERROR"]


def test_an_answer_that_had_begun_is_broken_off_and_logged_as_it_began(
    http: httpx.Client, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(ValueError, match="secret"):
        http.get("/break-off")
    assert [line["status"] for line in lines(caplog)] == [200]
