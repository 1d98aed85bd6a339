"""A ledger that carries out what it is asked for and is not heard, or is heard late: what clients are told is true."""

import random
import signal
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from urllib.parse import urlsplit

import httpx
import pytest
from stack import START_SECONDS, Stack

from local.processes import free_port
from tests.support.lossy_forwarder import LossyForwarder
from tests.support.programs import Program
from tests.support.waiting import until

pytestmark = [pytest.mark.slow, pytest.mark.brokers("shared", "shared-7")]

CREATE = "/v1/models/local/echo/predictions"
ANSWER_SECONDS = 3.0


@dataclass
class LossyGateway:
    """A gateway whose ledger is behind a wire that loses answers."""

    wire: LossyForwarder
    gateway: Program
    http: httpx.Client


def is_ready(http: httpx.Client) -> bool:
    with suppress(httpx.ConnectError):
        return http.get("/readyz").is_success
    return False


@pytest.fixture
def lossy(stack: Stack) -> Iterator[LossyGateway]:
    port = urlsplit(stack.store.url).port
    assert port is not None
    with LossyForwarder(port) as wire:
        own = free_port()
        gateway = stack.serve("gateway", REDIS_URL=wire.url, PORT=own)
        url = f"http://127.0.0.1:{own}"
        with httpx.Client(base_url=url, timeout=10, trust_env=False) as http:
            until("it is ready", lambda: is_ready(http), START_SECONDS)
            yield LossyGateway(wire, gateway, http)


def create(http: httpx.Client, text: str) -> httpx.Response:
    """The answer to a create, which comes whatever the ledger says."""
    answer = http.post(CREATE, json={"input": {"do": "echo", "text": text}}, timeout=ANSWER_SECONDS)
    assert answer.status_code in (201, 503, 504), answer.text
    return answer


def named(answer: httpx.Response) -> str | None:
    """The id that an answer names."""
    body = answer.json()
    return body.get("id") or body.get("prediction")


def check(stack: Stack, answers: list[httpx.Response], more: int = 0) -> list[str]:
    """What was told is true: 201 is recorded and runs once, 503 never runs, and 504's id tells which. Those of
    504 that are recorded.

    Args:
        more: how many others were created.
    """
    accepted = [named(answer) for answer in answers if answer.status_code == 201]
    unknown = [str(named(answer)) for answer in answers if answer.status_code == 504]
    found = [id for id in unknown if stack.get(id).status_code == 200]
    recorded = [str(id) for id in (*accepted, *found)]
    if recorded:
        stack.succeeded(recorded, 30)
    runs = {id: times for id, times in stack.runs().items() if id in recorded}
    assert runs == dict.fromkeys(recorded, 1)
    # Nothing else is there: no 503 was recorded, and no create twice.
    assert len(stack.runs()) == len(recorded) + more
    assert stack.store_client(lambda c: c.zcard("soloist:created:local")) == len(recorded) + more
    return found


def test_answers_that_get_lost_now_and_then_are_all_201(stack: Stack, lossy: LossyGateway) -> None:
    stack.worker().ready()
    create(lossy.http, "first")
    answers = []
    for n in range(6):
        lossy.wire.lose("create", n % 2)
        answers.append(create(lossy.http, str(n)))
    assert {answer.status_code for answer in answers} == {201}
    check(stack, answers, more=1)


def test_while_all_answers_get_lost_each_call_is_one_prediction_and_says_which(
    stack: Stack, lossy: LossyGateway
) -> None:
    stack.worker().ready()
    create(lossy.http, "first")
    lossy.wire.lose("create")
    with ThreadPoolExecutor(24) as threads:
        answers = list(threads.map(lambda n: create(lossy.http, str(n)), range(24)))
    lossy.wire.lose("create", 0)
    statuses = Counter(answer.status_code for answer in answers)
    assert statuses[504] >= 1
    assert statuses[201] == 0
    found = check(stack, answers, more=1)
    assert found
    # What it could not say then it finds out by itself.
    known = '"message":"a create\'s outcome is known"'
    until("it knows", lambda: lossy.gateway.output.count(known) == statuses[504], 20)
    assert lossy.gateway.output.count('"outcome":"recorded"') == len(found)


@pytest.mark.parametrize("seconds", [0.7, 1.6, 2.3, 3.1])
def test_a_ledger_that_freezes_for_a_while_makes_no_answer_a_lie(
    stack: Stack, seconds: float
) -> None:
    """One that waited behind a call to the frozen ledger was told 503 and recorded later."""
    stack.worker().ready()
    stack.submit(text="first")
    dice = random.Random(str(seconds))

    def one(n: int) -> httpx.Response:
        time.sleep(0.12 * n + dice.random() / 10)  # the moments at which clients come
        return create(stack.http, str(n))

    stack.store.pause()
    with ThreadPoolExecutor(26) as threads:
        asked = [threads.submit(one, n) for n in range(25)]
        time.sleep(seconds)  # how long the fault lasts
        stack.store.resume()
        answers = [answer.result() for answer in asked]
    until("all are ready again", stack.ready, 20)
    assert answers[-1].status_code == 201 or seconds > 2.5
    check(stack, answers, more=1)


@pytest.mark.parametrize("code", [signal.SIGTERM, signal.SIGINT])
def test_a_gateway_that_is_told_to_end_answers_the_creates_that_are_under_way(
    stack: Stack, lossy: LossyGateway, code: signal.Signals
) -> None:
    stack.worker().ready()
    create(lossy.http, "first")
    lossy.wire.lose("create", 1)
    with ThreadPoolExecutor(1) as thread:
        asked = thread.submit(create, lossy.http, "last")
        until("it is under way", lambda: lossy.wire.lost, 5)
        lossy.gateway.signal(code)
        answer = asked.result()
    assert lossy.gateway.code() == 0
    assert answer.status_code == 201
    check(stack, [answer], more=1)


def test_a_gateway_that_is_told_to_end_says_what_it_does_not_know(
    stack: Stack, lossy: LossyGateway
) -> None:
    create(lossy.http, "first")
    lossy.wire.lose("create")
    with ThreadPoolExecutor(1) as thread:
        asked = thread.submit(create, lossy.http, "last")
        until("it is under way", lambda: lossy.wire.lost, 5)
        lossy.gateway.ask_to_end()
        answer = asked.result()
    assert lossy.gateway.code(6) == 0
    assert answer.status_code == 504
    id = named(answer)
    assert stack.get(str(id)).status_code == 200


def test_a_client_that_leaves_while_its_create_is_under_way_leaves_one_prediction(
    stack: Stack, lossy: LossyGateway
) -> None:
    stack.worker().ready()
    create(lossy.http, "first")
    lossy.wire.lose("create", 1)
    with pytest.raises(httpx.ReadTimeout):
        lossy.http.post(CREATE, json={"input": {"text": "gone"}}, timeout=0.3)
    until("both ran", lambda: len(stack.runs()) == 2, 20)
    check(stack, [], more=2)
