"""Each command is tested in an empty folder, against a fake gateway."""

import io
import json
import os
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from fake_gateway import FakeGateway, Handler, Server

from cli import main


@pytest.fixture(autouse=True)
def clean_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No settings, no catalog and no running Soloist but what the test makes."""
    for name in os.environ:
        if name.startswith("SOLOIST_"):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def gateway(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeGateway]:
    fake = FakeGateway()
    handler = type("Bound", (Handler,), {"gateway": fake})
    with Server(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        fake.url = f"http://127.0.0.1:{server.server_port}"
        monkeypatch.setenv("SOLOIST_PORT", str(server.server_port))
        yield fake
        server.shutdown()
        thread.join()


@dataclass
class Result:
    code: int
    out: str
    err: str

    @property
    def lines(self) -> list[Any]:
        return [json.loads(line) for line in self.out.splitlines()]


@pytest.fixture
def soloist(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Result]:
    """Run `soloist` with these arguments, and lines piped in."""

    def run(*arguments: str, piped: str = "") -> Result:
        monkeypatch.setattr("sys.stdin", io.StringIO(piped))
        code = main.run(arguments)
        captured = capsys.readouterr()
        return Result(code, captured.out, captured.err)

    return run
