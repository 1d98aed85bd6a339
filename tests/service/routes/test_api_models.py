"""Models, their versions and the account."""

import re

import httpx
import jsonschema_rs

from contract.catalog import Catalog
from tests.support.fake_worker import FakeWorker


def test_the_list_of_models_reads_for_both_kinds_of_client(
    http: httpx.Client, catalog: Catalog
) -> None:
    body = http.get("/v1/models").json()
    assert (body["object"], body["previous"], body["next"]) == ("list", None, None)
    assert body["data"] == body["results"]
    assert [model["id"] for model in body["data"]] == [spec.id for spec in catalog.values()]
    for model in body["data"]:
        assert model["object"] == "model"
        assert isinstance(model["created"], int)
        assert model["owned_by"] == model["owner"] == model["id"].split("/")[0]
        assert model == http.get(model["url"]).json()


def test_a_model_shows_its_schemas_and_its_queue(
    http: httpx.Client, catalog: Catalog, worker: FakeWorker
) -> None:
    spec = catalog["sentiment"]
    http.post("/v1/models/acme/sentiment/predictions", json={"input": {"text": "a"}})
    assert http.get("/v1/models/acme/sentiment").json()["state"] == "cold"
    worker.register("sentiment")
    model = http.get("/v1/models/acme/sentiment").json()
    assert (model["owner"], model["name"]) == ("acme", "sentiment")
    assert model["description"] == "What people feel"
    assert model["visibility"] in ("public", "private")
    schemas = model["latest_version"]["openapi_schema"]["components"]["schemas"]
    assert schemas == {"Input": spec.inputs, "Output": spec.outputs}
    assert jsonschema_rs.is_valid(schemas["Input"], {"text": "a"})
    assert (model["queue"]["queued"], model["queue"]["running"], model["queue"]["busy"]) == (
        1,
        0,
        0,
    )
    assert model["queue"]["oldest_seconds"] >= 0
    assert (model["state"], len(model["workers"])) == ("ready", 1)
    assert model["workers"][0]["model_version"] == model["latest_version"]["id"]
    assert model["example"] == {"text": "Win a free cruise, reply now!"}


def test_a_model_has_the_version_that_is_served(
    http: httpx.Client, catalog: Catalog, worker: FakeWorker
) -> None:
    spec = catalog["sentiment"]
    url = "/v1/models/acme/sentiment"
    worker.register("sentiment")
    page = http.get(f"{url}/versions").json()
    (version,) = page["results"]
    assert (page["previous"], page["next"]) == (None, None)
    assert re.fullmatch("[0-9a-f]{64}", version["id"])
    assert version["id"] == worker.version("sentiment") == spec.entry + worker.content
    assert version == http.get(f"{url}/versions/{version['id']}").json()
    assert version == http.get(url).json()["latest_version"]


def test_the_account_has_what_the_clients_read(http: httpx.Client) -> None:
    account = http.get("/v1/account").json()
    assert set(account) == {"type", "username", "name", "github_url"}
    assert account["type"] in ("user", "organization")
    assert all(isinstance(value, str) for value in account.values())
