"""Probes and metrics of a gateway."""

import asyncio
from concurrent.futures import ThreadPoolExecutor

import httpx
from prometheus_client.parser import text_string_to_metric_families

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
