"""The `soloist` command as a whole: its version, its help, and one sentence for each mistake."""

import subprocess
import sys

import pytest

from contract import __version__


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


def test_the_command_itself_never_imports_torch_or_celery() -> None:
    code = "import sys, cli.main; print({'torch', 'transformers', 'celery', 'fastapi'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
