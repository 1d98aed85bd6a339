"""Requests to the fast routes never reach the application; all others do."""

import httpx
import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.testclient import TestClient

from contract.errors import InvalidRequest, SoloistError
from service.http.fast_routes import FastRoutes


async def fast(request: Request) -> Response:
    if request.path_params["name"] == "bad":
        raise InvalidRequest("bad")
    return PlainTextResponse(f"{request.path_params['name']} {request.scope['route'].path}")


async def slow(request: Request) -> Response:
    return PlainTextResponse("slow")


def answer_error(request: Request, error: SoloistError) -> Response:
    return PlainTextResponse(error.detail, 418)


@pytest.fixture
def http() -> httpx.Client:
    routes = [Route("/fast/{name}", fast, methods=["POST"])]
    middleware = [Middleware(FastRoutes, routes=routes, answer_error=answer_error)]
    everything = Route("/{rest:path}", slow, methods=["GET", "POST", "PUT"])
    return TestClient(Starlette(routes=[everything], middleware=middleware))


def test_a_fast_route_is_answered_and_names_its_route(http: httpx.Client) -> None:
    assert http.post("/fast/one").text == "one /fast/{name}"


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/fast/one"), ("PUT", "/fast/one"), ("POST", "/fast"), ("POST", "/fast/one/two")],
)
def test_all_else_goes_on(http: httpx.Client, method: str, path: str) -> None:
    assert http.request(method, path).text == "slow"


def test_an_error_of_ours_is_answered_as_the_application_would(http: httpx.Client) -> None:
    answer = http.post("/fast/bad")
    assert (answer.status_code, answer.text) == (418, "bad")
