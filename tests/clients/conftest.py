"""A gateway for other people's clients, and models behind it that need no worker process."""

import json
import re
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from contract.catalog import Catalog, ModelSpec
from contract.ledger.client import Ledger
from contract.ledger.transitions import Claimed
from contract.settings import Settings
from tests.support.fake_worker import FakeWorker
from tests.support.gateway_thread import GatewayThread
from tests.support.waiting import until

MOST_SECONDS = 20.0

Act = Callable[[FakeWorker, str, Claimed], None]


def echo(worker: FakeWorker, model: str, claimed: Claimed) -> None:
    """Answers with its input's `text`, or with all of it."""
    input = json.loads(claimed.input)
    worker.say(claimed, logs=" 50%|#####     | 5/10 [00:01<00:01]\n")
    worker.succeed(claimed, input.get("text", input), model)


def items(worker: FakeWorker, model: str, claimed: Claimed) -> None:
    worker.succeed(
        claimed, [{"label": "ham", "score": 0.5}, {"label": "spam", "score": 0.25}], model
    )


def pieces(worker: FakeWorker, model: str, claimed: Claimed) -> None:
    """Streams its input's words."""
    text = json.loads(claimed.input)["text"]
    for piece in re.findall(r"\S+ ?", text):
        worker.say(claimed, piece)
    worker.succeed(claimed, text, model)


def fail(worker: FakeWorker, model: str, claimed: Claimed) -> None:
    worker.fail(claimed, "this text is no good", "invalid_input", model)


def slow(worker: FakeWorker, model: str, claimed: Claimed) -> None:
    """Computes for its input's `seconds`, or until nobody wants the answer."""
    end = time.monotonic() + min(json.loads(claimed.input)["seconds"], MOST_SECONDS)
    while time.monotonic() < end:
        if not worker.extend(claimed, model):
            return
        time.sleep(0.02)
    worker.succeed(claimed, "at last", model)


def changing(worker: FakeWorker, model: str, claimed: Claimed) -> None:
    """Its output is not what it streamed."""
    worker.say(claimed, "Help")
    until("somebody listens", lambda: worker.watched(claimed))
    worker.succeed(claimed, "Hello", model, said=-1)


ACTS: dict[str, Act] = {
    "echo": echo,
    "items": items,
    "pieces": pieces,
    "fail": fail,
    "slow": slow,
    "changing": changing,
}


@pytest.fixture(scope="session")
def catalog() -> Catalog:
    specs: list[dict[str, Any]] = [{"name": name, "python": f"nowhere:{name}"} for name in ACTS]
    return Catalog([ModelSpec(**spec) for spec in specs])


@pytest.fixture
def url(settings: Settings, ledger: Ledger, catalog: Catalog) -> Iterator[str]:
    """The address of a gateway whose models answer."""
    worker = FakeWorker(ledger, catalog)
    for model in ACTS:
        worker.register(model)
    with GatewayThread(settings, catalog) as gateway, worker.serving(ACTS):
        yield gateway.url
