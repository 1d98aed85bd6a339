"""The official JavaScript client, and the Python client of the next generation, as they are."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from contract.catalog import Catalog
from service.stream import DIFFERS
from tests.outside import fetch, program

pytestmark = pytest.mark.slow

HERE = Path(__file__).parent
SECONDS = 120


def tell(command: list[str], **more: str) -> dict[str, Any]:
    """Run a story against the gateway; what it saw."""
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=SECONDS, env={**os.environ, **more}
    )
    assert done.returncode == 0, done.stdout + done.stderr
    seen: dict[str, Any] = json.loads(done.stdout)
    return seen


ITEMS = [{"label": "ham", "score": 0.5}, {"label": "spam", "score": 0.25}]


def test_the_javascript_client(url: str, catalog: Catalog) -> None:
    node, npm = program("node", "apt-get install nodejs"), program("npm", "apt-get install npm")
    options = ["--no-audit", "--no-fund", "--ignore-scripts", "--no-package-lock"]
    folder = fetch(
        "replicate-1.4.0-js",
        lambda folder: [npm, "install", *options, f"--prefix={folder}", "replicate@1.4.0"],
    )
    version = catalog["echo"].version
    seen = tell([node, str(HERE / "story.mjs"), url, str(folder), version])
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
    name = "replicate-2.0.0b4"
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    folder = fetch(
        f"{name}-py{sys.version_info.major}{sys.version_info.minor}",
        lambda folder: [*pip, f"--target={folder}", "replicate==2.0.0b4"],
    )
    version = catalog["echo"].version
    story = [sys.executable, str(HERE / "story_2.py"), url, version]
    # Its use() and stream() make clients of their own, from the environment.
    own = {"REPLICATE_API_TOKEN": "x", "REPLICATE_BASE_URL": f"{url}/v1"}
    seen = tell(story, PYTHONPATH=str(folder), REPLICATE_POLL_INTERVAL="0.02", **own)
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
