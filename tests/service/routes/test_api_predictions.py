"""Predictions over HTTP: create, get, cancel; what they look like and what reaches the worker."""

import json
import re
from typing import Any

import httpx
import pytest

from contract.catalog import Catalog
from contract.ledger.client import Ledger
from contract.ledger.transitions import expire
from tests.support.fake_worker import FakeWorker
from tests.support.gateway_thread import GatewayThread

CREATE = "/v1/models/local/echo/predictions"
INSTANT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z")
FIELDS = {
    *(
        "id",
        "model",
        "version",
        "version_pinned",
        "status",
        "input",
        "output",
        "logs",
        "error",
        "metrics",
    ),
    *("created_at", "started_at", "completed_at", "urls", "data_removed"),
    *("queue_position", "eta_seconds", "progress", "priority", "attempt", "deadline"),
    "error_code",
}


def create(http: httpx.Client, input: Any = None, **headers: str) -> dict[str, Any]:
    """A prediction of `echo` that was accepted."""
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    answer = http.post(CREATE, json={"input": input or {}}, headers=names)
    assert answer.status_code == 201, answer.text
    body: dict[str, Any] = answer.json()
    return body


def get(http: httpx.Client, prediction: dict[str, Any]) -> dict[str, Any]:
    answer = http.get(prediction["urls"]["get"])
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


def test_a_fresh_prediction_has_every_field_and_waits(http: httpx.Client, catalog: Catalog) -> None:
    answer = http.post(CREATE, json={"input": {"text": "hello"}})
    assert answer.status_code == 201
    assert answer.headers["content-type"] == "application/json"
    body = answer.json()
    assert set(body) == FIELDS
    assert re.fullmatch("[a-z2-7]{26}", body["id"])
    assert body["model"] == "local/echo"
    assert (body["version"], body["version_pinned"]) == (catalog["echo"].version(), False)
    assert (body["status"], body["input"]) == ("starting", {"text": "hello"})
    assert (body["output"], body["error"], body["error_code"], body["logs"]) == (
        None,
        None,
        None,
        "",
    )
    assert INSTANT.fullmatch(body["created_at"])
    assert body["started_at"] is body["completed_at"] is body["deadline"] is None
    assert (body["queue_position"], body["attempt"], body["priority"]) == (1, 0, "normal")
    assert body["metrics"] == {}
    assert body["data_removed"] is False
    assert answer.headers["location"] == body["urls"]["get"]


def test_integers_of_any_size_reach_the_worker_and_come_back(
    http: httpx.Client, worker: FakeWorker
) -> None:
    given = [10**30, -(2**63) - 1, 2**64, 0.5]
    created = create(http, {"numbers": given})
    claimed = worker.take()
    assert claimed.input == f'{{"numbers":{json.dumps(given, separators=(",", ":"))}}}'
    worker.succeed(claimed, given)
    done = get(http, created)
    assert (done["input"], done["output"]) == ({"numbers": given}, given)


def test_a_prediction_goes_from_starting_over_processing_to_succeeded(
    http: httpx.Client, worker: FakeWorker
) -> None:
    created = create(http, {"text": "hello"})
    assert get(http, created)["status"] == "starting"
    claimed = worker.take()
    worker.say(claimed, logs=" 50%|#####     | 5/10 [00:01]\n", progress=0.5)
    running = get(http, created)
    assert (running["status"], running["progress"], running["attempt"]) == ("processing", 0.5, 1)
    assert running["logs"].startswith(" 50%|")
    assert running["queue_position"] is None
    worker.succeed(claimed, {"label": "ham"}, seconds=0.25)
    done = get(http, created)
    assert (done["status"], done["output"]) == ("succeeded", {"label": "ham"})
    assert created["created_at"] <= done["started_at"] <= done["completed_at"]
    assert all(INSTANT.fullmatch(done[name]) for name in ("started_at", "completed_at"))
    assert done["metrics"]["predict_time"] == 0.25
    assert 0 <= done["metrics"]["queue_time"] <= done["metrics"]["total_time"] < 10


def test_a_prediction_that_fails_says_why_and_has_no_output(
    http: httpx.Client, worker: FakeWorker
) -> None:
    created = create(http)
    worker.fail(worker.take(), "this text is no good", "invalid_input")
    done = get(http, created)
    assert (done["status"], done["output"]) == ("failed", None)
    assert (done["error"], done["error_code"]) == ("this text is no good", "invalid_input")


@pytest.mark.parametrize("form", ["{id}", "{version}", "{id}:{version}"])
def test_a_version_is_a_version_id_a_model_or_both(
    http: httpx.Client, catalog: Catalog, worker: FakeWorker, form: str
) -> None:
    spec, version = catalog["sentiment"], worker.register("sentiment")
    body = {"version": form.format(id=spec.id, version=version), "input": {"text": "hi"}}
    answer = http.post("/v1/predictions", json=body)
    assert answer.status_code == 201
    shown = answer.json()
    assert (shown["model"], shown["version"]) == ("acme/sentiment", version)
    assert shown["version_pinned"] is ("{version}" in form)


def test_a_deployment_is_another_way_to_say_the_model(http: httpx.Client) -> None:
    answer = http.post("/v1/deployments/acme/sentiment/predictions", json={"input": {"text": "hi"}})
    assert (answer.status_code, answer.json()["model"]) == (201, "acme/sentiment")


def test_stream_true_is_accepted_as_every_prediction_can_be_streamed(http: httpx.Client) -> None:
    answer = http.post(CREATE, json={"input": {}, "stream": True})
    assert answer.status_code == 201
    assert answer.json()["urls"]["stream"].endswith("/stream")


@pytest.mark.parametrize(
    "text",
    [
        '{"__type__":"datetime","__value__":"2020-01-01T00:00:00"}',
        '{"__type__":"bytes","__value__":["aGk=","utf-8"],"__class__":"os.system"}',
        '{"a":[{"__type__":"uuid","__value__":"x"},{"$ref":"#"},{"!!python/name":"os"}]}',
        '{"n":123456789012345678901234567890,"m":-18446744073709551617}',
        '{"n":9007199254740993,"f":0.1,"g":1e-7,"h":1.7976931348623157e308}',
        '{"s":"\u00e4\u4e2d\U0001f600 \\u0000 \\" \\\\ \\u2028 </script> %s {0}"}',
        '{"":{"":[[],{},null,true,false,0,-0.0]}}',
    ],
)
def test_an_input_reaches_the_worker_as_it_was_sent(
    http: httpx.Client, worker: FakeWorker, text: str
) -> None:
    json_type = {"content-type": "application/json"}
    sent = f'{{"input":{text}}}'.encode()
    answer = http.post(CREATE, content=sent, headers=json_type)
    assert answer.status_code == 201, answer.text
    claimed = worker.take()
    assert json.loads(claimed.input) == json.loads(text)
    assert json.dumps(json.loads(claimed.input)) == json.dumps(json.loads(text))
    assert "__type__" not in text or claimed.input == text
    worker.succeed_raw(claimed, text.encode())
    done = http.get(answer.json()["urls"]["get"])
    assert text in done.text
    assert done.json()["input"] == done.json()["output"] == json.loads(text)


def test_cancel_ends_what_waits(http: httpx.Client, worker: FakeWorker) -> None:
    created = create(http)
    answer = http.post(created["urls"]["cancel"])
    assert answer.status_code == 200
    assert (answer.json()["status"], answer.json()["error"]) == ("canceled", None)
    assert INSTANT.fullmatch(answer.json()["completed_at"])
    assert worker.claim() == []


def test_cancel_ends_what_runs_and_its_worker_learns_of_it(
    http: httpx.Client, worker: FakeWorker
) -> None:
    created = create(http)
    claimed = worker.take()
    assert worker.extend(claimed)
    assert http.post(created["urls"]["cancel"]).json()["status"] == "canceled"
    assert not worker.extend(claimed)
    assert worker.succeed(claimed) == [created["id"]]
    done = get(http, created)
    assert (done["status"], done["output"]) == ("canceled", None)


def test_cancel_leaves_what_is_over_as_it_is(http: httpx.Client, worker: FakeWorker) -> None:
    created = create(http)
    worker.serve_one(output="kept")
    done = get(http, created)
    answer = http.post(created["urls"]["cancel"])
    assert (answer.status_code, answer.json()) == (200, done)


def test_those_that_wait_know_their_position_and_when_pace_is_known_the_time(
    http: httpx.Client, worker: FakeWorker
) -> None:
    first = create(http)
    assert first["eta_seconds"] is None
    claimed = worker.take()
    rest = [create(http) for _ in range(3)]
    assert [get(http, p)["queue_position"] for p in rest] == [1, 2, 3]
    worker.succeed(claimed, seconds=2.0)
    shown = [get(http, p) for p in rest]
    assert [p["queue_position"] for p in shown] == [1, 2, 3]
    assert [p["eta_seconds"] for p in shown] == [2.0, 4.0, 6.0]


def test_priority_in_header_or_body_overtakes(http: httpx.Client, worker: FakeWorker) -> None:
    low = create(http, x_priority="low")
    normal = create(http)
    high = create(http, x_priority="HIGH")
    in_body = http.post(CREATE, json={"input": {}, "priority": "high"}).json()
    both = http.post(
        CREATE, json={"input": {}, "priority": "low"}, headers={"x-priority": "high"}
    ).json()
    everything = (low, normal, high, in_body, both)
    assert [p["priority"] for p in everything] == ["low", "normal", "high", "high", "low"]
    order = [p["id"] for p in (high, in_body, normal, low, both)]
    assert [claimed.id for claimed in worker.claim(limit=8)] == order


@pytest.mark.parametrize(
    ("text", "seconds"), [("90", 90), ("90s", 90), ("1m", 60), ("1h30m", 5400), ("1.5s", 1.5)]
)
def test_cancel_after_sets_the_deadline(
    http: httpx.Client, ledger: Ledger, text: str, seconds: float
) -> None:
    created = create(http, cancel_after=text)
    assert INSTANT.fullmatch(created["deadline"])
    ((_, deadline),) = ledger.redis.zrange(ledger.key("deadlines"), 0, -1, withscores=True)
    now, millionths = ledger.redis.time()
    assert deadline == pytest.approx(now + millionths / 1e6 + seconds, abs=5)
    assert get(http, created)["deadline"] == created["deadline"]


def test_a_deadline_missed_before_the_start_is_canceled_with_a_sentence(
    http: httpx.Client, worker: FakeWorker, ledger: Ledger
) -> None:
    created = create(http, cancel_after="1s")
    # The ledger's clock cannot be moved here; its view of this deadline can.
    ledger.redis.zadd(ledger.key("deadlines"), {created["id"]: 1})
    assert ledger.run(expire()).deadlines == 1
    done = get(http, created)
    assert (done["status"], done["error_code"]) == ("canceled", "deadline_exceeded")
    assert done["error"] == "the deadline passed before it was started"
    assert worker.claim() == []


def test_a_worker_cancels_what_it_would_start_too_late(
    http: httpx.Client, worker: FakeWorker, ledger: Ledger
) -> None:
    created = create(http, cancel_after="1s")
    ledger.redis.hset(ledger.key("prediction", created["id"]), "deadline", "1.0")
    assert worker.claim() == []
    assert get(http, created)["error_code"] == "deadline_exceeded"


def test_urls_begin_with_the_host_that_was_asked(start_gateway, client_of) -> None:
    http: httpx.Client = client_of(start_gateway(allowed_hosts="models.example"))
    answer = http.post(CREATE, json={"input": {}}, headers={"host": "models.example:8443"})
    body = answer.json()
    base = f"http://models.example:8443/v1/predictions/{body['id']}"
    assert body["urls"] == {"get": base, "cancel": f"{base}/cancel", "stream": f"{base}/stream"}
    assert answer.headers["location"] == base


def test_public_url_begins_every_url_whatever_the_host_says(start_gateway, client_of) -> None:
    gateway: GatewayThread = start_gateway(
        public_url="https://api.example/soloist", allowed_hosts="*"
    )
    http: httpx.Client = client_of(gateway)
    headers = {"host": "evil.example"}
    created = http.post(CREATE, json={"input": {}}, headers=headers)
    base = "https://api.example/soloist/v1"
    assert created.json()["urls"]["get"] == f"{base}/predictions/{created.json()['id']}"
    assert created.headers["location"] == created.json()["urls"]["get"]
    models = http.get("/v1/models", headers=headers)
    assert models.json()["results"][0]["url"] == f"{base}/models/local/echo"
    assert "evil" not in created.text + models.text


def test_a_model_that_left_the_catalog_keeps_its_predictions(
    http: httpx.Client, ledger: Ledger
) -> None:
    created = create(http)
    ledger.redis.hset(ledger.key("prediction", created["id"]), "model", "retired")
    assert get(http, created)["model"] == "local/retired"
