"""`python -m worker`: what it accepts, and the one line and the code that it refuses with."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from worker.__main__ import main

PROJECT = Path(__file__).parents[2]
PLAIN = {k: v for k, v in os.environ.items() if not k.startswith("SOLOIST_")}


def worker(*arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
    """Run the command until it ends by itself."""
    env = PLAIN | {f"SOLOIST_{name}": value for name, value in settings.items()}
    return subprocess.run(
        [sys.executable, "-m", "worker", *arguments],
        cwd=PROJECT,
        env=env,
        capture_output=True,
        text=True,
        timeout=60,
    )


def refusal(done: subprocess.CompletedProcess[str]) -> str:
    """The one line on stderr of a worker that refused to start."""
    assert done.returncode == 78, done.stderr
    (line,) = done.stderr.splitlines()
    assert line.startswith("soloist worker: ")
    return line.removeprefix("soloist worker: ")


SWALLOWS = """
import os, signal
from worker import drain
drain.install_handlers()
{entered}
try:
    os.kill(os.getpid(), signal.SIGTERM)
except BaseException:
    pass
import worker.process, worker.__main__
from contract.errors import ModelUnloadable
def serve(*_):
    raise {error}("models.m: SystemExit: 0")
worker.process.serve_model = serve
raise SystemExit(worker.__main__.main(["--model", "m"]))
"""


@pytest.mark.parametrize("error", ["ModelUnloadable", "ValueError"])
@pytest.mark.parametrize("entered", ["", "drain.end_by_exception()"])
@pytest.mark.slow
def test_a_worker_that_is_told_to_end_ends_with_0_whatever_takes_that_for_an_error(
    error: str, entered: str
) -> None:
    code = SWALLOWS.format(error=error, entered=entered)
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=PROJECT, capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stderr.replace("draining\n", "")) == (0, "")


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ([], "the following arguments are required: --model"),
        (["--model"], "expected one argument"),
        (["--model", "m", "--pool", "processes"], "invalid choice: 'processes'"),
        (["--model", "m", "--concurrency", "many"], "invalid int value"),
        (["--model", "m", "--concurrency", "2"], "1 in the solo pool"),
        (["--model", "m", "--pool", "solo", "--concurrency", "0"], "must be at least 1"),
        (["--model", "m", "--pool", "threads", "--concurrency", "0"], "must be at least 1"),
        (["--model", "m", "--prefetch", "4"], "unrecognized arguments"),
    ],
)
def test_wrong_arguments_are_refused_with_usage(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    complaint: str,
) -> None:
    monkeypatch.setattr("worker.drain.install_handlers", lambda: None)
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    said = capsys.readouterr().err
    assert "usage: python -m worker" in said
    assert complaint in said


def test_help_says_what_each_option_does(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("worker.drain.install_handlers", lambda: None)
    with pytest.raises(SystemExit) as caught:
        main(["--help"])
    assert caught.value.code == 0
    assert "--concurrency" in capsys.readouterr().out


@pytest.fixture
def catalog(tmp_path: Path) -> Path:
    models = {
        "echo": {"python": "tests.e2e.models:Echo", "options": {"runs": str(tmp_path / "runs")}},
        "nobody": {"python": "tests.e2e.models:Nobody"},
        "nowhere": {"python": "tests.e2e.no_such_module:Echo"},
        "unloadable": {
            "python": "tests.e2e.models:Echo",
            "options": {"runs": str(tmp_path / "runs"), "load": "fail"},
        },
        "gpu": {"python": "tests.e2e.models:Echo", "device": "cuda"},
    }
    path = tmp_path / "catalog.yaml"
    path.write_text(yaml.safe_dump({"models": models}))
    return path


@pytest.mark.slow
def test_a_model_that_the_catalog_lacks_is_refused_and_those_it_has_are_named(
    catalog: Path,
) -> None:
    line = refusal(worker("--model", "absent", CATALOG=str(catalog)))
    assert line.startswith("the catalog has no model 'absent'; it has echo, ")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (None, "cannot read the catalog"),
        ("models: [", "is not YAML"),
        ("models: {m: {python: 'a:B', sauce: x}}", "models.m.sauce: Extra inputs"),
    ],
)
def test_a_bad_catalog_is_refused(tmp_path: Path, text: str | None, complaint: str) -> None:
    path = tmp_path / "broken.yaml"
    if text is not None:
        path.write_text(text)
    line = refusal(worker("--model", "m", CATALOG=str(path)))
    assert complaint in line
    assert str(path) in line


@pytest.mark.slow
def test_a_wrong_setting_is_refused_and_named(catalog: Path) -> None:
    done = worker("--model", "echo", CATALOG=str(catalog), LEASE_SECONDS="soon")
    assert refusal(done).startswith("SOLOIST_LEASE_SECONDS: ")
    done = worker("--model", "echo", CATALOG=str(catalog), LEASES="15")
    assert refusal(done).startswith("unknown setting SOLOIST_LEASES")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("model", "complaint"),
    [
        ("nobody", "has no attribute 'Nobody'"),
        ("nowhere", "No module named 'tests.e2e.no_such_module'"),
        ("unloadable", "no file named model.safetensors"),
    ],
)
def test_a_class_that_cannot_be_made_or_loaded_is_refused(
    catalog: Path, redis_url: str, model: str, complaint: str
) -> None:
    settings = {"CATALOG": str(catalog), "REDIS_URL": redis_url, "WORKER_PORT": "0"}
    assert complaint in refusal(worker("--model", model, **settings))


@pytest.mark.slow
def test_a_broker_that_is_away_does_not_hide_a_model_that_cannot_load(
    catalog: Path, redis_url: str
) -> None:
    """Loading in Celery's start, or in one of its signals, would wait for the broker, or be swallowed."""
    done = worker(
        "--model",
        "unloadable",
        CATALOG=str(catalog),
        REDIS_URL=redis_url,
        BROKER_URL="amqp://guest:guest@127.0.0.1:1//",
        WORKER_PORT="0",
    )
    assert "no file named model.safetensors" in refusal(done)


@pytest.mark.slow
def test_a_catalog_that_wants_a_gpu_is_refused_where_none_is_visible(
    catalog: Path, redis_url: str
) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "worker", "--model", "gpu"],
        cwd=PROJECT,
        env=PLAIN
        | {
            "CUDA_VISIBLE_DEVICES": "",
            "SOLOIST_CATALOG": str(catalog),
            "SOLOIST_REDIS_URL": redis_url,
            "SOLOIST_WORKER_PORT": "0",
        },
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert "no GPU is visible" in refusal(done)
