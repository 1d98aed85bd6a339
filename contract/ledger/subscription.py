"""A subscription to one channel of the ledger, on a connection of its own."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, Self

import redis.asyncio

from contract.ledger.redis_errors import translate_error


class Subscription:
    """``async with ledger.subscribe(channel) as heard: await heard.message(2.0)``.

    It is subscribed from the first line of its block on. Nothing is heard again after an error: whoever
    wants to go on subscribes anew, and then reads what was missed.

    Raises:
        LedgerUnavailable: it cannot be opened, or broke.
    """

    def __init__(self, client: "redis.asyncio.Redis", channel: str, seconds: float) -> None:
        """To subscribe takes `seconds` at most."""
        self._channel = channel
        self._seconds = seconds
        self._pubsub = client.pubsub()

    async def __aenter__(self) -> Self:
        try:
            with _in_our_words():
                async with asyncio.timeout(self._seconds):
                    await self._pubsub.subscribe(self._channel)
                    while (await self._next(self._seconds) or {}).get("type") != "subscribe":
                        pass
        except BaseException:
            await self._close()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._close()

    async def message(self, seconds: float) -> bytes | None:
        """The next message; None when none came within `seconds`."""
        with _in_our_words():
            found = await self._next(seconds)
        return found["data"] if found and found["type"] == "message" else None

    async def _next(self, seconds: float) -> dict[str, Any] | None:
        found: dict[str, Any] | None = await self._pubsub.get_message(timeout=seconds)
        return found

    async def _close(self) -> None:
        with suppress(Exception):
            await self._pubsub.aclose()


@contextmanager
def _in_our_words() -> Iterator[None]:
    try:
        yield
    except Exception as error:
        raise translate_error(error, sent=False) from error
