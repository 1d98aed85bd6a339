"""`soloist status`, `cancel`, `models`, and what all commands have in common."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from fake_gateway import FakeGateway, prediction, problem

from cli import processes
from contract import __version__
from contract.errors import StartRefused
from contract.settings import load_settings
from local.run_file import Running, gateway_url, local_url, read_state, remove_state, write_state

MODELS = {
    "results": [
        {
            "owner": "local",
            "name": "minilm",
            "description": "vectors [384]",
            "latest_version": {"id": "f" * 64},
            "state": "busy",
            "queue": {
                "queued": 3,
                "running": 2,
                "busy": 1,
                "oldest_seconds": 1.25,
                "eta_seconds": 0.5,
            },
            "workers": [
                {"name": "pod-1", "state": "busy", "device": "cuda:0", "gpu_name": "H200 [MIG]"},
                {"name": "pod-2", "state": "starting", "phase": "loading", "device": "cpu"},
            ],
        },
        {"owner": "acme", "name": "idle", "description": None, "latest_version": None},
    ]
}


def test_status_shows_each_model_as_a_row(gateway: FakeGateway, soloist) -> None:
    gateway.respond = lambda request: (200, MODELS, {})
    result = soloist("status")
    assert result.code == 0
    heading, first, more, second = (" ".join(line.split()) for line in result.out.splitlines())
    assert heading == "model state queued running oldest workers"
    assert first == "local/minilm busy 3 2 1.2 s pod-1 H200 [MIG] busy"
    assert more == "pod-2 cpu loading"
    assert second == "acme/idle - 0 0 - -"


def test_status_says_why_the_workers_of_a_model_cannot_start(gateway: FakeGateway, soloist) -> None:
    failure = {"code": "no_device", "detail": "no GPU [0] is visible", "seconds": 41.7}
    model = {"owner": "acme", "name": "broken", "state": "failing", "failure": failure}
    gateway.respond = lambda request: (200, {"results": [{**model, "workers": []}]}, {})
    said = " ".join(soloist("status").out.split())
    assert said.endswith(
        "acme/broken failing 0 0 - could not start 42 s ago: no GPU [0] is visible"
    )


def test_status_for_scripts_is_json(gateway: FakeGateway, soloist) -> None:
    gateway.respond = lambda request: (200, MODELS, {})
    (rows,) = soloist("status", "--json").lines
    workers = rows[0].pop("workers")
    assert rows[0] == {
        "model": "local/minilm",
        "state": "busy",
        "queued": 3,
        "running": 2,
        "busy": 1,
        "oldest_seconds": 1.25,
        "eta_seconds": 0.5,
        "failure": None,
    }
    assert [worker["name"] for worker in workers] == ["pod-1", "pod-2"]
    assert (rows[1]["state"], rows[1]["workers"]) == (None, [])


def test_status_of_a_prediction_shows_what_is_known(gateway: FakeGateway, soloist) -> None:
    gateway.respond = lambda request: prediction(
        "starting", queue_position=4, output=[0.12345] * 100, error="a [bold]text[/bold]"
    )
    shown = soloist("status", "p1").out
    assert gateway.requests[0].path == "/v1/predictions/p1"
    assert "queue_position" in shown
    assert "100 numbers" in shown
    assert "[bold]text[/bold]" in shown
    assert soloist("status", "p1", "--json").lines[0]["queue_position"] == 4


def test_an_unknown_prediction_is_one_sentence(gateway: FakeGateway, soloist) -> None:
    gateway.respond = lambda request: problem(
        404, "there is no prediction x", "prediction_not_found"
    )
    result = soloist("status", "x")
    assert (result.code, result.out) == (1, "")
    assert result.err == "soloist: there is no prediction x\n"


def test_an_id_cannot_reach_another_path(gateway: FakeGateway, soloist) -> None:
    soloist("status", "../models?x=#y")
    assert gateway.requests[0].path == "/v1/predictions/..%2Fmodels%3Fx%3D%23y"


def test_an_error_without_detail_names_address_and_status(gateway: FakeGateway, soloist) -> None:
    gateway.respond = lambda request: (502, "<html>Bad gateway</html>", {})
    assert soloist("status").err == f"soloist: {gateway.url}/v1/models answered 502 Bad Gateway\n"


def test_cancel_goes_on_after_one_that_cannot_be(gateway: FakeGateway, soloist) -> None:
    def respond(request):
        if "/gone/" in request.path:
            return problem(404, "there is no such prediction")
        return prediction("canceled")

    gateway.respond = respond
    result = soloist("cancel", "a", "gone", "b")
    assert result.code == 1
    assert result.out == "a canceled\nb canceled\n"
    assert result.err == "soloist: gone: there is no such prediction\n"
    assert gateway.requests[0].method == "POST"
    assert gateway.requests[0].path == "/v1/predictions/a/cancel"


def test_cancel_for_scripts_prints_the_prediction(gateway: FakeGateway, soloist) -> None:
    gateway.respond = lambda request: prediction("canceled")
    assert soloist("cancel", "a", "--json").lines == [prediction("canceled")[1]]


def test_models_lists_what_is_served(gateway: FakeGateway, soloist) -> None:
    gateway.respond = lambda request: (200, MODELS, {})
    shown = soloist("models").out
    assert "local/minilm" in shown
    assert "vectors [384]" in shown
    assert [row["model"] for row in soloist("models", "--json").lines[0]] == [
        "local/minilm",
        "acme/idle",
    ]


def test_a_good_catalog_is_listed(soloist) -> None:
    Path("mine.yaml").write_text(
        "models:\n  a:\n    source: acme/bert\n    task: fill-mask\n  b:\n    python: m:C\n"
    )
    (rows,) = soloist("models", "--catalog", "mine.yaml", "--json").lines
    assert [(row["model"], row["what"]) for row in rows] == [
        ("local/a", "fill-mask"),
        ("local/b", "m:C"),
    ]


@pytest.mark.parametrize(
    ("entry", "sentence"),
    [
        ("{task: fill-mask}", "models.a: give `source` and `task`"),
        ("{source: x/y, task: dreaming}", "models.a.task"),
        ("{source: ./nowhere, task: fill-mask}", "nowhere does not exist"),
        ("{source: 'package:no_such_package/m', task: fill-mask}", "is not installed"),
    ],
)
def test_a_wrong_catalog_is_one_sentence_that_names_the_entry(soloist, entry, sentence) -> None:
    Path("mine.yaml").write_text(f"models:\n  a: {entry}\n")
    result = soloist("models", "--catalog", "mine.yaml")
    assert result.code == 78
    assert sentence in result.err
    assert result.err.count("\n") == 1


def test_an_unknown_setting_is_named(soloist, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOLOIST_URL", "x")
    result = soloist("status")
    assert result.code == 78
    assert "unknown setting SOLOIST_URL" in result.err


def test_the_version_is_the_packages(soloist) -> None:
    assert soloist("--version").out == f"soloist {__version__}\n"


def test_an_unknown_command_is_one_sentence(soloist) -> None:
    result = soloist("statsu")
    assert result.code == 2
    assert "No such command 'statsu'" in result.err
    assert result.err.count("\n") == 1


@pytest.mark.parametrize(
    "command", ["up", "predict", "status", "cancel", "models", "dead", "dead list", "dead replay"]
)
def test_each_command_explains_itself(soloist, command: str) -> None:
    result = soloist(*command.split(), "--help")
    assert result.code == 0
    assert "Usage" in result.out


@pytest.mark.parametrize(
    ("command", "module"),
    [
        (["gateway"], ["service", "gateway"]),
        (["keeper"], ["service", "keeper"]),
        (
            ["worker", "--model", "minilm", "--pool", "prefork", "--help"],
            ["worker", "--model", "minilm", "--pool", "prefork", "--help"],
        ),
        (["bench", "run", "--quick"], ["bench", "run", "--quick"]),
    ],
)
def test_a_process_command_becomes_that_process(
    soloist, monkeypatch: pytest.MonkeyPatch, command: list[str], module: list[str]
) -> None:
    became: list[list[str]] = []
    monkeypatch.setattr(processes, "find_spec", lambda name: True)

    def execv(program: str, argv: list[str]) -> None:
        became.append(argv)
        raise SystemExit(0)  # as the real one, it does not return

    monkeypatch.setattr(os, "execv", execv)
    with pytest.raises(SystemExit):
        soloist(*command)
    assert became == [[sys.executable, "-m", *module]]


def test_a_process_that_is_not_installed_is_one_sentence(
    soloist, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes, "find_spec", lambda name: None)
    result = soloist("bench")
    assert result.code == 1
    assert result.err == "soloist: `python -m bench` is not part of this installation\n"


def test_the_command_itself_never_imports_torch_or_celery() -> None:
    code = "import sys, cli.main; print({'torch', 'transformers', 'celery', 'fastapi'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


def test_commands_find_the_running_soloist(tmp_path: Path) -> None:
    settings = load_settings()
    assert gateway_url(settings, None) == "http://127.0.0.1:8000"
    write_state(settings, Running(os.getpid(), "http://127.0.0.1:9", "redis://r", "c.yaml"))
    assert (tmp_path / ".soloist/up.json").stat().st_mode & 0o077 == 0
    assert gateway_url(settings, None) == "http://127.0.0.1:9"
    assert gateway_url(settings, "http://other:1/") == "http://other:1"
    remove_state(settings)
    assert read_state(settings) is None


def test_what_is_set_counts_more_than_the_running_soloist(monkeypatch: pytest.MonkeyPatch) -> None:
    write_state(load_settings(), Running(os.getpid(), "http://127.0.0.1:9", "redis://r", "c.yaml"))
    monkeypatch.setenv("SOLOIST_PORT", "7")
    assert gateway_url(load_settings(), None) == "http://127.0.0.1:7"


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / ".soloist").write_text("a file where the folder should be")
    with pytest.raises(StartRefused, match=r"cannot write to \.soloist"):
        write_state(load_settings(), Running(1, "", "", ""))


def test_a_soloist_that_was_killed_is_not_found() -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as ended:
        ended.wait()
    settings = load_settings()
    write_state(settings, Running(ended.pid, "http://127.0.0.1:9", "redis://r", "c.yaml"))
    assert read_state(settings) is None


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("0.0.0.0", "http://127.0.0.1:1"),
        ("::", "http://[::1]:1"),
        ("fe80::1", "http://[fe80::1]:1"),
        ("box", "http://box:1"),
    ],
)
def test_an_address_to_listen_on_becomes_one_to_call(host: str, address: str) -> None:
    assert local_url(host, 1) == address


def test_json_lines_are_valid_for_any_output(gateway: FakeGateway, soloist) -> None:
    gateway.respond = lambda request: prediction(output={"a": "line\nbreak\u2028", "b": None})
    (line,) = soloist("status", "x", "--json").out.splitlines()[:1]
    assert (
        json.loads(soloist("status", "x", "--json").out)
        == prediction(output={"a": "line\nbreak\u2028", "b": None})[1]
    )
    assert line.startswith("{")
