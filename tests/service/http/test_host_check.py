"""A web page that points a name of its own at the gateway or the keeper reads nothing."""

from collections.abc import Callable

import httpx
import pytest
from starlette.testclient import TestClient

from contract.catalog import Catalog
from contract.settings import Settings
from service.keeper.app import create_keeper
from tests.support.gateway_thread import GatewayThread

ROUTES = (
    "/",
    "/docs",
    "/v1/status",
    "/v1/models",
    "/v1/predictions",
    "/livez",
    "/readyz",
    "/metrics",
)
StartGateway = Callable[..., GatewayThread]
MakeClient = Callable[[GatewayThread], httpx.Client]
EVIL = {"host": "evil.example"}


@pytest.mark.parametrize("path", ROUTES)
def test_every_route_of_the_gateway_refuses_a_strange_name(http: httpx.Client, path: str) -> None:
    answer = http.get(path, headers=EVIL)
    assert answer.status_code == 421
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["code"] == "misdirected_request"
    assert "SOLOIST_ALLOWED_HOSTS" in answer.json()["detail"]


def test_a_create_under_a_strange_name_is_not_recorded(http: httpx.Client) -> None:
    path = "/v1/models/local/echo/predictions"
    assert http.post(path, json={"input": {}}, headers=EVIL).status_code == 421
    assert http.get("/v1/predictions").json()["results"] == []


def test_names_of_the_settings_are_answered(
    start_gateway: StartGateway, client_of: MakeClient
) -> None:
    http = client_of(start_gateway(allowed_hosts="api.example.org"))
    named = {"host": "api.example.org"}
    assert http.get("/livez", headers=named).status_code == 200
    assert http.get("/livez", headers=EVIL).status_code == 421


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/metrics"])
def test_the_keeper_refuses_a_strange_name(settings: Settings, catalog: Catalog, path: str) -> None:
    with TestClient(create_keeper(settings, catalog), base_url="http://localhost") as http:
        assert http.get(path, headers=EVIL).status_code == 421
        assert http.get(path).status_code in (200, 503)
