"""`soloist gateway`, `keeper`, `worker` and `bench`: each becomes the process of that name."""

import os
import sys

import pytest

from cli import processes


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
