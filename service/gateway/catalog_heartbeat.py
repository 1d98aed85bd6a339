"""Repeats in the ledger which models and entries a gateway's catalog has.

Gateways and the keeper roll at different times: a keeper with another catalog must not end what a gateway accepted
by its own.
"""

import asyncio
import logging
from contextlib import suppress

from contract.catalog import Catalog
from contract.errors import SoloistError
from contract.ledger.client import AsyncLedger
from contract.ledger.transitions import register_catalog
from contract.ledger.workers import REPEAT_SHARE

logger = logging.getLogger(__name__)


async def send_catalog_heartbeats(
    catalog: Catalog, ledger: AsyncLedger, lifetime_seconds: float, ended: asyncio.Event
) -> None:
    """Repeat it until `ended` is set. A cancel would leave a connection half read, and the Redis client may swallow
    it. Others log that the ledger is away.
    """
    entries = {model: spec.entry for model, spec in catalog.items()}
    while not ended.is_set():
        try:
            await ledger.run(register_catalog(entries, lifetime_seconds))
        except SoloistError as error:
            logger.debug("the catalog was not named", extra={"code": error.code})
        except Exception:
            logger.exception("the catalog was not named")
        with suppress(TimeoutError):
            await asyncio.wait_for(ended.wait(), REPEAT_SHARE * lifetime_seconds)
