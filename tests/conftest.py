"""What most tests share: a Redis of the session, and a ledger in it that no other test sees."""

import secrets
from collections.abc import Iterator

import pytest

from contract.ledger.client import Ledger
from contract.settings import Settings
from local.redis import EmbeddedRedis


@pytest.fixture(scope="session")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a Redis that lives for the session. A test that hurts a Redis starts its own."""
    with EmbeddedRedis(tmp_path_factory.mktemp("redis"), appendfsync="no") as embedded:
        yield embedded.url


@pytest.fixture
def settings(redis_url: str) -> Settings:
    """Settings with a prefix of their own, so that tests share the Redis and nothing in it."""
    return Settings(redis_url=redis_url, prefix=f"test-{secrets.token_hex(6)}:")


@pytest.fixture
def ledger(settings: Settings) -> Iterator[Ledger]:
    opened = Ledger(settings)
    yield opened
    opened.close()
