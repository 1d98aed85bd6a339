"""Versions over HTTP: what may be named, what a record says, and what is listed."""

from collections.abc import Callable
from typing import Any

import httpx
import pytest

from contract.catalog import Catalog
from contract.ledger.client import Ledger
from contract.settings import Settings
from contract.versions import UNTOLD
from tests.support.fake_worker import FakeWorker
from tests.support.gateway_thread import GatewayThread
from tests.support.waiting import until

URL = "/v1/predictions"
CREATE = "/v1/models/local/echo/predictions"


@pytest.fixture
def other(ledger: Ledger, catalog: Catalog) -> FakeWorker:
    """A worker of the same catalog whose files were trained again."""
    return FakeWorker(ledger, catalog, "other", content="2" * 32)


def create(http: httpx.Client, version: str, **headers: str) -> httpx.Response:
    return http.post(URL, json={"version": version, "input": {}}, headers=headers)


def get(http: httpx.Client, id: str) -> dict[str, Any]:
    return dict(http.get(f"{URL}/{id}").json())


def test_a_prediction_that_names_a_version_waits_for_a_worker_of_it(
    http: httpx.Client, worker: FakeWorker, other: FakeWorker
) -> None:
    version = worker.register()
    other.register()
    made = create(http, f"local/echo:{version}").json()
    assert (made["version"], made["version_pinned"], made["queue_position"]) == (version, True, 1)
    assert other.claim() == []
    worker.serve_one()
    ended = get(http, made["id"])
    assert (ended["status"], ended["version"]) == ("succeeded", version)


def test_one_that_names_only_the_model_says_what_ran_it_also_to_who_waits(
    http: httpx.Client, worker: FakeWorker, other: FakeWorker
) -> None:
    before = worker.register()
    made = create(http, "local/echo").json()
    assert (made["version"], made["version_pinned"]) == (before, False)
    other.serve_one()
    assert get(http, made["id"])["version"] == other.version()
    with other.serving({"echo": lambda worker, model, c: worker.succeed(c, "x", model) and None}):
        waited = http.post(CREATE, json={"input": {}}, headers={"prefer": "wait=10"}).json()
    assert (waited["status"], waited["version"]) == ("succeeded", other.version())


def test_a_version_that_nobody_serves_is_not_found(
    http: httpx.Client, worker: FakeWorker, other: FakeWorker
) -> None:
    worker.register()
    for version in (other.version(), "f" * 64):
        for reference in (version, f"local/echo:{version}"):
            answer = create(http, reference)
            assert (answer.status_code, answer.json()["code"]) == (404, "model_not_found")
    other.register()
    assert create(http, other.version()).status_code == 201


def test_what_says_nothing_of_the_files_names_no_version(
    http: httpx.Client, catalog: Catalog
) -> None:
    shown = http.post(CREATE, json={"input": {}}).json()["version"]
    assert shown == catalog["echo"].entry + UNTOLD
    answer = create(http, f"local/echo:{shown}")
    assert answer.status_code == 404
    assert "name the model alone" in answer.json()["detail"]


def test_a_path_and_a_body_that_name_different_models_are_refused(
    http: httpx.Client, worker: FakeWorker
) -> None:
    version, strange = worker.register(), worker.register("small")
    same = http.post(CREATE, json={"input": {}, "version": version})
    assert (same.status_code, same.json()["version_pinned"]) == (201, True)
    differ = http.post(CREATE, json={"input": {}, "version": strange})
    assert (differ.status_code, differ.json()["pointer"]) == (422, "/version")


def test_a_repeat_gives_the_original_though_its_version_is_gone(
    http: httpx.Client, worker: FakeWorker, other: FakeWorker
) -> None:
    reference = f"local/echo:{worker.register()}"
    first = create(http, reference, **{"idempotency-key": "k"})
    worker.register(state="draining")
    other.register()
    assert create(http, reference).status_code == 404
    again = create(http, reference, **{"idempotency-key": "k"})
    assert (first.status_code, again.status_code) == (201, 200)
    assert again.json()["id"] == first.json()["id"]


def test_a_version_is_part_of_what_a_repeat_must_repeat(
    http: httpx.Client, worker: FakeWorker, other: FakeWorker
) -> None:
    one, two = worker.register(), other.register()
    assert create(http, "local/echo", **{"idempotency-key": "k"}).status_code == 201
    for version in (one, two):
        assert create(http, f"local/echo:{version}", **{"idempotency-key": "k"}).status_code == 409
    worker.register(state="draining")
    assert create(http, "local/echo", **{"idempotency-key": "k"}).status_code == 200


def test_all_versions_that_have_workers_are_listed_with_the_current_one_first(
    http: httpx.Client, worker: FakeWorker, other: FakeWorker, catalog: Catalog
) -> None:
    url = "/v1/models/local/echo"
    assert http.get(f"{url}/versions").json()["results"] == []
    assert http.get(url).json()["latest_version"] is None
    older = FakeWorker(worker.ledger, Catalog([changed(catalog)]), "older")
    for each in (worker, other, older):
        each.register()
    page = http.get(f"{url}/versions").json()["results"]
    assert page[0]["id"] == other.version() == http.get(url).json()["latest_version"]["id"]
    assert {row["id"] for row in page} == {worker.version(), other.version(), older.version()}
    for row in page:
        assert http.get(f"{url}/versions/{row['id']}").json() == row
        schemas = row["openapi_schema"]["components"]["schemas"]
        assert (schemas == {}) is (row["id"] == older.version()), "of another catalog's"
    older.register(state="draining")
    assert len(http.get(f"{url}/versions").json()["results"]) == 2


def changed(catalog: Catalog) -> Any:
    """The model `echo` as another catalog has it."""
    return type(catalog["echo"])(name="echo", python="nowhere:Nothing", options={"a": 1})


def test_the_bare_version_of_another_catalog_is_known_by_its_workers(
    http: httpx.Client, worker: FakeWorker, catalog: Catalog
) -> None:
    older = FakeWorker(worker.ledger, Catalog([changed(catalog)]), "older")
    assert create(http, older.version()).status_code == 404
    older.register()
    made = create(http, older.version()).json()
    assert (made["model"], made["version"]) == ("local/echo", older.version())
    assert worker.claim() == []
    assert [c.id for c in older.claim()] == [made["id"]]


def test_a_gateway_answers_for_its_catalog_in_the_ledger(
    start_gateway: Callable[..., GatewayThread],
    settings: Settings,
    ledger: Ledger,
    catalog: Catalog,
) -> None:
    start_gateway(lease_seconds=0.3, renew_seconds=0.05)
    key = ledger.key("named", "echo")
    for _ in range(2):
        until("it is named", lambda: ledger.redis.zrange(key, 0, -1))
        assert ledger.redis.zrange(key, 0, -1) == [catalog["echo"].entry.encode()]
        ledger.redis.delete(key)
