"""What the commands print: JSON that keeps every character, and silence where nobody reads."""

import json
import subprocess
import sys

import pytest
from fake_gateway import FakeGateway, echo, prediction

from cli.console import exit_code_of
from contract.errors import LedgerUnavailable, SoloistError, StartRefused
from local.processes import StartFailed


def test_output_that_nobody_reads_ends_the_command_quietly(gateway: FakeGateway) -> None:
    gateway.respond = echo
    command = [sys.executable, "-m", "cli.main", "predict", "minilm", "-", "--url", gateway.url]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        process.stdout.close()
        _, err = process.communicate(b"a\nb\n")
    assert process.returncode == 1
    assert err == b""


def test_the_lines_are_json_that_keeps_every_character(gateway: FakeGateway) -> None:
    gateway.respond = lambda request: (
        200,
        '{"id": "1", "status": "succeeded", "output": "\\ud83d"}',
        {},
    )
    command = [sys.executable, "-m", "cli.main", "predict", "minilm", "x", "--url", gateway.url]
    done = subprocess.run(command, capture_output=True, check=True)
    assert json.loads(done.stdout) == "\ud83d"


def test_json_lines_are_valid_for_any_output(gateway: FakeGateway, soloist) -> None:
    gateway.respond = lambda request: prediction(output={"a": "line\nbreak\u2028", "b": None})
    (line,) = soloist("status", "x", "--json").out.splitlines()[:1]
    assert (
        json.loads(soloist("status", "x", "--json").out)
        == prediction(output={"a": "line\nbreak\u2028", "b": None})[1]
    )
    assert line.startswith("{")


@pytest.mark.parametrize(
    ("error", "code"), [(StartRefused("no"), 78), (StartFailed("no"), 1), (LedgerUnavailable(), 1)]
)
def test_a_start_that_is_refused_has_an_exit_code_of_its_own(
    error: SoloistError, code: int
) -> None:
    assert exit_code_of(error) == code
