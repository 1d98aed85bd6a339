"""`Prefer: wait`, answers that survive a cut subscription, and requests that are let go at the end."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
import redis
from pydantic import SecretStr

from contract.catalog import Catalog
from contract.ledger.client import Ledger
from contract.settings import Settings
from local.redis import EmbeddedRedis
from service.routes.predictions import prefer_wait
from tests.support.fake_worker import FakeWorker
from tests.support.gateway_thread import GatewayThread
from tests.support.waiting import until

CREATE = "/v1/models/local/echo/predictions"


def timed(ask: Callable[[], httpx.Response]) -> tuple[httpx.Response, float]:
    started = time.monotonic()
    return ask(), time.monotonic() - started


def create(
    http: httpx.Client, prefer: str | None = None, patience: float = 10, **headers: str
) -> httpx.Response:
    named = {"prefer": prefer} if prefer else {}
    return http.post(CREATE, json={"input": {}}, headers={**named, **headers}, timeout=patience)


def waiting(gateway: GatewayThread) -> int:
    """How many predictions the gateway's requests wait for."""
    count: int = gateway.app.state.context.predictions._outcomes.waiting
    return count


def test_without_prefer_the_answer_comes_at_once(http: httpx.Client) -> None:
    answer = create(http)
    assert (answer.status_code, answer.json()["status"]) == (201, "starting")


@pytest.mark.parametrize("prefer", ["wait", "wait=30", "respond-async, wait=30", "Wait=30"])
def test_with_prefer_the_answer_is_the_outcome(
    http: httpx.Client, worker: FakeWorker, prefer: str
) -> None:
    with ThreadPoolExecutor(1) as thread:
        asked = thread.submit(create, http, prefer)
        claimed = worker.take()
        worker.say(claimed, logs="a line\n")
        worker.succeed(claimed, ["an", "output"], seconds=0.125)
        answer = asked.result(10)
    body = answer.json()
    assert (answer.status_code, body["status"]) == (201, "succeeded")
    assert (body["output"], body["logs"], body["attempt"]) == (["an", "output"], "a line\n", 1)
    assert body["metrics"]["predict_time"] == 0.125
    assert body["queue_position"] is None
    assert body == http.get(body["urls"]["get"]).json() | {"progress": body["progress"]}


def test_a_failure_is_an_outcome_too(http: httpx.Client, worker: FakeWorker) -> None:
    with ThreadPoolExecutor(1) as thread:
        asked = thread.submit(create, http, "wait=30")
        worker.fail(worker.take(), "no good")
        body = asked.result(10).json()
    assert (body["status"], body["error"], body["output"]) == ("failed", "no good", None)


def test_a_cancel_ends_the_wait(http: httpx.Client, worker: FakeWorker) -> None:
    with ThreadPoolExecutor(1) as thread:
        asked = thread.submit(create, http, "wait=30")
        http.post(f"/v1/predictions/{worker.take().id}/cancel")
        assert asked.result(10).json()["status"] == "canceled"


def test_an_answer_comes_before_n_and_says_starting_although_it_runs(
    http: httpx.Client, worker: FakeWorker
) -> None:
    with ThreadPoolExecutor(1) as thread:
        asked = thread.submit(timed, lambda: create(http, "wait=1", patience=1))
        claimed = worker.take()
        answer, seconds = asked.result(10)
    assert (answer.status_code, answer.json()["status"]) == (201, "starting")
    assert seconds > 0.3
    assert http.get(f"/v1/predictions/{claimed.id}").json()["status"] == "processing"


def test_get_with_prefer_waits_for_the_end(http: httpx.Client, worker: FakeWorker) -> None:
    url = create(http).json()["urls"]["get"]
    with ThreadPoolExecutor(1) as thread:
        asked = thread.submit(http.get, url, headers={"prefer": "wait=30"})
        worker.serve_one(output="late")
        body = asked.result(10).json()
    assert (body["status"], body["output"]) == ("succeeded", "late")


def test_get_with_prefer_answers_with_the_prediction_as_it_stands_then(
    http: httpx.Client, worker: FakeWorker, gateway: GatewayThread
) -> None:
    url = create(http).json()["urls"]["get"]
    with ThreadPoolExecutor(1) as thread:
        asked = thread.submit(timed, lambda: http.get(url, headers={"prefer": "wait=1"}, timeout=1))
        until("the request waits", lambda: waiting(gateway))
        worker.say(worker.take(), logs="under way\n", progress=0.5)
        answer, seconds = asked.result(10)
    body = answer.json()
    assert seconds > 0.3
    assert (body["status"], body["progress"], body["logs"]) == ("processing", 0.5, "under way\n")
    assert body["queue_position"] is None


def test_get_with_prefer_of_what_is_over_answers_at_once(
    http: httpx.Client, worker: FakeWorker
) -> None:
    url = create(http).json()["urls"]["get"]
    worker.serve_one()
    assert http.get(url, headers={"prefer": "wait=30"}).json()["status"] == "succeeded"


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, 0),
        ("", 0),
        ("respond-async", 0),
        ("wait", 59.5),
        ("wait=10", 9.5),
        ("wait=1", 0.5),
        ("wait=0", 0),
        ("wait=61", 59.5),
        ("wait=999999999", 59.5),
        ("wait=-1", 0),
        ("wait=soon", 0),
        ("waiting=5", 0),
        ("await=5", 0),
        ("respond-async; wait=5", 4.5),
        ("WAIT=5", 4.5),
    ],
)
def test_prefer_is_read_as_rfc_7240_says_and_never_past_the_cap(
    header: str | None, seconds: float
) -> None:
    assert prefer_wait(header, 60) == seconds


def test_the_longest_wait_is_a_setting(start_gateway, client_of) -> None:
    http = client_of(start_gateway(max_wait_seconds=1.0))
    assert create(http, "wait").json()["status"] == "starting"


def test_a_repeated_request_waits_for_the_first_ones_outcome(
    http: httpx.Client, worker: FakeWorker
) -> None:
    first = create(http, **{"idempotency-key": "k"}).json()
    with ThreadPoolExecutor(1) as thread:
        asked = thread.submit(create, http, "wait=30", **{"idempotency-key": "k"})
        worker.serve_one(output="once")
        answer = asked.result(10)
    assert (answer.status_code, answer.json()["id"]) == (200, first["id"])
    assert answer.json()["output"] == "once"


def test_many_wait_at_once_and_each_gets_its_own(http: httpx.Client, worker: FakeWorker) -> None:
    def ask(number: int) -> dict[str, Any]:
        body = {"input": {"number": number}}
        answer: dict[str, Any] = http.post(CREATE, json=body, headers={"prefer": "wait=30"}).json()
        return answer

    with ThreadPoolExecutor(20) as threads:
        asked = [threads.submit(ask, number) for number in range(20)]
        done = 0
        while done < 20:
            claimed = until("more to do", worker.claim)
            done += len(claimed)
            for one in reversed(claimed):
                worker.succeed_raw(one, one.input.encode())
        bodies = [answer.result(10) for answer in asked]
    assert [body["output"] for body in bodies] == [{"number": number} for number in range(20)]


def test_nobody_is_left_in_the_books_when_all_are_answered(
    http: httpx.Client, gateway: GatewayThread
) -> None:
    create(http, "wait=1")
    assert waiting(gateway) == 0


@pytest.mark.parametrize("finish_first", [True, False])
def test_answers_are_not_lost_when_the_subscription_is_cut(
    http: httpx.Client,
    gateway: GatewayThread,
    worker: FakeWorker,
    ledger: Ledger,
    finish_first: bool,
) -> None:
    with ThreadPoolExecutor(5) as threads:
        asked = [threads.submit(create, http, "wait=30") for _ in range(5)]
        claimed = [worker.take() for _ in range(5)]
        until("all wait", lambda: waiting(gateway) == 5)
        name = gateway.app.state.context.predictions._outcomes.name
        channel = ledger.key("answers", name)
        cut = ledger.redis.pipeline(transaction=True)
        cut.execute_command("CLIENT", "KILL", "TYPE", "pubsub")
        if finish_first:
            # No subscription hears of these: they are over before the gateway is back.
            cut.execute()
            for one in claimed:
                worker.succeed(one)
        else:
            cut.execute()
            until("it is back", lambda: ledger.redis.pubsub_numsub(channel)[0][1] == 1)
            for one in claimed:
                worker.succeed(one)
        bodies = [answer.result(10).json() for answer in asked]
    assert {body["status"] for body in bodies} == {"succeeded"}


def test_a_gateway_that_ends_lets_go_of_those_who_wait(
    http: httpx.Client, gateway: GatewayThread, worker: FakeWorker
) -> None:
    with ThreadPoolExecutor(2) as threads:
        created = threads.submit(create, http, "wait=30")
        claimed = worker.take()
        url = f"/v1/predictions/{claimed.id}"
        asked = threads.submit(http.get, url, headers={"prefer": "wait=30"})
        predictions = gateway.app.state.context.predictions
        # Both listen for the same prediction.
        until("both wait", lambda: len(predictions._outcomes._listeners.get(claimed.id, ())) == 2)

        async def drain() -> None:
            predictions.drain()

        gateway.run(drain())
        first, second = created.result(10), asked.result(10)
    assert (first.status_code, first.json()["status"]) == (201, "starting")
    assert (second.status_code, second.json()["status"]) == (200, "processing")
    assert create(http, "wait=30").json()["status"] == "starting"


@pytest.mark.parametrize("way", ["post", "get", "repeat"])
def test_a_slow_ledger_does_not_make_the_answer_late(
    settings: Settings, catalog: Catalog, client_of: Any, tmp_path: Path, way: str
) -> None:
    with (
        EmbeddedRedis(tmp_path / "redis", appendfsync="no") as own,
        GatewayThread(settings.model_copy(update={"redis_url": SecretStr(own.url)}), catalog) as it,
        redis.Redis.from_url(own.url) as ledger,
    ):
        http = client_of(it)
        id = create(http, **{"idempotency-key": "k"}).json()["id"]
        ask = {
            "post": lambda: create(http, "wait=1", patience=1),
            "get": lambda: http.get(
                f"/v1/predictions/{id}", headers={"prefer": "wait=1"}, timeout=1
            ),
            "repeat": lambda: create(http, "wait=1", patience=1, **{"idempotency-key": "k"}),
        }[way]
        ledger.execute_command("CLIENT", "PAUSE", "600", "ALL")
        answer, seconds = timed(ask)
    assert answer.json()["status"] == "starting"
    assert seconds > 0.3


def test_a_ledger_that_freezes_meanwhile_does_not_make_the_answer_late(
    settings: Settings, catalog: Catalog, client_of: Any, tmp_path: Path
) -> None:
    with (
        EmbeddedRedis(tmp_path / "redis", appendfsync="no") as own,
        GatewayThread(settings.model_copy(update={"redis_url": SecretStr(own.url)}), catalog) as it,
        ThreadPoolExecutor(1) as thread,
    ):
        http = client_of(it)
        url = create(http).json()["urls"]["get"]
        asked = thread.submit(http.get, url, headers={"prefer": "wait=1"}, timeout=1)
        until("the request waits and was told the state", lambda: waiting(it))
        http.get(url)
        own.pause()
        answer = asked.result(10)
        own.resume()
    assert (answer.status_code, answer.json()["status"]) == (200, "starting")
