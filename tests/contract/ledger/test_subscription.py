"""A subscription to a channel of the ledger: heard from its first line on, and broken in our words."""

import asyncio
from pathlib import Path

import pytest

from contract.errors import LedgerUnavailable
from contract.ledger.client import AsyncLedger
from contract.settings import Settings
from local.redis import EmbeddedRedis

CHANNEL = "soloist:test"


def test_what_is_published_from_its_first_line_on_is_heard_in_order(settings: Settings) -> None:
    async def hear() -> list[bytes | None]:
        ledger = AsyncLedger(settings)
        try:
            async with ledger.subscribe(CHANNEL) as heard:
                await ledger.redis.publish(CHANNEL, b"one")
                await ledger.redis.publish(CHANNEL, b"two")
                return [await heard.message(10.0), await heard.message(10.0)]
        finally:
            await ledger.close()

    assert asyncio.run(hear()) == [b"one", b"two"]


def test_a_silent_channel_says_nothing(settings: Settings) -> None:
    async def hear() -> bytes | None:
        ledger = AsyncLedger(settings)
        try:
            async with ledger.subscribe(CHANNEL) as heard:
                await ledger.redis.publish("soloist:another", b"one")
                return await heard.message(0.05)
        finally:
            await ledger.close()

    assert asyncio.run(hear()) is None


def test_one_that_ends_leaves_no_subscriber_behind(settings: Settings) -> None:
    async def count() -> list[int]:
        ledger = AsyncLedger(settings)
        try:
            async with ledger.subscribe(CHANNEL):
                during = await ledger.redis.publish(CHANNEL, b"one")
            after = await ledger.redis.publish(CHANNEL, b"two")
            return [during, after]
        finally:
            await ledger.close()

    assert asyncio.run(count()) == [1, 0]


def test_one_that_breaks_says_so_and_may_be_opened_anew(tmp_path: Path) -> None:
    async def hear(embedded: EmbeddedRedis) -> bytes | None:
        ledger = AsyncLedger(Settings(redis_url=embedded.url))
        try:
            async with ledger.subscribe(CHANNEL) as heard:
                await ledger.redis.client_kill_filter(_type="pubsub")
                with pytest.raises(LedgerUnavailable):
                    await heard.message(10.0)
            async with ledger.subscribe(CHANNEL) as heard:
                await ledger.redis.publish(CHANNEL, b"again")
                return await heard.message(10.0)
        finally:
            await ledger.close()

    with EmbeddedRedis(tmp_path / "redis", appendfsync="no") as embedded:
        assert asyncio.run(hear(embedded)) == b"again"


def test_a_ledger_that_is_away_is_said_at_once() -> None:
    async def open_one() -> None:
        ledger = AsyncLedger(Settings(redis_url="redis://127.0.0.1:1/0"))
        try:
            async with ledger.subscribe(CHANNEL):
                raise AssertionError("it is open")
        finally:
            await ledger.close()

    with pytest.raises(LedgerUnavailable):
        asyncio.run(open_one())
