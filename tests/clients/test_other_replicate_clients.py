"""The official JavaScript client, and the Python client of the next generation, as they are."""

import json
import sys

import pytest
from official_clients import HERE, javascript, python_2, run_client

from contract.catalog import Catalog
from service.http.sse import DIFFERS
from tests.support.fake_worker import CONTENT

pytestmark = pytest.mark.slow

ITEMS = [{"label": "ham", "score": 0.5}, {"label": "spam", "score": 0.25}]


def test_the_javascript_client(url: str, catalog: Catalog) -> None:
    node, folder = javascript()
    version = catalog["echo"].version(CONTENT)
    seen = run_client([node, str(HERE / "calls.mjs"), url, str(folder), version])
    unknown = seen.pop("runUnknown")
    assert "404" in unknown
    assert "model_not_found" in unknown
    assert seen == {
        "run": "hello",
        "runVersion": "hello",
        "runItems": ITEMS,
        "runPolling": "at last",
        "runPastTheWait": "at last",
        "runFailing": "Prediction failed: this text is no good",
        "created": "starting",
        "waited": ["succeeded", "hello"],
        "got": "hello",
        "createdAndWaited": ["succeeded", "hello"],
        "deployment": "local/echo",
        "canceled": "canceled",
        "aborted": None,
        "stream": [["output", "one "], ["output", "two"], ["done", "{}"]],
        "streamWhole": [["output", json.dumps(ITEMS)], ["done", "{}"]],
        "streamChanging": json.dumps({"detail": DIFFERS}, separators=(",", ":")),
        "streamFailing": '{"detail":"this text is no good"}',
        "listed": 15,
        "models": ["echo", "items", "pieces", "fail", "slow", "changing"],
        "model": version,
        "versions": 1,
        "version": version,
        "account": "local",
    }


def test_the_python_client_of_the_next_generation(url: str, catalog: Catalog) -> None:
    folder = python_2()
    version = catalog["echo"].version(CONTENT)
    command = [sys.executable, str(HERE / "calls_2.py"), url, version]
    # Its use() and stream() make clients of their own, from the environment.
    own = {"REPLICATE_API_TOKEN": "x", "REPLICATE_BASE_URL": f"{url}/v1"}
    seen = run_client(command, PYTHONPATH=str(folder), REPLICATE_POLL_INTERVAL="0.02", **own)
    unknown = seen.pop("run_unknown")
    assert unknown.startswith("NotFoundError")
    assert "model_not_found" in unknown
    assert "this text is no good" in seen.pop("run_failing")
    assert seen == {
        "client": "2.0.0-beta.4",
        "run": "hello",
        "run_version": "hello",
        "run_items": ITEMS,
        "run_polling": "at last",
        "run_past_the_wait": "at last",
        "created": "starting",
        "waited": ["succeeded", "hello"],
        "got": "hello",
        "created_and_waited": ["succeeded", "hello"],
        "canceled": "canceled",
        "stream": "one two",
        "used": "hello",
        "listed": 11,
        "models": ["echo", "items", "pieces", "fail", "slow", "changing"],
        "model": version,
        "account": "local",
        "at_once": {"run": "hello", "waited": "hello", "stream": "one two"},
    }
