"""A gateway that asks for replicas which the ledger does not have: nothing is promised, and nothing is hidden."""

from collections.abc import Callable

import httpx
import pytest

from tests.support.gateway_thread import GatewayThread

CREATE = "/v1/models/local/echo/predictions"
MINE = "/v1/predictions/mine"


@pytest.fixture
def http(
    start_gateway: Callable[..., GatewayThread],
    client_of: Callable[[GatewayThread], httpx.Client],
) -> httpx.Client:
    return client_of(start_gateway(ledger_replicas=1))


def unknown(ask: Callable[[], httpx.Response]) -> httpx.Response:
    answer = ask()
    assert (answer.status_code, answer.json()["code"]) == (504, "outcome_unknown"), answer.text
    return answer


def test_a_create_that_no_replica_has_is_unknown_and_can_be_looked_at(http: httpx.Client) -> None:
    body = {"input": {"a": 1}}
    first = unknown(lambda: http.post(CREATE, json=body))
    waiting = unknown(lambda: http.post(CREATE, json=body, headers={"Prefer": "wait"}))
    found = [
        http.get(f"/v1/predictions/{answer.json()['prediction']}") for answer in (first, waiting)
    ]

    assert [(answer.status_code, answer.json()["status"]) for answer in found] == [
        (200, "starting"),
        (200, "starting"),
    ]


def test_a_repetition_and_a_cancel_are_unknown_too(http: httpx.Client) -> None:
    body = {"version": "local/echo", "input": {}}
    unknown(lambda: http.put(MINE, json=body))
    unknown(lambda: http.put(MINE, json=body))
    unknown(lambda: http.post(f"{MINE}/cancel"))

    assert http.get(MINE).json()["status"] == "canceled"
    assert len(http.get("/v1/predictions").json()["results"]) == 1
