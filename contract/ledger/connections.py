"""Connections to the ledger's Redis, each taken for one call at a time and given back whole, or dropped.

Whatever goes wrong on one, while it connects, writes, reads or parses, becomes LedgerUnavailable here and
nowhere else. redis-py's own clients are not used for calls: they do not say whether anything was written,
and their asynchronous pool loses a connection whose task is canceled at the wrong moment.
"""

import asyncio
import os
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from threading import BoundedSemaphore
from typing import Any

import redis
import redis.asyncio
from redis.exceptions import NoScriptError
from redis.sentinel import SentinelManagedConnection

from contract.ledger.redis_errors import is_answer, is_demoted, is_elsewhere, translate_error
from contract.ledger.resolver import LookUps

Command = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Call:
    """What is sent over one connection, each command when the one before was answered."""

    first: Command
    fallback: Callable[[], Command] | None = None
    """What is sent in place of the first, if that names a script that Redis does not know."""
    then: tuple[Command, ...] = ()
    more_seconds: float = 0.0
    """For commands that wait by themselves: how much longer than other calls it may take."""
    seconds: float | None = None
    """What it may take in place of what other calls may."""
    attempt: int = 0
    """For callers that must know what became of each try, and so make the next one themselves: the number
    of this one. From the second on it takes a fresh connection. 0 leaves the second try to us."""


class _Tries:
    """One call's time, what became of it so far, and whether it is worth a second try."""

    def __init__(self, call: Call, seconds: float) -> None:
        """`seconds` is what most calls may take."""
        seconds = (seconds if call.seconds is None else call.seconds) + call.more_seconds
        self._until = time.monotonic() + seconds
        self._last = call.attempt > 0
        self.fresh = call.attempt > 1
        self.answers: list[Any] = []
        self._writing = False
        self._sent = False

    @property
    def left(self) -> float:
        """Seconds; never 0, which would mean not to wait, or to wait for ever."""
        return max(0.001, self._until - time.monotonic())

    def write(self) -> None:
        """From now on bytes may be on their way."""
        self._writing = True

    def read(self, answer: Any) -> None:
        """Redis answered to what was written last."""
        self._writing = False
        self.answers.append(answer)

    def fault(self, error: BaseException) -> Exception | None:
        """What to raise; None for one more try, on a fresh connection: a Redis that restarted and a
        router that forgot leave dead ones behind, and after a failover the name leads elsewhere.
        """
        carried_out, refused = bool(self.answers), is_answer(error)
        self._sent |= carried_out or (self._writing and not refused)
        self._writing = False
        self.answers.clear()
        late = _is_timeout(error) or self.left < 0.01
        hopeless = (refused and not is_elsewhere(error)) or isinstance(error, redis.DataError)
        if self._last or late or hopeless or carried_out:
            return translate_error(error, sent=self._sent)
        self._last = self.fresh = True
        return None


@dataclass(slots=True, eq=False)
class _Pooled:
    """A connection, open or not, and the era in which it was opened."""

    connection: Any
    era: int = -1


class _Pool:
    """Connections that no call uses now; the one used last is taken first."""

    def __init__(self, make: Callable[[], Any]) -> None:
        self._make = make
        self._idle: list[_Pooled] = []
        self._era = 0
        """Counts how often all that were open had to be given up."""

    def take(self) -> _Pooled:
        try:
            return self._idle.pop()
        except IndexError:
            return _Pooled(self._make())

    def put_back(self, pooled: _Pooled) -> None:
        self._idle.append(pooled)

    def mark_opened(self, pooled: _Pooled) -> None:
        pooled.era = self._era

    def is_outdated(self, pooled: _Pooled) -> bool:
        """Whether it was opened before the last `renew`."""
        return pooled.era != self._era

    def renew(self) -> None:
        """Use none again that is open now: the ledger's name may lead elsewhere meanwhile."""
        self._era += 1

    def clear(self) -> list[Any]:
        """Take all of them out."""
        self.renew()
        idle, self._idle = self._idle, []
        return [pooled.connection for pooled in idle]


class Connections:
    """For code that waits in its own thread. Safe to share between threads, and after a fork."""

    def __init__(self, make: Callable[[], Any], most: int, seconds: float) -> None:
        """`most` are in use at once; a call takes `seconds`, the wait for its turn included."""
        self._make, self._most, self._seconds = make, most, seconds
        self._reset()

    def _reset(self) -> None:
        self._pool = _Pool(self._make)
        self._room = BoundedSemaphore(self._most)
        self._look_ups = LookUps()
        self._process = os.getpid()

    def exchange(self, call: Call) -> list[Any]:
        """Redis's answer to each command.

        Raises:
            LedgerUnavailable, LedgerFull: it did not answer, or it refused. Where `sent` is true, some or
                all of it may have been carried out.
            redis.ResponseError, redis.DataError: a mistake of ours.
        """
        if self._process != os.getpid():
            self._reset()  # the parent's connections are the parent's
        tries = _Tries(call, self._seconds)
        while True:
            try:
                return self._try(call, tries)
            except Exception as error:
                if _leads_away(error):
                    self._pool.renew()
                if fault := tries.fault(error):
                    raise fault from error

    def _try(self, call: Call, tries: _Tries) -> list[Any]:
        pool, room = self._pool, self._room
        if not room.acquire(timeout=tries.left):
            raise redis.ConnectionError("no connection is free")
        pooled, whole = pool.take(), False
        try:
            self._open(pooled, tries)
            answers = self._converse(pooled.connection, call, tries)
            whole = True
            return answers
        except Exception as error:
            whole = _leaves_whole(error)
            raise
        finally:
            if not whole or pool.is_outdated(pooled):
                with suppress(Exception):
                    pooled.connection.disconnect()
            pool.put_back(pooled)
            room.release()

    def _open(self, pooled: _Pooled, tries: _Tries) -> None:
        connection = pooled.connection
        if connection.is_connected and (tries.fresh or self._stale(pooled)):
            connection.disconnect()
        if not connection.is_connected:
            self._pool.mark_opened(pooled)
            if not isinstance(connection, SentinelManagedConnection):  # which does not know it yet
                self._look_ups.look_up(connection.host, tries.left)
            connection.connect()

    def _stale(self, pooled: _Pooled) -> bool:
        """Given up, closed by the other side, or with something to read that nobody asked for."""
        try:
            return self._pool.is_outdated(pooled) or bool(pooled.connection.can_read())
        except Exception:
            return True

    def _converse(self, connection: Any, call: Call, tries: _Tries) -> list[Any]:
        try:
            self._ask(connection, call.first, tries)
        except NoScriptError:
            if call.fallback is None:
                raise
            self._ask(connection, call.fallback(), tries)
        for command in call.then:
            self._ask(connection, command, tries)
        return tries.answers

    def _ask(self, connection: Any, command: Command, tries: _Tries) -> None:
        packed = connection.pack_command(*command)
        tries.write()
        connection.send_packed_command(packed, check_health=False)
        tries.read(connection.read_response(timeout=tries.left))

    def renew(self) -> None:
        """Use none again that is open now: what answers there may not be the primary any more."""
        self._pool.renew()

    def close(self) -> None:
        """Close what nobody uses; what somebody does is closed when it is given back."""
        for connection in self._pool.clear():
            connection.disconnect()


class AsyncConnections:
    """For an event loop. A task may be canceled in the middle of its call."""

    def __init__(self, make: Callable[[], Any], most: int, seconds: float) -> None:
        """See `Connections`."""
        self._pool = _Pool(make)
        self._room = asyncio.Semaphore(most)
        self._seconds = seconds
        self.demotions = 0
        """Counts how often a replica answered in the primary's place."""

    async def exchange(self, call: Call) -> list[Any]:
        """Redis's answer to each command; see `Connections.exchange`."""
        tries = _Tries(call, self._seconds)
        while True:
            try:
                async with asyncio.timeout(tries.left):
                    return await self._try(call, tries)
            except (Exception, asyncio.CancelledError) as error:
                if _is_own_cancel(error):
                    raise
                self.demotions += is_demoted(error)
                if _leads_away(error):
                    self._pool.renew()
                if fault := tries.fault(error):
                    raise fault from error

    async def _try(self, call: Call, tries: _Tries) -> list[Any]:
        async with self._room:
            pooled, whole = self._pool.take(), False
            try:
                await self._open(pooled, tries)
                answers = await self._converse(pooled.connection, call, tries)
                whole = True
                return answers
            except Exception as error:
                whole = _leaves_whole(error)
                raise
            finally:
                # Nothing here waits, so no second cancel can come between.
                if not whole or self._pool.is_outdated(pooled):
                    await _drop(pooled.connection)
                self._pool.put_back(pooled)

    async def _open(self, pooled: _Pooled, tries: _Tries) -> None:
        connection = pooled.connection
        if connection.is_connected and (tries.fresh or await self._stale(pooled)):
            await _drop(connection)
        if not connection.is_connected:
            self._pool.mark_opened(pooled)
            # All of a call has one limit. redis-py's own would cost a task for each write.
            connection.socket_timeout = None
            await connection.connect()

    async def _stale(self, pooled: _Pooled) -> bool:
        """As in `Connections`. A transport that was cut is closing before its reader knows."""
        connection = pooled.connection
        try:
            return (
                self._pool.is_outdated(pooled)
                or connection._writer.is_closing()
                or await connection.can_read()
            )
        except Exception:
            return True

    async def _converse(self, connection: Any, call: Call, tries: _Tries) -> list[Any]:
        try:
            await self._ask(connection, call.first, tries)
        except NoScriptError:
            if call.fallback is None:
                raise
            await self._ask(connection, call.fallback(), tries)
        for command in call.then:
            await self._ask(connection, command, tries)
        return tries.answers

    async def _ask(self, connection: Any, command: Command, tries: _Tries) -> None:
        packed = connection.pack_command(*command)
        tries.write()
        await connection.send_packed_command(packed, check_health=False)
        tries.read(await connection.read_response())

    def renew(self) -> None:
        """See `Connections.renew`."""
        self._pool.renew()

    async def close(self) -> None:
        """See `Connections.close`."""
        for connection in self._pool.clear():
            await connection.disconnect()


async def _drop(connection: Any) -> None:
    with suppress(Exception):
        await connection.disconnect(nowait=True)


def _leaves_whole(error: Exception) -> bool:
    """Whether a connection is fit for the next call: all that Redis had to say was read."""
    return isinstance(error, redis.ResponseError | redis.DataError) and not is_elsewhere(error)


def _leads_away(error: BaseException) -> bool:
    """Whether the name of the ledger is to be asked again before its next use."""
    return is_elsewhere(error) or _is_timeout(error)


def _is_timeout(error: BaseException) -> bool:
    return isinstance(error, TimeoutError | redis.TimeoutError)


def _is_own_cancel(error: BaseException) -> bool:
    """Whether this task is meant, and not something inside the call that was given up."""
    task = asyncio.current_task()
    return isinstance(error, asyncio.CancelledError) and bool(task and task.cancelling())
