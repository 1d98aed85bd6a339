"""Each command is tested in an empty folder, against a fake gateway."""

import io
import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from fake_gateway import FakeGateway, Handler, Server

from cli import main
from contract.ledger.client import Ledger
from contract.settings import load_settings
from local.redis import EmbeddedRedis
from tests.support.empty_folder import enter_empty_folder

CATALOG = "models:\n  m:\n    python: a:B\n  other:\n    python: a:B\n    id: acme/other\n"


@pytest.fixture(autouse=True)
def empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    enter_empty_folder(tmp_path, monkeypatch)


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
        code = main.run_soloist(arguments)
        captured = capsys.readouterr()
        return Result(code, captured.out, captured.err)

    return run


@pytest.fixture(scope="module")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A Redis of this module, which its tests may empty."""
    with EmbeddedRedis(tmp_path_factory.mktemp("ledger"), appendfsync="no") as embedded:
        yield embedded.url


@pytest.fixture
def ledger(redis_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Ledger]:
    """An empty ledger that the commands find by the environment, beside a catalog of two models."""
    monkeypatch.setenv("SOLOIST_REDIS_URL", redis_url)
    Path("catalog.yaml").write_text(CATALOG)
    ledger = Ledger(load_settings())
    ledger.redis.flushall()
    yield ledger
    ledger.close()
