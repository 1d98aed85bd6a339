"""Requests whose answer from the ledger is lost: found again in time, or 504, and what follows from it."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

import httpx
import pytest
from prometheus_client import REGISTRY
from pydantic import SecretStr

from contract.catalog import Catalog
from contract.settings import Settings
from tests.support.fake_worker import FakeWorker
from tests.support.gateway_thread import GatewayThread
from tests.support.lossy_forwarder import LossyForwarder
from tests.support.waiting import until

CREATE = "/v1/models/local/echo/predictions"
MINE = "/v1/predictions/mine"
BODY = {"input": {"a": 1}}


class LossyGateway:
    """A gateway and its ledger, with a wire between them that loses answers."""

    def __init__(self, wire: LossyForwarder, gateway: GatewayThread, http: httpx.Client) -> None:
        self.wire, self.gateway, self.http = wire, gateway, http

    def ask(self, method: str, url: str, **more: object) -> httpx.Response:
        return self.http.request(method, url, **more)

    def post(self, **headers: str) -> httpx.Response:
        return self.ask("POST", CREATE, json=BODY, headers=headers)

    def put(self) -> httpx.Response:
        return self.ask("PUT", MINE, json={"version": "local/echo", **BODY})

    def listed(self) -> list[str]:
        return [p["id"] for p in self.http.get("/v1/predictions").json()["results"]]


@pytest.fixture
def lossy(
    settings: Settings, catalog: Catalog, client_of: Callable[..., httpx.Client]
) -> Iterator[LossyGateway]:
    port = urlsplit(settings.redis_url.get_secret_value()).port
    assert port is not None
    with LossyForwarder(port) as wire:
        own = settings.model_copy(update={"redis_url": SecretStr(wire.url)})
        with GatewayThread(own, catalog) as gateway:
            lossy = LossyGateway(wire, gateway, client_of(gateway))
            # Redis knows the scripts from now on, and the gateway the ledger's clock.
            first = lossy.http.post("/v1/models/local/small/predictions", json={"input": {}})
            lossy.http.post(f"/v1/predictions/{first.json()['id']}/cancel")
            yield lossy


def metric(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(f"soloist_{name}", labels) or 0.0


def unknown(answer: httpx.Response) -> str:
    """The id that a 504 names."""
    assert (answer.status_code, answer.json()["code"]) == (504, "outcome_unknown"), answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert int(answer.headers["retry-after"]) >= 1
    id = str(answer.json()["prediction"])
    assert answer.headers["location"].endswith(f"/v1/predictions/{id}")
    return id


@pytest.mark.parametrize("way", ["post", "put"])
def test_a_lost_answer_is_asked_for_again_and_is_201_and_counted_once(
    lossy: LossyGateway, way: str
) -> None:
    before = metric("predictions_submitted_total", model="echo")
    lossy.wire.lose("create", 1)
    answer = lossy.post() if way == "post" else lossy.put()
    assert lossy.wire.lost == 1
    assert answer.status_code == 201
    assert answer.json()["status"] == "starting"
    assert answer.json()["queue_position"] == 1
    assert lossy.listed()[0] == answer.json()["id"]
    assert len(lossy.listed()) == 2
    assert metric("predictions_submitted_total", model="echo") - before == 1


def test_a_lost_answer_of_a_repeated_create_is_200(lossy: LossyGateway) -> None:
    first = lossy.post(**{"idempotency-key": "k"})
    lossy.wire.lose("create", 1)
    again = lossy.post(**{"idempotency-key": "k"})
    assert (first.status_code, again.status_code) == (201, 200)
    assert again.json()["id"] == first.json()["id"]


def test_what_stays_without_an_answer_is_504_and_its_id_leads_to_the_prediction(
    lossy: LossyGateway, worker: FakeWorker
) -> None:
    lossy.wire.lose("create")
    answer = lossy.post()
    id = unknown(answer)
    assert answer.headers["x-should-retry"] == "false"
    found = lossy.http.get(answer.headers["location"])
    assert (found.status_code, found.json()["id"], found.json()["status"]) == (200, id, "starting")
    assert worker.serve_one(output="done") is None
    assert lossy.http.get(answer.headers["location"]).json()["output"] == "done"


def test_the_same_create_again_gives_the_original(lossy: LossyGateway) -> None:
    lossy.wire.lose("create")
    keyed = unknown(lossy.post(**{"idempotency-key": "k"}))
    mine = unknown(lossy.put())
    assert mine == "mine"
    lossy.wire.lose("create", 0)
    for again, id in ((lossy.post(**{"idempotency-key": "k"}), keyed), (lossy.put(), mine)):
        assert (again.status_code, again.json()["id"]) == (200, id)
    assert len(lossy.listed()) == 3


def test_a_waiting_create_without_an_answer_is_504_in_time_too(lossy: LossyGateway) -> None:
    lossy.wire.lose("create")
    id = unknown(lossy.post(prefer="wait=30"))
    assert lossy.listed()[0] == id


def test_a_waiting_create_whose_answer_was_lost_once_gets_its_outcome(
    lossy: LossyGateway, worker: FakeWorker
) -> None:
    lossy.wire.lose("create", 1)
    with ThreadPoolExecutor(1) as thread:
        asked = thread.submit(lossy.http.post, CREATE, json=BODY, headers={"prefer": "wait=30"})
        worker.serve_one(output="done")  # before the gateway knows that there is a prediction
        answer = asked.result(10)
    assert (answer.status_code, answer.json()["output"]) == (201, "done")


def test_the_gateway_goes_on_asking_and_learns_what_became_of_it(lossy: LossyGateway) -> None:
    recorded = metric("predictions_unknown_ended_total", outcome="recorded")
    submitted = metric("predictions_submitted_total", model="echo")
    lossy.wire.lose("create")
    unknown(lossy.post())
    until("it knows", lambda: metric("predictions_unknown") == 0)
    assert metric("predictions_unknown_ended_total", outcome="recorded") - recorded == 1
    assert metric("predictions_submitted_total", model="echo") - submitted == 1


def test_a_client_that_leaves_while_its_create_is_under_way_does_not_take_it_with_it(
    lossy: LossyGateway,
) -> None:
    lossy.wire.lose("create", 1)
    with pytest.raises(httpx.ReadTimeout):
        lossy.http.post(CREATE, json=BODY, timeout=0.2)
    assert lossy.wire.lost == 1
    until("it is counted", lambda: metric("http_requests_in_progress") == 0)
    assert len(lossy.listed()) == 2
    assert lossy.http.get(f"/v1/predictions/{lossy.listed()[0]}").json()["status"] == "starting"


def test_a_lost_answer_to_a_cancel_is_asked_for_again(lossy: LossyGateway) -> None:
    id = lossy.post().json()["id"]
    lossy.wire.lose("cancel", 1)
    answer = lossy.ask("POST", f"/v1/predictions/{id}/cancel")
    assert (answer.status_code, answer.json()["status"]) == (200, "canceled")


def test_a_cancel_that_stays_without_an_answer_is_504_and_may_be_repeated(
    lossy: LossyGateway,
) -> None:
    id = lossy.post().json()["id"]
    lossy.wire.lose("cancel")
    answer = lossy.ask("POST", f"/v1/predictions/{id}/cancel")
    assert unknown(answer) == id
    assert "x-should-retry" not in answer.headers
    assert lossy.http.get(f"/v1/predictions/{id}").json()["status"] == "canceled"


def test_a_lost_answer_to_a_deletion_is_asked_for_again(
    lossy: LossyGateway, worker: FakeWorker
) -> None:
    id = lossy.post().json()["id"]
    worker.serve_one(output="done")
    lossy.http.delete(f"/v1/predictions/{id}")
    lossy.wire.lose("erase", 1)
    answer = lossy.ask("DELETE", f"/v1/predictions/{id}")
    assert lossy.wire.lost == 1
    assert (answer.status_code, answer.json()["data_removed"]) == (200, True)


def test_a_create_under_way_is_answered_when_the_gateway_ends(
    settings: Settings, catalog: Catalog, client_of: Callable[..., httpx.Client]
) -> None:
    port = urlsplit(settings.redis_url.get_secret_value()).port
    assert port is not None
    with LossyForwarder(port) as wire:
        own = settings.model_copy(update={"redis_url": SecretStr(wire.url)})
        with ThreadPoolExecutor(1) as thread:
            with GatewayThread(own, catalog) as gateway:
                http = client_of(gateway)
                http.post(CREATE, json=BODY)
                wire.lose("create", 1)
                asked = thread.submit(http.post, CREATE, json=BODY)
                until("it is under way", lambda: wire.lost)
            assert asked.result(10).status_code == 201
