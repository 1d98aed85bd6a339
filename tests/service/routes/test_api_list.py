"""The list of predictions: newest first, cursors both ways, filters."""

from itertools import chain
from typing import Any

import httpx
import pytest

from contract.ledger.client import Ledger
from tests.support.fake_worker import FakeWorker

LIST = "/v1/predictions"


@pytest.fixture(autouse=True)
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.routes.predictions.PAGE", 3)


def create(http: httpx.Client, count: int, model: str = "echo") -> list[str]:
    """Ids, newest first."""
    url = f"/v1/models/local/{model}/predictions"
    return [http.post(url, json={"input": {}}).json()["id"] for _ in range(count)][::-1]


def page(http: httpx.Client, url: str = LIST, **query: str) -> tuple[list[str], Any]:
    answer = http.get(url, params=query or None)
    assert answer.status_code == 200, answer.text
    body = answer.json()
    assert set(body) == {"previous", "next", "results"}
    return [row["id"] for row in body["results"]], body


def forward(http: httpx.Client, **query: str) -> list[list[str]]:
    pages, url = [], LIST
    for _ in range(20):
        ids, body = page(http, url, **query)
        pages.append(ids)
        if body["next"] is None:
            return pages
        url, query = body["next"], {}
    raise AssertionError("the cursors do not end")


def test_an_empty_list_is_a_page(http: httpx.Client) -> None:
    assert http.get(LIST).json() == {"previous": None, "next": None, "results": []}


@pytest.mark.parametrize("count", [1, 3, 4, 6, 8])
def test_the_cursors_lead_through_everything_newest_first(http: httpx.Client, count: int) -> None:
    ids = create(http, count)
    pages = forward(http)
    assert list(chain(*pages)) == ids
    assert all(len(ids) == 3 for ids in pages[:-1])


def test_the_cursors_lead_back_again(http: httpx.Client) -> None:
    ids = create(http, 8)
    first, body = page(http)
    assert body["previous"] is None
    second, body = page(http, body["next"])
    third, body = page(http, body["next"])
    assert (first, second, third) == (ids[:3], ids[3:6], ids[6:])
    assert body["next"] is None
    back, body = page(http, body["previous"])
    assert back == second
    again, body = page(http, body["next"])
    assert again == third
    back, body = page(http, body["previous"])
    front, body = page(http, body["previous"])
    assert (back, front, body["previous"]) == (second, first, None)
    assert page(http, body["next"])[0] == second


def test_a_cursor_at_the_front_finds_what_came_since_and_loses_nothing(http: httpx.Client) -> None:
    old = create(http, 2)
    newest = 2
    empty, body = page(http, LIST, cursor=f"a{newest}")
    assert empty == []
    assert page(http, body["next"])[0] == old
    fresh = create(http, 1)
    assert page(http, LIST, cursor=f"a{newest}")[0] == fresh


def test_a_row_is_a_whole_prediction(http: httpx.Client, worker: FakeWorker) -> None:
    create(http, 1)
    worker.serve_one(output={"kept": True})
    (row,) = http.get(LIST).json()["results"]
    assert row == http.get(row["urls"]["get"]).json()
    assert row["output"] == {"kept": True}


def test_pages_of_large_predictions_end_early_and_lead_through_everything(
    http: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.routes.predictions.PAGE", 100)
    url, body = "/v1/models/local/echo/predictions", {"input": {"text": "x" * 900_000}}
    ids = [http.post(url, json=body).json()["id"] for _ in range(6)][::-1]
    assert forward(http) == [ids[:4], ids[4:]]
    _, first = page(http)
    _, second = page(http, first["next"])
    assert page(http, second["previous"])[0] == ids[:4]
    oldest = http.get(LIST, params={"cursor": "a0"}).json()
    assert [row["id"] for row in oldest["results"]] == ids[2:]
    assert page(http, oldest["previous"])[0] == ids[:2]


def test_filters_by_model_and_status_hold_on_every_page(
    http: httpx.Client, worker: FakeWorker
) -> None:
    echoes = create(http, 5)
    create(http, 2, "small")
    more = create(http, 2)
    assert list(chain(*forward(http, model="local/echo"))) == more + echoes
    for _ in range(4):
        worker.serve_one()
    done = echoes[-4:]
    assert list(chain(*forward(http, model="local/echo", status="succeeded"))) == done
    assert list(chain(*forward(http, status="processing"))) == []
    _, body = page(http, status="succeeded")
    second, body = page(http, body["next"])
    assert (second, body["results"][0]["status"]) == (done[3:], "succeeded")
    assert page(http, body["previous"])[0] == done[:3]


@pytest.mark.parametrize(
    ("query", "status", "code"),
    [
        ({"model": "local/nobody"}, 404, "model_not_found"),
        ({"model": "x" * 201}, 422, "invalid_request"),
        ({"status": "queued"}, 422, "invalid_request"),
        ({"cursor": "b"}, 422, "invalid_request"),
        ({"cursor": "-1"}, 422, "invalid_request"),
        ({"cursor": "b1' OR 1"}, 422, "invalid_request"),
        ({"cursor": "b" + "9" * 16}, 422, "invalid_request"),
        ({"cursor": "b\u0661"}, 422, "invalid_request"),
    ],
)
def test_a_query_that_cannot_be_is_refused(
    http: httpx.Client, query: dict[str, str], status: int, code: str
) -> None:
    answer = http.get(LIST, params=query)
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert answer.headers["content-type"] == "application/problem+json"


def test_another_owners_predictions_are_not_in_the_list(http: httpx.Client, ledger: Ledger) -> None:
    create(http, 1)
    ledger.redis.rename(ledger.key("created", "local"), ledger.key("created", "other"))
    assert page(http)[0] == []
