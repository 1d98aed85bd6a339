"""DELETE removes the data of a prediction that is over, as an answer to people's duty to forget."""

import httpx

from tests.support.fake_worker import FakeWorker

CREATE = "/v1/models/local/echo/predictions"


def create(http: httpx.Client, **headers: str) -> str:
    answer = http.post(CREATE, json={"input": {"text": "who knows"}}, headers=headers)
    return str(answer.json()["id"])


def test_the_data_of_what_is_over_is_removed(http: httpx.Client, worker: FakeWorker) -> None:
    id = create(http)
    worker.serve_one(output="who knows")
    answer = http.delete(f"/v1/predictions/{id}")
    assert answer.status_code == 200
    body = answer.json()
    assert body["data_removed"] is True
    assert (body["status"], body["input"], body["output"], body["logs"]) == (
        "succeeded",
        {},
        None,
        "",
    )
    for url in (f"/v1/predictions/{id}", "/v1/predictions", f"/v1/predictions/{id}/stream"):
        assert "who knows" not in http.get(url).text
    assert http.get(f"/v1/predictions/{id}").json() == body
    assert http.delete(f"/v1/predictions/{id}").json() == body


def test_what_is_not_over_is_a_conflict_until_it_is_canceled(
    http: httpx.Client, worker: FakeWorker
) -> None:
    id = create(http)
    answer = http.delete(f"/v1/predictions/{id}")
    assert (answer.status_code, answer.json()["code"]) == (409, "not_over")
    assert "cancel it first" in answer.json()["detail"]
    assert http.get(f"/v1/predictions/{id}").json()["input"] == {"text": "who knows"}
    http.post(f"/v1/predictions/{id}/cancel")
    assert http.delete(f"/v1/predictions/{id}").json()["data_removed"] is True


def test_an_unknown_id_is_not_found(http: httpx.Client) -> None:
    answer = http.delete("/v1/predictions/nothing")
    assert (answer.status_code, answer.json()["code"]) == (404, "prediction_not_found")


def test_the_same_key_still_gives_the_same_prediction(
    http: httpx.Client, worker: FakeWorker
) -> None:
    key = {"idempotency-key": "k"}
    id = create(http, **key)
    worker.serve_one(output="who knows")
    http.delete(f"/v1/predictions/{id}")
    assert create(http, **key) == id
    assert worker.claim() == []


def test_the_route_is_documented_with_its_conflict(http: httpx.Client) -> None:
    route = http.get("/openapi.json").json()["paths"]["/v1/predictions/{id}"]["delete"]
    assert {"200", "404", "409", "503"} <= set(route["responses"])
