"""The ledger with a clock that tests move, and a Redis that a test may hurt."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from contract.settings import Settings
from local.redis import EmbeddedRedis
from tests.support.external_tools import newer_redis
from tests.support.ledger_harness import LedgerHarness


@pytest.fixture(scope="session", params=["redis 6.2", "redis 7"])
def redis_program(request: pytest.FixtureRequest) -> Path | None:
    """The scripts, and the errors of Redis, are tested on the product's own and on a newer one."""
    return newer_redis() if request.param == "redis 7" else None


@pytest.fixture(scope="session")
def redis_url(
    redis_program: Path | None, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("redis")
    with EmbeddedRedis(folder, program=redis_program, appendfsync="no") as embedded:
        yield embedded.url


@pytest.fixture
def harness(settings: Settings) -> Iterator[LedgerHarness]:
    opened = LedgerHarness(settings)
    yield opened
    opened.close()


@pytest.fixture
def own_redis(redis_program: Path | None, tmp_path: Path) -> Iterator[EmbeddedRedis]:
    """A Redis of this test alone."""
    with EmbeddedRedis(tmp_path / "redis", program=redis_program, appendfsync="no") as embedded:
        yield embedded
