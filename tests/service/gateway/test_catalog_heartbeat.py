"""A gateway's models stay named in the ledger for as long as it lives, whatever a single call comes to."""

import asyncio
from typing import Any

import pytest

from contract.catalog import Catalog
from contract.errors import LedgerUnavailable
from contract.ledger.client import AsyncLedger, Ledger
from contract.ledger.transitions import Transition
from contract.settings import Settings
from service.gateway.catalog_heartbeat import send_catalog_heartbeats


class CountingLedger(AsyncLedger):
    """The ledger of this test; the first calls meet these faults instead, and the last ends the heartbeats."""

    def __init__(self, settings: Settings, ended: asyncio.Event, *faults: Exception) -> None:
        super().__init__(settings)
        self.ended, self.faults, self.calls = ended, list(faults), 0

    async def run(self, transition: Transition[Any], **how: Any) -> Any:
        self.calls += 1
        if self.faults:
            raise self.faults.pop(0)
        answer = await super().run(transition, **how)
        self.ended.set()
        return answer


def beat(settings: Settings, catalog: Catalog, *faults: Exception, lifetime: float = 0.03) -> int:
    """Send heartbeats until one was carried out; how many calls that took."""

    async def scenario() -> int:
        ended = asyncio.Event()
        ledger = CountingLedger(settings, ended, *faults)
        await send_catalog_heartbeats(catalog, ledger, lifetime, ended)
        await ledger.close()
        return ledger.calls

    return asyncio.run(scenario())


def test_every_model_of_the_catalog_is_named_with_its_entry(
    settings: Settings, catalog: Catalog, ledger: Ledger
) -> None:
    assert beat(settings, catalog, lifetime=60.0) == 1
    for model, spec in catalog.items():
        entries = ledger.redis.zrange(ledger.key("named", model), 0, -1)
        assert entries == [spec.entry.encode()]


def test_a_ledger_that_is_away_is_asked_again_and_the_log_is_silent(
    settings: Settings, catalog: Catalog, caplog: pytest.LogCaptureFixture
) -> None:
    assert beat(settings, catalog, LedgerUnavailable(), LedgerUnavailable()) == 3
    assert caplog.records == []


def test_a_fault_that_nobody_expected_is_logged_and_ends_nothing(
    settings: Settings, catalog: Catalog, caplog: pytest.LogCaptureFixture
) -> None:
    assert beat(settings, catalog, ValueError("odd")) == 2
    (record,) = caplog.records
    assert (record.levelname, record.message) == ("ERROR", "the catalog was not named")


def test_the_end_is_not_slept_through(settings: Settings, catalog: Catalog) -> None:
    """A heartbeat an hour later is not waited for: else this test would run into its own limit."""
    assert beat(settings, catalog, lifetime=3600.0 * 24) == 1
