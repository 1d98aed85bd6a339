"""What the gateway exports: cold and warm waits, errors of the ledger, messages, models."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
import redis
from prometheus_client import REGISTRY
from pydantic import SecretStr

from contract.catalog import Catalog
from contract.ledger.client import Ledger
from contract.ledger.transitions import register
from contract.ledger.workers import Worker
from local.processes import free_port
from local.redis import EmbeddedRedis
from tests.support.fake_worker import FakeWorker
from tests.support.waiting import until

CREATE = "/v1/models/local/echo/predictions"
WAIT = {"prefer": "wait=30"}


def metric(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(f"soloist_{name}", labels) or 0.0


def waited(cold: str) -> float:
    return metric("prediction_seconds_count", model="echo", cold=cold)


def answered(http: httpx.Client, worker: FakeWorker) -> None:
    """One prediction, from its request to its outcome."""
    with ThreadPoolExecutor(1) as thread:
        asked = thread.submit(http.post, CREATE, json={"input": {}}, headers=WAIT)
        worker.serve_one()
        assert asked.result(10).json()["status"] == "succeeded"


@pytest.mark.parametrize(
    ("state", "cold"),
    [(None, "true"), ("starting", "true"), ("draining", "true"), ("ready", "false")],
)
def test_a_wait_is_cold_where_no_worker_was_ready(
    http: httpx.Client, worker: FakeWorker, ledger: Ledger, state: str | None, cold: str
) -> None:
    if state:
        ledger.run(register("echo", Worker("w1", state)))
    before = {word: waited(word) for word in ("true", "false")}
    answered(http, worker)
    assert {word: waited(word) - before[word] for word in before} == {
        "true": float(cold == "true"),
        "false": float(cold == "false"),
    }


def test_a_worker_with_a_batch_is_ready_too(
    http: httpx.Client, worker: FakeWorker, ledger: Ledger
) -> None:
    other = FakeWorker(ledger, worker.catalog, "other")
    http.post(CREATE, json={"input": {}})
    assert other.claim()
    before = waited("false")
    answered(http, worker)
    assert waited("false") - before == 1


def test_errors_of_the_ledger_are_counted_by_code(
    start_gateway: Callable[..., Any], client_of: Callable[..., httpx.Client]
) -> None:
    nowhere = SecretStr(f"redis://127.0.0.1:{free_port()}/0")
    http = client_of(start_gateway(redis_url=nowhere, broker_url=nowhere))
    before = metric("ledger_errors_total", reason="ledger_unavailable")
    assert http.post(CREATE, json={"input": {}}).status_code == 503
    assert metric("ledger_errors_total", reason="ledger_unavailable") - before == 1
    assert metric("ledger_up") == 0
    assert http.get("/v1/predictions/nobody").status_code == 503
    assert metric("ledger_errors_total", reason="ledger_unavailable") - before == 2


def test_a_full_ledger_is_an_error_and_an_answer(
    start_gateway: Callable[..., Any], client_of: Callable[..., httpx.Client], tmp_path: Path
) -> None:
    before = metric("ledger_errors_total", reason="ledger_full")
    with EmbeddedRedis(tmp_path / "redis", appendfsync="no") as own:
        http = client_of(start_gateway(redis_url=SecretStr(own.url)))
        with redis.Redis.from_url(own.url) as client:
            client.config_set("maxmemory", 1)
        assert http.post(CREATE, json={"input": {}}).status_code == 503
        assert metric("ledger_errors_total", reason="ledger_full") - before == 1
        assert metric("ledger_up") == 1


def test_messages_are_counted_by_what_became_of_them(
    start_gateway: Callable[..., Any], client_of: Callable[..., httpx.Client]
) -> None:
    def published(*outcomes: str) -> float:
        return sum(metric("broker_publishes_total", outcome=outcome) for outcome in outcomes)

    sent, lost = published("ok"), published("failed", "dropped")
    client_of(start_gateway()).post(CREATE, json={"input": {}})
    until("it is sent", lambda: published("ok") == sent + 1)
    assert metric("broker_up") == 1
    nowhere = SecretStr(f"redis://127.0.0.1:{free_port()}/0")
    away = client_of(start_gateway(broker_url=nowhere, broker_timeout_seconds=0.2))
    away.post("/v1/models/local/small/predictions", json={"input": {}})
    until("it is not", lambda: published("failed", "dropped") == lost + 1)
    assert metric("broker_up") == 0


def test_what_has_not_happened_yet_is_0_and_not_absent(http: httpx.Client) -> None:
    text = http.get("/metrics").text
    for outcome in ("ok", "failed", "dropped"):
        assert f'soloist_broker_publishes_total{{outcome="{outcome}"}}' in text
    for reason in ("ledger_unavailable", "ledger_full"):
        assert f'soloist_ledger_errors_total{{reason="{reason}"}}' in text
    for cold in ("true", "false"):
        assert f'soloist_prediction_seconds_count{{cold="{cold}",model="strict"}}' in text


def test_every_model_is_named_with_its_public_id(http: httpx.Client, catalog: Catalog) -> None:
    for name, task in (("echo", "python"), ("sentiment", "text-classification")):
        spec = catalog[name]
        labels = {"model": name, "id": spec.id, "task": task, "version": spec.entry}
        assert metric("model_info", **labels) == 1


def test_a_request_that_is_repeated_submits_nothing_new(http: httpx.Client) -> None:
    before = metric("predictions_submitted_total", model="echo")
    for _ in range(2):
        http.post(CREATE, json={"input": {}}, headers={"idempotency-key": "one"})
    assert metric("predictions_submitted_total", model="echo") - before == 1


def test_a_method_that_nobody_knows_is_no_label(http: httpx.Client) -> None:
    http.request("PROPFIND", "/v1/models")
    text = http.get("/metrics").text
    assert "PROPFIND" not in text
    assert 'method="_OTHER"' in text
