"""Says in the ledger, again and again, which models and entries a gateway's catalog has.

Gateways and the keeper roll at different times: what a gateway accepted by its catalog, no keeper that has
another one may take for gone.
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
    """Say it until `ended` is set: a cancel in the middle of a call would leave a connection half read, and
    the Redis client may swallow it. A ledger that is away is told of by those who need it more.
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
