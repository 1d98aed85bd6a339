"""The sweeper: the keeper's loop over the models, and what one sweep does. Stateless, harmless twice.

Every sweep it takes expired leases back, wakes workers for what waits without a message, ends what ran past its
deadline or hard limit or waits for a version that is gone, and deletes what outlived its retention; in a
cluster it lets Kubernetes know who is busy. While it is away nothing is lost: leases and deadlines wait for
it in the ledger.
"""

import asyncio
import logging
import math
import time
from contextlib import suppress

from contract.broker import Notifier
from contract.catalog import Catalog
from contract.errors import LedgerUnavailable, SoloistError
from contract.ledger.client import AsyncLedger
from contract.ledger.transitions import (
    Sweep,
    announce_outcomes,
    expire,
    forget_model,
    list_unannounced,
    prune,
    read_memory,
    register_catalog,
    sweep,
    sweep_pins,
)
from contract.ledger.workers import REPEAT_SHARE
from contract.settings import Settings
from contract.telemetry.endings import log_endings
from contract.telemetry.tracing import OFF, Tracing
from service.keeper import metrics
from service.keeper.active_models import ActiveModels
from service.keeper.pods import Pods

logger = logging.getLogger(__name__)

MOST_AT_ONCE = 500
"""Records that one call to the ledger may touch, so that it blocks no other caller for long."""
PATIENCE_SWEEPS = 2
"""A message counts as lost when no worker took it in this many sweeps and the broker does not hold it."""
SIZE_SECONDS = 15.0
"""How often the ledger is asked how full it is."""


class Sweeper:
    """Sweeps the models, again and again."""

    def __init__(
        self,
        settings: Settings,
        catalog: Catalog,
        ledger: AsyncLedger,
        notifier: Notifier,
        pods: Pods | None = None,
        tracing: Tracing = OFF,
    ) -> None:
        self._settings = settings
        self._catalog = catalog
        self._ledger = ledger
        self._notifier = notifier
        self._pods = pods
        self._tracing = tracing
        self._ended = asyncio.Event()
        self._active = ActiveModels(ledger, settings.lease_seconds)
        self._sized_at = -SIZE_SECONDS
        self._named_at = self._prune_at = -math.inf
        self._swept_at = self._watched_since = -math.inf
        self.healthy = False
        self.trouble = "no sweep has ended yet"
        """Why it is not healthy, in a sentence that anybody may read."""
        metrics.LEDGER_UP.set(self.healthy)
        metrics.initialise_series(catalog)

    async def sweep_until_stopped(self) -> None:
        """Sweep until stopped. A ledger that is away is logged once."""
        while not self._ended.is_set():
            try:
                await self.sweep_active_models()
                if not self.healthy:
                    logger.info("the ledger answers")
                self.healthy = True
            except SoloistError as error:
                if self.healthy:
                    logger.warning("no sweep", extra={"code": error.code, "detail": error.detail})
                self.healthy, self.trouble = False, error.detail
            except Exception:
                # Whatever it is, the next sweep may work, and a keeper that ended would be missed late.
                logger.exception("a sweep failed")
                self.healthy, self.trouble = False, "the last sweep failed"
            metrics.LEDGER_UP.set(self.healthy)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._ended.wait(), self._settings.sweep_seconds)

    def stop(self) -> None:
        """Let `sweep_until_stopped` finish its sweep and return. A cancel would leave connections half read, and the
        Redis client may swallow it.
        """
        self._ended.set()

    async def sweep_all_models(self) -> None:
        """Sweep every model, and end what is past its time.

        Raises:
            LedgerUnavailable: the ledger does not answer.
        """
        models = await self._models()
        self._named_at = -math.inf
        await self._keep(models)
        await self._forget(models)
        self._active.finish_sweep(models)

    async def sweep_active_models(self) -> None:
        """Sweep only the models that need it now; all of them when that is due.

        Raises:
            LedgerUnavailable: the ledger does not answer.
        """
        wanted = await self._active.find_active()
        if wanted is None:
            await self.sweep_all_models()
        else:
            await self._keep(sorted(wanted))
            self._active.finish_sweep()

    async def _keep(self, models: list[str]) -> None:
        started = time.monotonic()
        if models:
            await self._expire()
        await self._name(started)
        end_gone = self._has_watched(started)
        asking, busy, loaded = True, dict[str, float](), dict[str, str]()
        for model in models:
            # A broker that is away costs a sweep one timeout, not one for every model.
            depth = await self._depth(model) if asking else None
            asking = depth is not None
            seen = await self._sweep_model(model, depth)
            self._active.record_sweep(model, seen)
            busy |= seen.workers
            loaded |= seen.loaded
            if seen.pins:
                await self._sweep_pins(model, end_gone)
        if self._pods is not None:
            self._pods.update_workers(busy, loaded)
        await self._measure(started)
        if models or started >= self._prune_at:
            await self._prune()
        self._swept_at = time.monotonic()
        metrics.SWEEPS.inc()
        metrics.SWEEP_SECONDS.observe(time.monotonic() - started)

    async def _expire(self) -> None:
        while True:
            expired = await self._ledger.run(
                expire(
                    MOST_AT_ONCE,
                    retry=self._settings.retry,
                )
            )
            log_endings(logger, self._tracing, expired.endings)
            metrics.EXPIRED.labels("deadline").inc(expired.deadlines)
            metrics.EXPIRED.labels("limit").inc(expired.limits)
            if max(expired.deadlines, expired.limits) < MOST_AT_ONCE:
                return

    async def _prune(self) -> None:
        while True:
            pruned, due = await self._ledger.run(prune(MOST_AT_ONCE))
            metrics.PRUNED.inc(pruned)
            if pruned < MOST_AT_ONCE:
                self._prune_at = time.monotonic() + due
                return

    async def _depth(self, model: str) -> int | None:
        """How many messages the broker holds; None if it does not say in time. A look-up of its name may hang."""
        asked = asyncio.wrap_future(self._notifier.count_messages(model))
        with suppress(TimeoutError):
            return await asyncio.wait_for(asked, 2 * self._settings.broker_timeout_seconds)
        return None

    async def _name(self, now: float) -> None:
        """Answer for the catalog, and give a sign of life, before a third of a lease is over."""
        lease = self._settings.lease_seconds
        next_look = now + self._settings.sweep_seconds
        if next_look - self._named_at < REPEAT_SHARE * lease:
            return
        entries = {model: spec.entry for model, spec in self._catalog.items()}
        await self._ledger.run(register_catalog(entries, lease, await self._models()))
        self._named_at = now

    async def _measure(self, now: float) -> None:
        """Measure what only the metrics need."""
        if now - self._sized_at >= SIZE_SECONDS:
            reserve = self._settings.ledger_reserve_bytes
            metrics.export_memory(await self._ledger.run(read_memory(reserve)))
            self._sized_at = now

    async def _forget(self, models: list[str]) -> None:
        """Forget models that left the catalog, once nothing of theirs is left."""
        for model in models:
            if model in self._catalog:
                continue
            if await self._ledger.run(forget_model(model, self._settings.dead_ttl_seconds)):
                self._notifier.delete_queue(model)
                metrics.remove_model(model)
                logger.info("a model is forgotten", extra={"model": model})

    async def _models(self) -> list[str]:
        """The catalog's, and those that left it with something still in the ledger."""
        return sorted(await self._ledger.list_models() | set(self._catalog))

    def _has_watched(self, now: float) -> bool:
        """True once workers and gateways have had the time to announce their versions, also after an outage: a
        version that nobody has announced by then is gone.
        """
        patience = self._settings.lease_seconds
        if now - self._swept_at > patience / 2:
            self._watched_since = now
        return now - self._watched_since >= patience

    async def _sweep_pins(self, model: str, end_gone: bool) -> None:
        spec = self._catalog.get(model)
        batch = spec.max_batch_size if spec else 1
        while True:
            found = await self._ledger.run(
                sweep_pins(model, max_batch_size=batch, end_gone=end_gone, most=MOST_AT_ONCE)
            )
            self._notifier.send_wakeups(model, found.wakeups)
            metrics.WAKEUPS_REPEATED.labels(model).inc(len(found.wakeups))
            log_endings(logger, self._tracing, found.endings)
            if found.ended:
                logger.warning("versions gone", extra={"model": model, "predictions": found.ended})
            if found.ended < MOST_AT_ONCE:
                return

    async def _sweep_model(self, model: str, depth: int | None) -> Sweep:
        """Sweep a model in as many calls as it takes; the answer of the last one."""
        metrics.BROKER_UP.set(self._notifier.up)
        spec = self._catalog.get(model)
        while True:
            seen = await self._ledger.run(
                sweep(
                    model,
                    max_batch_size=spec.max_batch_size if spec else 1,
                    retry=self._settings.retry,
                    depth=depth,
                    patience_seconds=PATIENCE_SWEEPS * self._settings.sweep_seconds,
                    most=MOST_AT_ONCE,
                )
            )
            self._notifier.send_wakeups(model, seen.wakeups)
            self._report(model, seen)
            if seen.taken_back < MOST_AT_ONCE:
                if seen.unannounced:
                    await self._announce(model)
                return seen

    async def _announce(self, model: str) -> None:
        """Announce outcomes that nobody announced: the replicas were late, or the process that was to announce
        them died.
        """
        with suppress(LedgerUnavailable):  # still too few; the next sweep comes soon
            ids = await self._ledger.run(list_unannounced(model))
            await self._ledger.run(announce_outcomes(model, ids))

    def _report(self, model: str, seen: Sweep) -> None:
        metrics.export_model(model, self._catalog.get(model), seen)
        log_endings(logger, self._tracing, seen.endings)
        if seen.taken_back:
            logger.warning(
                "leases taken back",
                extra={"model": model, "predictions": seen.taken_back, "dead": seen.dead},
            )
        if seen.wakeups:
            logger.info("wake-ups sent again", extra={"model": model, "wakeups": len(seen.wakeups)})
