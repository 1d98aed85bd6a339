"""The gateway as the commands reach it: what is away, what refuses and what is no gateway is one sentence each."""

import pytest
from fake_gateway import FakeGateway


def test_no_gateway_is_one_sentence(soloist, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOLOIST_PORT", "1")
    result = soloist("predict", "minilm", "x")
    assert result.code == 1
    assert result.err == (
        "soloist: no gateway answers at http://127.0.0.1:1; "
        "start one with `soloist up`, or name it with --url\n"
    )


def test_something_else_at_the_address_is_one_sentence(gateway: FakeGateway, soloist) -> None:
    gateway.respond = lambda request: (200, "<html>", {})
    result = soloist("predict", "minilm", "x")
    assert result.err == f"soloist: what answers at {gateway.url} is not a Soloist gateway\n"


def test_an_id_cannot_reach_another_path(gateway: FakeGateway, soloist) -> None:
    soloist("status", "../models?x=#y")
    assert gateway.requests[0].path == "/v1/predictions/..%2Fmodels%3Fx%3D%23y"


def test_an_error_without_detail_names_address_and_status(gateway: FakeGateway, soloist) -> None:
    gateway.respond = lambda request: (502, "<html>Bad gateway</html>", {})
    assert soloist("status").err == f"soloist: {gateway.url}/v1/models answered 502 Bad Gateway\n"
