"""The start and the end of a gateway or keeper process."""

import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
import uvicorn

from contract.catalog import Catalog
from contract.settings import Settings
from local.processes import free_port
from local.redis import EmbeddedRedis
from service import process
from service.http.protocol import ProbeHttpProtocol
from service.keeper.app import create_keeper
from tests.support.programs import Program

ODD = "p@ss/w:rd#%"


@pytest.fixture
def locked(tmp_path: Path) -> Iterator[EmbeddedRedis]:
    """A Redis with a password."""
    with EmbeddedRedis(tmp_path / "redis", appendfsync="no") as own:
        with redis.Redis(port=own.port) as plain:
            plain.config_set("requirepass", ODD)
        yield own


SWALLOWS = """
import os, signal
import service.process, service.__main__
def serve():
    try:
        os.kill(os.getpid(), signal.SIGTERM)
    except BaseException:
        raise ValueError
service.process.serve_keeper = serve
raise SystemExit(service.__main__.main(["keeper"]))
"""


def test_the_end_of_a_process_that_starts_is_nothing_that_an_import_could_swallow() -> None:
    folder = Path(process.__file__).parents[1]
    command = [sys.executable, "-c", SWALLOWS]
    assert subprocess.run(command, cwd=folder, timeout=60, check=False).returncode == 0


@pytest.mark.slow
@pytest.mark.parametrize("name", ["gateway", "keeper"])
def test_a_process_that_waits_for_its_ledger_ends_when_it_is_told_to(
    name: str, tmp_path: Path
) -> None:
    catalog = tmp_path / "catalog.yaml"
    catalog.write_text("models: {echo: {python: 'a:B'}}\n")
    url = f"redis://127.0.0.1:{free_port()}"
    env = {"SOLOIST_REDIS_URL": url, "SOLOIST_CATALOG": str(catalog)}
    waiting = Program(name, ["service", name], tmp_path, env)
    try:
        waiting.says("waiting for the ledger", 0)

        assert waiting.end(10) == 0
    finally:
        waiting.kill()


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
