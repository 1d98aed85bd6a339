"""The ledger: runs transitions in Redis, for a worker (`Ledger`) or an event loop (`AsyncLedger`)."""

from collections.abc import Sequence
from contextlib import suppress
from typing import Any, TypeVar

import msgpack
import redis
import redis.asyncio
from redis.backoff import NoBackoff
from redis.retry import Retry

from contract.errors import LedgerUnavailable
from contract.ledger.connections import AsyncConnections, Call, Connections
from contract.ledger.keys import AT_WORK, key
from contract.ledger.replicas import Replicas
from contract.ledger.scripts import load_script
from contract.ledger.start import check_safety, check_schema, read_info, start_errors
from contract.ledger.subscription import Subscription
from contract.ledger.transitions import Transition, mark_schema
from contract.sentinel import open_async_pool, open_pool
from contract.settings import Settings

T = TypeVar("T")

CONNECTIONS = 16


def _options(settings: Settings) -> dict[str, Any]:
    """redis-py's own defaults differ: 5 s, several retries, and an error on the 101st connection."""
    return {
        "socket_timeout": settings.ledger_timeout_seconds,
        "socket_connect_timeout": settings.ledger_timeout_seconds,
        "socket_keepalive": True,
        "health_check_interval": 0,
        "max_connections": CONNECTIONS,
        "timeout": settings.ledger_timeout_seconds,
        "protocol": 2,
    }


class _Base:
    """How a transition is sent and its answer read, whoever does the waiting."""

    def __init__(self, settings: Settings, clock: str | None = None) -> None:
        self.settings = settings
        self.prefix = settings.prefix
        self._clock = clock
        self.replicas = Replicas(settings)

    def key(self, kind: str, name: str = "") -> str:
        """The Redis key of a kind (contract/ledger/keys.py) in this ledger."""
        return key(self.prefix, kind, name)

    def _call(
        self, transition: Transition[Any], seconds: float | None = None, attempt: int = 0
    ) -> Call:
        script = load_script(transition.script, self._clock)
        args = msgpack.packb(
            # Redis 6's Lua reads text and bytes alike, in the format's older form.
            self.replicas.script_args(transition),
            use_bin_type=False,
            unicode_errors="replace",  # a model's text may hold half a surrogate pair
        )
        return Call(
            ("EVALSHA", script.sha, 0, self.prefix, args),
            lambda: ("EVAL", script.source, 0, self.prefix, args),
            self.replicas.wait_commands(transition, seconds),
            seconds=seconds,
            attempt=attempt,
        )

    @staticmethod
    def _answer(transition: Transition[T], packed: bytes) -> T:
        return transition.read_answer(
            msgpack.unpackb(packed, unicode_errors="replace", strict_map_key=False)
        )


class Ledger(_Base):
    """The ledger for code that waits in its own thread. Safe to share between threads."""

    def __init__(self, settings: Settings, clock: str | None = None) -> None:
        super().__init__(settings, clock)
        login, retry = settings.sentinel_login("ledger"), Retry(NoBackoff(), 0)
        pool = open_pool(settings.ledger, login, retry=retry, **_options(settings))
        self.connections = Connections(
            pool.make_connection, CONNECTIONS, settings.ledger_timeout_seconds
        )
        self.redis = redis.Redis.from_pool(pool)
        """Plain Redis commands, for tests and tools: what it raises is not ours."""

    def run(self, transition: Transition[T]) -> T:
        """Run one transition.

        Raises:
            LedgerUnavailable, LedgerFull: it did not answer, or could not write; or too few replicas answered.
                It may have been carried out where `sent` is true.
        """
        packed, *acknowledged = self.connections.exchange(self._call(transition))
        answer = self._answer(transition, packed)
        if not acknowledged:
            return answer
        enough = self.replicas.are_enough(*acknowledged)
        if not enough:
            self.connections.renew()  # a primary that was replaced may be the last to know
        if announcing := self.replicas.announcement(transition, answer, enough):
            with suppress(LedgerUnavailable):  # the keeper announces it too
                self.connections.exchange(self._call(announcing))
        return answer

    def check(self) -> None:
        """Return when predictions are safe here.

        Raises:
            LedgerUnavailable: it may come yet; or it answered what nobody expected.
            LedgerUnsafe, LedgerNewer, LedgerRefuses: it is there, and wrong for us.
        """
        with start_errors(self.settings, self.connections.renew):
            (info,) = self.connections.exchange(Call(("INFO",)))
            check_safety(read_info(info), self.settings.durability)
            check_schema(self.run(mark_schema()))

    def close(self) -> None:
        self.connections.close()
        self.redis.close()


class AsyncLedger(_Base):
    """The ledger for an event loop. Its methods raise as those of `Ledger` do."""

    def __init__(self, settings: Settings, clock: str | None = None) -> None:
        super().__init__(settings, clock)
        login, retry = settings.sentinel_login("ledger"), redis.asyncio.retry.Retry(NoBackoff(), 0)
        pool = open_async_pool(settings.ledger, login, retry=retry, **_options(settings))
        self.connections = AsyncConnections(
            pool.make_connection, CONNECTIONS, settings.ledger_timeout_seconds
        )
        self.redis = redis.asyncio.Redis.from_pool(pool)
        """Plain Redis commands, for tests and tools: what it raises is not ours."""

    async def run(
        self, transition: Transition[T], *, seconds: float | None = None, attempt: int = 0
    ) -> T:
        """Run one transition; see `Ledger.run`.

        Args:
            seconds: in place of the setting.
            attempt: for a caller that makes its own tries, their number from 1 on; see `Call`.
        """
        call = self._call(transition, seconds, attempt)
        packed, *acknowledged = await self.connections.exchange(call)
        answer = self._answer(transition, packed)
        if not acknowledged:
            return answer
        enough = self.replicas.are_enough(*acknowledged)
        if not enough:
            self.connections.renew()
        if announcing := self.replicas.announcement(transition, answer, enough):
            with suppress(LedgerUnavailable):
                await self.connections.exchange(self._call(announcing))
        return answer

    async def list_models(self) -> set[str]:
        """The models that it knows."""
        (names,) = await self.connections.exchange(Call(("SMEMBERS", self.key("models"))))
        return {name.decode() for name in names}

    async def read_activity(self, models: Sequence[str]) -> tuple[int, bytes | None, bytes | None]:
        """(how much these models have to keep, a mark that every create changes, and one that workers
        change); 0 where all are quiet.
        """
        works = [self.key(kind, model) for model in models for kind in AT_WORK]
        marks = ("MGET", self.key("sequence"), self.key("changes"))
        found, (created, changes) = await self.connections.exchange(
            Call(("EXISTS", *(works or [self.key("queued")])), then=(marks,))
        )
        return found, created, changes

    def subscribe(self, channel: str) -> Subscription:
        """A subscription to a channel, to be opened."""
        return Subscription(self.redis, channel, self.settings.ledger_timeout_seconds)

    async def publish_echo(self, channel: str) -> None:
        """Publish nothing on a channel, by the ledger's primary: who listens and hears it would hear the
        rest too. A demoted one is found out by a deletion, which writes nothing: no key has this name.
        """
        await self.connections.exchange(Call(("DEL", channel), then=(("PUBLISH", channel, b""),)))

    async def check(self) -> None:
        """See `Ledger.check`."""
        with start_errors(self.settings, self.connections.renew):
            (info,) = await self.connections.exchange(Call(("INFO",)))
            check_safety(read_info(info), self.settings.durability)
            check_schema(await self.run(mark_schema()))

    async def close(self) -> None:
        await self.connections.close()
        await self.redis.aclose()
