"""Requests that come twice: Idempotency-Key on POST, an id of the caller's on PUT."""

import asyncio
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from contract.catalog import Catalog
from contract.ledger.new_prediction import NewPrediction
from contract.ledger.transitions import Created
from tests.support.fake_worker import FakeWorker
from tests.support.gateway_thread import GatewayThread

CREATE = "/v1/models/local/echo/predictions"
MINE = "/v1/predictions/mine-1"


def post(http: httpx.Client, key: str, input: Any, **more: Any) -> httpx.Response:
    return http.post(CREATE, json={"input": input, **more}, headers={"idempotency-key": key})


def put(http: httpx.Client, input: Any, url: str = MINE, **more: Any) -> httpx.Response:
    return http.put(url, json={"version": "local/echo", "input": input, **more})


def test_the_same_key_and_body_is_the_same_prediction(
    http: httpx.Client, worker: FakeWorker
) -> None:
    first, again = post(http, "k", {"a": 1}), post(http, "k", {"a": 1})
    assert (first.status_code, again.status_code) == (201, 200)
    assert again.json()["id"] == first.json()["id"]
    assert len(worker.claim()) == 1
    running = post(http, "k", {"a": 1})
    assert (running.status_code, running.json()["status"]) == (200, "starting")


def test_the_same_key_after_the_end_gives_the_outcome(
    http: httpx.Client, worker: FakeWorker
) -> None:
    post(http, "k", {"a": 1})
    worker.serve_one(output="kept")
    again = post(http, "k", {"a": 1})
    assert (again.status_code, again.json()["output"]) == (200, "kept")


def test_the_same_key_with_another_body_is_a_conflict(http: httpx.Client) -> None:
    post(http, "k", {"a": 1})
    for changed in ({"input": {"a": 2}}, {"input": {"a": 1}, "priority": "low"}):
        answer = http.post(CREATE, json=changed, headers={"idempotency-key": "k"})
        assert (answer.status_code, answer.json()["code"]) == (409, "conflict")


def test_integers_of_any_size_make_different_requests(http: httpx.Client) -> None:
    answers = [post(http, "k", {"a": number}) for number in (10**30, 10**30 + 1, 1e30, 10**30)]
    assert [answer.status_code for answer in answers] == [201, 409, 409, 200]


def test_a_key_belongs_to_a_request_and_not_to_a_model(http: httpx.Client) -> None:
    post(http, "k", {"text": "a"})
    url = "/v1/models/acme/sentiment/predictions"
    answer = http.post(url, json={"input": {"text": "a"}}, headers={"idempotency-key": "k"})
    assert answer.status_code == 409


@pytest.mark.parametrize("number", ["1", "123456789012345678901234567890"])
def test_the_same_body_may_be_written_otherwise(http: httpx.Client, number: str) -> None:
    headers = {"idempotency-key": "k", "content-type": "application/json"}
    texts = [
        f'{{"input": {{"a": {number}, "b": {{"c": 2, "d": "\u00e4"}}}}, "stream": true}}',
        f'{{"stream":true,"input":{{"b":{{"d":"\\u00e4","c":2}},"a":{number}}}}}',
    ]
    answers = [http.post(CREATE, content=text.encode(), headers=headers) for text in texts]
    assert [answer.status_code for answer in answers] == [201, 200]


@pytest.mark.parametrize("key", ["", "a b", "x" * 256, "k\u00e9", "tab\there"])
def test_a_key_that_is_none_is_refused(http: httpx.Client, key: str) -> None:
    headers = {"idempotency-key": key.encode("latin-1")}
    answer = http.post(CREATE, json={"input": {}}, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")


def test_put_creates_under_the_callers_id_once(http: httpx.Client, worker: FakeWorker) -> None:
    first, again = put(http, {"a": 1}), put(http, {"a": 1})
    assert (first.status_code, again.status_code) == (201, 200)
    assert first.json()["id"] == again.json()["id"] == "mine-1"
    assert first.json()["urls"]["get"].endswith(MINE)
    worker.serve_one(output="kept")
    assert put(http, {"a": 1}).json()["output"] == http.get(MINE).json()["output"] == "kept"


def test_put_of_another_body_is_a_conflict(http: httpx.Client) -> None:
    put(http, {"a": 1})
    answer = put(http, {"a": 2})
    assert (answer.status_code, answer.json()["code"]) == (409, "conflict")
    assert http.get(MINE).json()["input"] == {"a": 1}


@pytest.mark.parametrize("id", ["a" * 65, "a.b", "%20", "a%00", "%C3%A4", "a%0A"])
def test_put_of_an_id_that_is_none_is_refused(http: httpx.Client, id: str) -> None:
    answer = put(http, {}, f"/v1/predictions/{id}")
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")


def test_put_waits_like_post(http: httpx.Client, worker: FakeWorker) -> None:
    body = {"version": "local/echo", "input": {}}
    with ThreadPoolExecutor(2) as threads:
        asked = [
            threads.submit(http.put, MINE, json=body, headers={"prefer": "wait=30"})
            for _ in range(2)
        ]
        worker.serve_one(output="once")
        answers = [answer.result(10) for answer in asked]
    assert sorted(answer.status_code for answer in answers) == [200, 201]
    assert [answer.json()["output"] for answer in answers] == ["once", "once"]


@pytest.mark.parametrize("way", ["put", "post"])
def test_fifty_at_once_create_one(http: httpx.Client, worker: FakeWorker, way: str) -> None:
    ask = {"put": lambda _: put(http, {"a": 1}), "post": lambda _: post(http, "k", {"a": 1})}[way]
    with ThreadPoolExecutor(50) as threads:
        answers = list(threads.map(ask, range(50)))
    assert Counter(answer.status_code for answer in answers) == {201: 1, 200: 49}
    assert len({answer.json()["id"] for answer in answers}) == 1
    assert len(worker.claim()) == 1


def test_large_records_that_are_repeated_at_once_are_each_answered_whole(
    gateway: GatewayThread, catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("contract.ledger.transitions.accepting.MOST_PAGE_BYTES", 1)
    predictions = gateway.app.state.context.predictions
    schema, input = predictions.schemas["echo"], {"text": "x" * 1000}

    async def create() -> list[Created]:
        new = [NewPrediction.from_input(schema, input, "local", id=f"p{n}") for n in range(5)]
        return await asyncio.gather(*map(predictions.create_prediction, new))

    assert not any(created.repeated for created in gateway.run(create()))
    again = gateway.run(create())
    assert all(created.repeated for created in again)
    assert [created.prediction.id for created in again] == [f"p{n}" for n in range(5)]
    assert {len(created.prediction.input) for created in again} == {len('{"text":""}') + 1000}
