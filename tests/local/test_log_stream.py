"""The one log stream of `soloist up`: readable on a terminal, JSON for machines."""

import json

import pytest

from local.log_stream import LogStream

LOGGED = (
    '{"at":"2026-01-02T03:04:05.678+00:00","level":"warning","logger":"x","message":"slow","ms":12}'
)


def test_lines_are_readable_on_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    stream = LogStream(["gateway", "m"], as_json=False)
    stream.write_line("m", LOGGED)
    stream.write_line("gateway", "Traceback [most] recent")
    assert capsys.readouterr().out == (
        "m       │ 03:04:05 warning slow ms=12\ngateway │ Traceback [most] recent\n"
    )


def test_lines_are_json_for_machines(capsys: pytest.CaptureFixture[str]) -> None:
    stream = LogStream(["m"], as_json=True)
    stream.write_line("m", LOGGED)
    stream.write_line("m", "no JSON")
    stream.write_sentence("hello")
    first, second, third = map(json.loads, capsys.readouterr().out.splitlines())
    assert first == {"process": "m", **json.loads(LOGGED)}
    assert second == {"process": "m", "message": "no JSON"}
    assert third == {"process": "up", "message": "hello"}
