"""A Redis behind Sentinel: how its sentinels are asked, and connections that lead to its primary."""

from typing import Any

import redis
import redis.asyncio
import redis.asyncio.sentinel
import redis.sentinel
from redis.backoff import NoBackoff
from redis.retry import Retry

from contract.addresses import Sentinels, behind_sentinel, read_sentinels

ASK_SECONDS = 0.5
"""How long one sentinel may take to answer before the next one is asked."""


def sentinel_options(known: Sentinels, login: dict[str, str]) -> dict[str, Any]:
    """How each sentinel is asked. redis-py itself would ask one that is away four times, with pauses of
    seconds between.
    """
    return {
        "socket_timeout": ASK_SECONDS,
        "socket_connect_timeout": ASK_SECONDS,
        "retry": Retry(NoBackoff(), 0),
        "ssl": known.tls,
        **login,
    }


class _Round:
    """One round of the sentinels, each asked until one names the primary."""

    def __init__(self, service: str) -> None:
        self._service = service
        self._said: list[tuple[Any, Exception | None]] = []

    def note(self, sentinel: Any, error: Exception | None = None) -> None:
        """This one named none: it does not answer, or knows none."""
        self._said.append((sentinel, error))

    def fault(self) -> Exception:
        """What to raise when nobody named it. redis-py quotes a kilobyte of each."""
        said = ", ".join(f"{_place(one)} {error or 'knows none'}" for one, error in self._said)
        refused = all(isinstance(error, redis.AuthenticationError) for _, error in self._said)
        kind = redis.AuthenticationError if refused else redis.sentinel.MasterNotFoundError
        return kind(f"no sentinel names a primary of {self._service!r}: {said}")


def _place(sentinel: Any) -> str:
    known = sentinel.connection_pool.connection_kwargs
    return f"{known['host']}:{known['port']}"


class _Asked(redis.sentinel.Sentinel):
    """redis-py moves the sentinel that answered to the front in place, and two threads that do so at once
    lose one for ever. Here a new list takes the place of the old one.
    """

    def discover_master(self, service_name: str) -> Any:
        asked, known = _Round(service_name), list(self.sentinels)
        for sentinel in known:
            try:
                masters: Any = sentinel.sentinel_masters()
            except (redis.ConnectionError, redis.TimeoutError) as error:
                asked.note(sentinel, error)
                continue
            state = masters.get(service_name)
            if state and self.check_master_state(state, service_name):  # type: ignore[no-untyped-call]
                self.sentinels = [sentinel, *(one for one in known if one is not sentinel)]
                return state["ip"], state["port"]
            asked.note(sentinel)
        raise asked.fault()


class _AsyncAsked(redis.asyncio.sentinel.Sentinel):
    """As `_Asked`, for tasks."""

    async def discover_master(self, service_name: str) -> Any:
        asked, known = _Round(service_name), list(self.sentinels)
        for sentinel in known:
            try:
                masters: Any = await sentinel.sentinel_masters()
            except (redis.ConnectionError, redis.TimeoutError) as error:
                asked.note(sentinel, error)
                continue
            state = masters.get(service_name)
            if state and self.check_master_state(state, service_name):
                self.sentinels = [sentinel, *(one for one in known if one is not sentinel)]
                return state["ip"], state["port"]
            asked.note(sentinel)
        raise asked.fault()


class _Pool(redis.sentinel.SentinelConnectionPool, redis.BlockingConnectionPool):
    """Who finds all connections in use waits for one; redis-py has that without Sentinel only."""

    def close(self) -> None:
        super().close()
        self.sentinel_manager.close()


class _AsyncPool(
    redis.asyncio.sentinel.SentinelConnectionPool, redis.asyncio.BlockingConnectionPool
):
    """As `_Pool`, for an event loop."""

    async def aclose(self) -> None:
        await super().aclose()
        for sentinel in self.sentinel_manager.sentinels:
            await sentinel.aclose()


def open_pool(url: str, login: dict[str, str], **options: Any) -> redis.ConnectionPool:
    """Connections to the Redis that a URL names, or to the one that its sentinels name when it connects.

    Args:
        login: the sentinels' own user and password.
        options: of redis-py's BlockingConnectionPool.
    """
    if not behind_sentinel(url):
        return redis.BlockingConnectionPool.from_url(url, **options)
    known = read_sentinels(url)
    asked = _Asked(  # type: ignore[no-untyped-call]
        known.addresses, sentinel_kwargs=sentinel_options(known, login)
    )
    return _Pool(known.service, asked, **_own(known), **options)  # type: ignore[no-untyped-call]


def open_async_pool(
    url: str, login: dict[str, str], **options: Any
) -> redis.asyncio.ConnectionPool:
    """As `open_pool`, for an event loop."""
    if not behind_sentinel(url):
        return redis.asyncio.BlockingConnectionPool.from_url(url, **options)
    known = read_sentinels(url)
    how = sentinel_options(known, login)
    how["retry"] = redis.asyncio.retry.Retry(NoBackoff(), 0)
    asked = _AsyncAsked(known.addresses, sentinel_kwargs=how)  # type: ignore[no-untyped-call]
    return _AsyncPool(known.service, asked, **_own(known), **options)  # type: ignore[no-untyped-call]


def _own(known: Sentinels) -> dict[str, Any]:
    """What the Redis itself wants to know."""
    return {
        "db": known.database,
        "username": known.username,
        "password": known.password,
        "ssl": known.tls,
    }
