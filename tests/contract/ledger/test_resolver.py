"""A resolver that keeps silent costs a call no more than its time, and only one thread however often it is asked."""

import socket
import threading
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest

from contract.errors import LedgerUnavailable
from contract.ledger.client import Ledger
from contract.ledger.resolver import LookUps
from contract.ledger.transitions import expire
from contract.settings import Settings
from local.redis import EmbeddedRedis
from tests.support.waiting import until

NAME = "looked-up-for-long.invalid"  # and in no other test


class Resolver:
    """Knows one name more than the machine's, once it speaks."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.speaks, self.asked = threading.Event(), 0
        self.fails = False
        real = socket.getaddrinfo

        def getaddrinfo(host: Any, *more: Any, **named: Any) -> Any:
            if host != NAME:
                return real(host, *more, **named)
            self.asked += 1
            self.speaks.wait(60)
            if self.fails:
                raise socket.gaierror(-3, "Temporary failure in name resolution")
            return real("127.0.0.1", *more, **named)

        monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)


@pytest.fixture
def resolver(monkeypatch: pytest.MonkeyPatch) -> Iterator[Resolver]:
    made = Resolver(monkeypatch)
    yield made
    made.speaks.set()


def test_a_call_to_a_ledger_whose_name_is_looked_up_for_long_has_its_usual_limit(
    own_redis: EmbeddedRedis, resolver: Resolver
) -> None:
    url = f"redis://{NAME}:{own_redis.port}/0"
    ledger = Ledger(Settings(redis_url=url, ledger_timeout_seconds=0.05))
    for _ in range(10):
        with pytest.raises(LedgerUnavailable) as caught:
            ledger.run(expire(1))
        assert not caught.value.sent
    assert resolver.asked == 1, "a thread that waits is enough, however often it is asked"
    resolver.speaks.set()

    def answers() -> bool:
        with suppress(LedgerUnavailable):
            ledger.run(expire(1))
            return True
        return False

    until("the ledger answers", answers)
    ledger.close()


def test_what_the_resolver_says_is_said(resolver: Resolver) -> None:
    resolver.fails = True
    resolver.speaks.set()
    for _ in range(2):  # asked anew, as it may know better now
        with pytest.raises(OSError, match="Temporary failure"):
            LookUps().look_up(NAME, 10)
    assert resolver.asked == 2


def test_the_name_of_a_primary_that_is_gone_does_not_keep_anybody_from_its_sentinels(
    resolver: Resolver,
) -> None:
    settings = Settings(redis_url="redis+sentinel://127.0.0.1:1/ledger", ledger_timeout_seconds=5)
    ledger = Ledger(settings)
    held = ledger.connections._pool.take()
    held.connection.host = NAME  # where it led before
    ledger.connections._pool.put_back(held)
    with pytest.raises(LedgerUnavailable, match="sentinels name no primary"):
        ledger.run(expire(1))
    assert resolver.asked == 0
    ledger.close()


@pytest.mark.parametrize("address", ["127.0.0.1", "::1", "10.1.2.3"])
def test_an_address_is_asked_of_nobody(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_: pytest.fail("it was asked"))
    LookUps().look_up(address, 0)
