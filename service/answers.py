"""Brings outcomes to the requests that wait for them in this process.

One subscription per process carries the announcements of all its predictions, by the batch. It may break;
then the process subscribes again and reads the records of all that still wait, so no answer is missed.
"""

import asyncio
import logging
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import msgpack
import redis.asyncio
from redis.asyncio.client import PubSub

from contract.errors import SoloistError
from contract.ledger import FAULTS, AsyncLedger
from contract.transitions import read

logger = logging.getLogger(__name__)

Listener = Callable[[str, dict[str, Any]], None]
"""Called with `outcome` and the fields that changed, with `events`, or with `drain` when this process
ends and nobody should wait in it any longer."""

PING_SECONDS = 2.0
READ_AT_ONCE = 256


class Answers:
    """Who waits in this process for which prediction. `name` is this process's name in the ledger."""

    def __init__(self, ledger: AsyncLedger) -> None:
        self.name = secrets.token_hex(8)
        self._ledger = ledger
        self._listeners: dict[str, list[Listener]] = {}
        self._task: asyncio.Task[None] | None = None
        self._subscribed = asyncio.Event()
        self.draining = False

    @property
    def waiting(self) -> int:
        """How many predictions somebody waits for."""
        return len(self._listeners)

    @contextmanager
    def listen(self, id: str, listener: Listener) -> Iterator[None]:
        """Call `listener` with all that is announced of this prediction. Register before you ask the
        ledger to announce, or the answer may come first.
        """
        self._listeners.setdefault(id, []).append(listener)
        if self.draining:
            listener("drain", {})
        try:
            yield
        finally:
            listeners = self._listeners[id]
            listeners.remove(listener)
            if not listeners:
                del self._listeners[id]

    def drain(self) -> None:
        """Let go of all who wait: they are answered with their prediction as it stands."""
        self.draining = True
        for id in list(self._listeners):
            self._tell(id, "drain", {})

    async def start(self) -> None:
        """Subscribe; a ledger that is away does not hold the start up."""
        self._task = asyncio.create_task(self._run())
        with suppress(TimeoutError):
            async with asyncio.timeout(1):
                await self._subscribed.wait()

    async def stop(self) -> None:
        if self._task:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    async def _run(self) -> None:
        while True:
            pubsub = self._ledger.redis.pubsub()
            try:
                await pubsub.subscribe(self._ledger.key("answers", self.name))
                await self._receive(pubsub)
            except (*FAULTS, SoloistError) as error:
                logger.warning("answers are cut off", extra={"error": type(error).__name__})
                await asyncio.sleep(0.2)
            finally:
                with suppress(Exception):
                    await pubsub.aclose()

    async def _receive(self, pubsub: PubSub) -> None:
        heard = pinged = time.monotonic()
        while True:
            message = await pubsub.get_message(
                ignore_subscribe_messages=False, timeout=PING_SECONDS
            )
            now = time.monotonic()
            if message is not None:
                heard = now
                if message["type"] == "subscribe":
                    # For the first time or again: redis-py mends a broken connection without a word.
                    self._subscribed.set()
                    await self._catch_up()
                elif message["type"] == "message":
                    self._deliver(message["data"])
            elif now - heard > 2 * PING_SECONDS:
                # A half-open connection says nothing and breaks never.
                raise redis.asyncio.ConnectionError("the subscription is silent")
            if now - heard > PING_SECONDS * 0.9 and now - pinged > PING_SECONDS * 0.9:
                pinged = now
                await pubsub.ping()

    def _deliver(self, packed: bytes) -> None:
        for id, kind, *fields in msgpack.unpackb(packed, unicode_errors="replace"):
            self._tell(id, kind, fields[0] if fields else {})

    def _tell(self, id: str, kind: str, fields: dict[str, Any]) -> None:
        for listener in tuple(self._listeners.get(id, ())):
            listener(kind, fields)

    async def _catch_up(self) -> None:
        """Read what was announced while nobody listened."""
        ids = list(self._listeners)
        for start in range(0, len(ids), READ_AT_ONCE):
            some = ids[start : start + READ_AT_ONCE]
            views = await self._ledger.run(read([(id, -1) for id in some], watcher=self.name))
            for id, view in zip(some, views, strict=True):
                if view is None:
                    continue
                self._tell(id, "events", {})
                if view.prediction.status.terminal:
                    self._tell(id, "outcome", view.prediction.outcome)
