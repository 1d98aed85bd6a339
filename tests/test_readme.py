"""The README's commands do what it says, and the docs name all that there is."""

import json
import os
import re
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import httpx
import pytest

from contract.catalog import ModelSpec
from contract.errors import PredictionFailed
from contract.tasks import TASKS
from local.processes import free_port
from service.http.problems import STATUS
from tests.support.programs import START_SECONDS, Program

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", README, re.DOTALL)


def blocks(language: str) -> list[str]:
    return [text for name, text in BLOCKS if name == language]


def recipe(target: str) -> str:
    """What make would run for a target, without running it."""
    done = subprocess.run(
        ["make", "--dry-run", target], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return done.stdout


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory):
    """What `make run` starts, on a free port and with data of its own."""
    port, state = free_port(), tmp_path_factory.mktemp("state")
    command = ["cli.main", "up", "--catalog", "examples/catalog.yaml", "--port", str(port)]
    env = {"SOLOIST_STATE_DIR": str(state), "OMP_NUM_THREADS": "1"}
    process = Program("up", command, state, env)
    url = f"http://127.0.0.1:{port}"
    body = {"input": {"text": "ready?"}}
    headers = {"Prefer": "wait=50", "Idempotency-Key": "ready"}
    try:
        transport = httpx.HTTPTransport(retries=0)
        with httpx.Client(transport=transport, timeout=60) as client:
            process.wait_until(lambda: is_ready(client, url), START_SECONDS)
            path = "/v1/models/local/minilm/predictions"
            answer = client.post(url + path, json=body, headers=headers)
            assert answer.json()["status"] == "succeeded", answer.text
        yield url, state
    finally:
        process.terminate(60)


def is_ready(client: httpx.Client, url: str) -> bool:
    with suppress(httpx.TransportError):
        return client.get(f"{url}/readyz").is_success
    return False


def test_make_run_and_make_test_are_what_the_readme_says_they_are() -> None:
    assert "soloist up --catalog examples/catalog.yaml" in recipe("run")
    assert "pytest" in recipe("test")
    assert '-m "not slow and not cluster"' in recipe("test-fast")
    assert {"make run\n", "make test\n"} <= set(blocks("sh"))
    assert "make test" in (ROOT / ".ci/run").read_text()


@pytest.mark.slow
def test_the_readmes_curl_answers_as_it_says(up: tuple[str, Path]) -> None:
    url, _ = up
    (curl,) = [block for block in blocks("sh") if block.startswith("curl")]
    command = curl.replace("http://127.0.0.1:8000", url)
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=60)
    answer, shown = json.loads(done.stdout), json.loads(blocks("json")[0])
    assert answer["status"] == shown["status"]
    assert answer["model"] == shown["model"]
    assert answer["output"] == pytest.approx(shown["output"], abs=0.1)


@pytest.mark.slow
def test_the_readmes_soloist_commands_run(up: tuple[str, Path]) -> None:
    _, state = up
    (commands,) = [block for block in blocks("sh") if "soloist predict" in block]
    for line in commands.splitlines():
        command = line.replace(".venv/bin/soloist", f"{sys.executable} -m cli.main")
        environment = {**os.environ, "SOLOIST_STATE_DIR": str(state)}
        done = subprocess.run(
            ["bash", "-c", command],
            cwd=ROOT,
            env=environment,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == 0, f"{line}: {done.stderr}"
        assert done.stdout.strip(), line


@pytest.mark.slow
def test_the_readmes_python_client_example_prints_a_vector(up: tuple[str, Path]) -> None:
    url, _ = up
    (example,) = blocks("python")
    code = example.replace("http://127.0.0.1:8000", url)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert len(json.loads(done.stdout)) == 3


@pytest.mark.slow
def test_the_calls_that_their_page_shows_are_answered_as_it_says(up: tuple[str, Path]) -> None:
    url, _ = up
    calls = re.findall(r"```sh\n(.*?)```", (ROOT / "docs/calling.md").read_text(), re.DOTALL)
    answers = []
    for call in calls:
        command = call.replace("http://127.0.0.1:8000", url)
        done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        answers.append(done.stdout)
    create, put, read, stream, cancel, listed, erase = answers
    assert json.loads(create)["status"] == "succeeded"
    assert json.loads(put)["id"] == "my-first"
    assert json.loads(read)["status"] == "succeeded"
    assert stream.endswith("event: done\nid: 2\ndata: {}\n\n")
    assert json.loads(cancel)["status"] == "succeeded", "what has ended stays as it is"
    assert "my-first" in [each["id"] for each in json.loads(listed)["results"]]
    assert json.loads(erase)["data_removed"] is True


def test_the_readme_counts_the_tasks() -> None:
    assert f"**{len(TASKS)} transformers tasks**" in README


def test_every_setting_of_a_model_is_documented() -> None:
    text = (ROOT / "docs/models.md").read_text()
    for name in {*ModelSpec.model_fields} - {"name"}:
        assert f"`{name}`" in text, name


def test_every_error_code_is_documented() -> None:
    text = (ROOT / "docs/errors.md").read_text()
    codes = {error.code for error in STATUS} | {
        kind.code for kind in PredictionFailed.__subclasses__()
    }
    for code in codes:
        assert f"`{code}`" in text, code
