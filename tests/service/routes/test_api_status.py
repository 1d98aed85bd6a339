"""What the status page asks for again and again."""

import httpx
import pytest

from contract.ledger.client import Ledger
from contract.ledger.transitions import register
from contract.ledger.workers import Worker
from tests.support.fake_worker import FakeWorker
from tests.support.gateway_thread import GatewayThread

CREATE = "/v1/models/local/echo/predictions"


def test_one_answer_has_all_models_and_the_newest_predictions_without_their_data(
    http: httpx.Client, worker: FakeWorker, ledger: Ledger
) -> None:
    ledger.run(register("echo", Worker("w1", "ready", device="cuda:0", gpu_name="H200")))
    http.post(CREATE, json={"input": {"text": "a secret"}})
    worker.serve_one(output="another secret")
    for _ in range(20):
        http.post("/v1/models/acme/sentiment/predictions", json={"input": {"text": "a"}})
    answer = http.get("/v1/status")
    assert answer.headers["cache-control"] == "no-store"
    body = answer.json()
    assert [model["id"] for model in body["models"]][-1] == "acme/sentiment"
    (echo,) = [model for model in body["models"] if model["id"] == "local/echo"]
    (seen,) = echo["workers"]
    assert (echo["state"], seen["name"], seen["gpu_name"]) == ("ready", "w1", "H200")
    assert [p["model"] for p in body["predictions"]] == ["acme/sentiment"] * 15
    assert body["models"][-1]["queue"]["queued"] == 20
    assert "secret" not in answer.text
    newest, oldest = body["predictions"][0], body["predictions"][-1]
    assert body["now"] >= newest["created_at"] >= oldest["created_at"]


def test_a_prediction_in_the_list_tells_how_it_ended_and_how_long_it_took(
    http: httpx.Client, worker: FakeWorker
) -> None:
    http.post(CREATE, json={"input": {}})
    worker.fail(worker.take(), "a secret")
    answer = http.get("/v1/status")
    (row,) = answer.json()["predictions"]
    assert (row["status"], row["error_code"]) == ("failed", "model_error")
    assert row["metrics"]["total_time"] >= row["metrics"]["queue_time"] >= 0
    assert "secret" not in answer.text


def test_a_status_without_a_ledger_is_refused_like_all_else(
    http: httpx.Client, gateway: GatewayThread, monkeypatch: pytest.MonkeyPatch
) -> None:
    from contract.errors import LedgerUnavailable

    async def away(transition: object) -> None:
        raise LedgerUnavailable("the ledger does not answer")

    monkeypatch.setattr(
        gateway.app.state.context.predictions, "run_transition", away, raising=False
    )
    answer = http.get("/v1/status")
    assert (answer.status_code, answer.json()["code"]) == (503, "ledger_unavailable")
    models = http.get("/v1/models").json()["data"]
    assert [(m["state"], m["queue"], m["workers"]) for m in models] == [(None,) * 3] * len(models)
