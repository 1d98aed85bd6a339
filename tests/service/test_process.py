"""The start of gateway and keeper: what they say of a ledger that they cannot use, and who gives up when."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
import uvicorn

from cli.embedded import EmbeddedRedis, free_port
from contract.catalog import Catalog
from contract.errors import StartRefused
from contract.settings import Settings
from service import process
from service.keeper import create_keeper
from service.process import wait_for_ledger
from service.protocol import ProbeHttpProtocol

ALL = "SOLOIST_REDIS_URL, SOLOIST_REDIS_USERNAME, SOLOIST_REDIS_PASSWORD"
ODD = "p@ss/w:rd#%"
WRONG = "hunter2"


@pytest.fixture
def locked(tmp_path: Path) -> Iterator[EmbeddedRedis]:
    """A Redis with a password."""
    with EmbeddedRedis(tmp_path / "redis", appendfsync="no") as own:
        with redis.Redis(port=own.port) as plain:
            plain.config_set("requirepass", ODD)
        yield own


def refused(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> str:
    """The line that a process exits with, after a short while."""
    monkeypatch.setattr(process, "CHECK_SECONDS", 0.7)
    with pytest.raises(StartRefused) as caught:
        asyncio.run(wait_for_ledger(settings))
    return caught.value.detail


def told(caplog: pytest.LogCaptureFixture) -> dict[str, str]:
    """The one line of the log."""
    (record,) = [record for record in caplog.records if record.name == process.logger.name]
    assert record.getMessage() == "waiting for the ledger"
    return vars(record)


def test_the_right_password_is_let_in(locked: EmbeddedRedis) -> None:
    asyncio.run(wait_for_ledger(Settings(redis_url=locked.url, redis_password=ODD)))


def test_a_wrong_password_is_told_in_one_line_that_names_the_settings(
    locked: EmbeddedRedis, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    line = refused(Settings(redis_url=locked.url, redis_password=WRONG), monkeypatch)
    at = f"127.0.0.1:{locked.port}"
    trouble = told(caplog)

    assert line == f"the ledger refuses our user or password at {at}, for 0.7 s now; see {ALL}"
    assert trouble["detail"] == "the ledger refuses our user or password"
    assert (trouble["address"], trouble["settings"]) == (at, ALL)
    assert "hunter2" not in line + str(trouble)


def test_a_wrong_host_is_told_in_one_line_that_names_the_settings(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    at = f"127.0.0.1:{free_port()}"
    line = refused(Settings(redis_url=f"redis://:hunter2@{at}"), monkeypatch)
    trouble = told(caplog)

    assert line.startswith(f"the ledger does not answer (ConnectionError) at {at}, for")
    assert line.endswith(f"; see {ALL}")
    assert "Connect call failed" in trouble["cause"]
    assert "hunter2" not in line + str(trouble)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["gateway", "keeper"])
def test_a_process_that_waits_for_its_ledger_ends_when_it_is_told_to(
    name: str, tmp_path: Path
) -> None:
    catalog = tmp_path / "catalog.yaml"
    catalog.write_text("models: {echo: {python: 'a:B'}}\n")
    url = f"redis://127.0.0.1:{free_port()}"
    with subprocess.Popen(
        [sys.executable, "-m", "service", name],
        env={**os.environ, "SOLOIST_REDIS_URL": url, "SOLOIST_CATALOG": str(catalog)},
        cwd=Path(process.__file__).parents[1],
        stdout=subprocess.PIPE,
        text=True,
    ) as waiting:
        assert waiting.stdout is not None
        assert any("waiting for the ledger" in line for line in waiting.stdout)
        waiting.terminate()

        assert waiting.wait(10) == 0


def test_a_signal_that_comes_before_uvicorn_listens_to_signals_is_not_lost(
    locked: EmbeddedRedis, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    run = uvicorn.Server.run

    def told_at_once(server: uvicorn.Server, sockets: list[socket.socket]) -> None:
        signal.raise_signal(signal.SIGTERM)
        run(server, sockets)

    monkeypatch.setattr(uvicorn.Server, "run", told_at_once)
    settings = Settings(redis_url=locked.url, redis_password=ODD, keeper_port=0)
    try:
        process._serve(create_keeper(settings, Catalog([])), settings, 0, ProbeHttpProtocol)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
