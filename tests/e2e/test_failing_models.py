"""A model whose workers cannot start says so to those who only see the API, beside one that is good."""

import time
from collections.abc import Callable
from typing import Any

import pytest
import yaml
from stack import Stack

from tests.support.programs import Program
from tests.support.waiting import until

pytestmark = pytest.mark.slow


def shown(stack: Stack, model: str) -> dict[str, Any]:
    answer = stack.http.get(f"/v1/models/local/{model}")
    assert answer.status_code == 200, answer.text
    return answer.json()


def becomes(stack: Stack, model: str, word: str) -> None:
    until(f"{model} is {word}", lambda: shown(stack, model)["state"] == word, 20)


def test_a_broken_model_is_failing_beside_a_good_one_until_it_is_mended(stack: Stack) -> None:
    stack.worker("echo").ready()
    before = time.monotonic()
    assert stack.worker("broken").code() == 78

    found = shown(stack, "broken")
    assert (found["state"], found["failure"]["code"]) == ("failing", "model_unloadable")
    assert "OSError: no file …/model.safetensors" in found["failure"]["detail"]
    assert 0 <= found["failure"]["seconds"] <= time.monotonic() - before
    assert (shown(stack, "echo")["state"], shown(stack, "echo")["failure"]) == ("ready", None)
    listed = {m["id"]: m for m in stack.http.get("/v1/status").json()["models"]}
    assert listed["local/broken"]["failure"]["detail"] == found["failure"]["detail"]

    answer = stack.post(model="broken", text="a secret")
    assert answer.status_code == 201
    warning = answer.json()["warning"]
    assert warning.startswith("no worker of local/broken can start")
    assert "no file …/model.safetensors" in warning
    for hidden in (str(stack.folder), "pw", "a secret"):
        assert hidden not in warning + found["failure"]["detail"]
    assert "warning" not in stack.post().json()

    (stack.runs_file.parent / "mended").touch()
    stack.worker("broken").ready()
    stack.succeeded([answer.json()["id"]])
    becomes(stack, "broken", "ready")
    assert shown(stack, "broken")["failure"] is None
    assert "warning" not in stack.post(model="broken").json()


def by_its_settings(stack: Stack) -> None:
    assert stack.worker(GRACE_SECONDS="soon").code() == 78


def by_its_port(stack: Stack) -> None:
    assert stack.worker(WORKER_PORT=stack.port).code() == 78


def by_a_child(stack: Stack) -> None:
    stack.worker("unloadable", "--pool", "prefork", "--concurrency", "2").code(30)


def by_a_kill(stack: Stack) -> None:
    loading = stack.folder / "loading"
    loading.unlink(missing_ok=True)
    worker = stack.worker("loading")
    until("it loads", loading.exists, 20)
    until("it said so", lambda: "loading" in str(shown(stack, "loading")["workers"]), 20)
    worker.kill()


@pytest.mark.parametrize(
    ("end", "model", "words"),
    [
        (by_its_settings, "echo", "SOLOIST_GRACE_SECONDS"),
        (by_its_port, "echo", "cannot listen"),
        (by_a_child, "unloadable", "no file named model.safetensors"),
        (by_a_kill, "loading", "ended while it was loading"),
    ],
)
def test_whatever_ends_a_worker_at_its_start_is_told(
    stack: Stack, end: Callable[[Stack], None], model: str, words: str
) -> None:
    end(stack)
    becomes(stack, model, "failing")

    assert words in shown(stack, model)["failure"]["detail"]


def test_a_fetch_that_fails_is_told_too(stack: Stack) -> None:
    catalog = stack.folder / "hub.yaml"
    entry = {"source": "no-such/model", "task": "text-classification"}
    catalog.write_text(yaml.safe_dump({"models": {"single": entry}}))
    env = {
        **stack.env,
        "SOLOIST_CATALOG": str(catalog),
        "HF_ENDPOINT": "http://127.0.0.1:1",
        "HF_HUB_CACHE": str(stack.folder / "hub"),
    }
    fetch = Program("fetch", ["worker", "--model", "single", "--fetch"], stack.folder, env)
    stack.programs.append(fetch)
    assert fetch.code() == 78
    becomes(stack, "single", "failing")

    assert "(no-such/model)" in shown(stack, "single")["failure"]["detail"]


def test_a_worker_that_is_told_to_end_while_it_loads_failed_at_nothing(stack: Stack) -> None:
    loading = stack.folder / "loading"
    loading.unlink(missing_ok=True)
    worker = stack.worker("loading")
    until("it loads", loading.exists, 20)
    assert worker.end() == 0

    assert (shown(stack, "loading")["state"], shown(stack, "loading")["failure"]) == ("cold", None)
