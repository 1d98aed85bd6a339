"""The desk at which the ledger is tested, and a Redis that a test may hurt."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from desk import Desk

from cli.embedded import EmbeddedRedis
from contract.settings import Settings


@pytest.fixture
def desk(settings: Settings) -> Iterator[Desk]:
    opened = Desk(settings)
    yield opened
    opened.close()


@pytest.fixture
def own_redis(tmp_path: Path) -> Iterator[EmbeddedRedis]:
    """A Redis of this test alone."""
    with EmbeddedRedis(tmp_path / "redis", appendfsync="no") as embedded:
        yield embedded
