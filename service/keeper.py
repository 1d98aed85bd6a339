"""The keeper: puts right what a lost process or a lost message left behind. Stateless, harmless twice.

Every sweep it takes expired leases back, rings for what waits without a message, ends what ran past its
deadline or hard limit, and deletes what outlived its retention. While it is away nothing is lost: leases
and deadlines wait for it in the ledger.
"""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from contract.broker import Doorbell
from contract.catalog import Catalog
from contract.errors import SoloistError
from contract.ledger import FAULTS, AsyncLedger, translate
from contract.settings import Settings
from contract.transitions import Sweep, expire, prune, sweep
from service import keeper_metrics as metrics

logger = logging.getLogger(__name__)

MOST_AT_ONCE = 500
"""Records that one call to the ledger may touch, so that it blocks no other caller for long."""
PATIENCE_SWEEPS = 2
"""A message counts as lost when no worker took it in this many sweeps and the broker has it not."""


class Keeper:
    """One look at everything, again and again."""

    def __init__(
        self, settings: Settings, catalog: Catalog, ledger: AsyncLedger, doorbell: Doorbell
    ) -> None:
        self._settings = settings
        self._catalog = catalog
        self._ledger = ledger
        self._doorbell = doorbell
        self.healthy = False

    async def run(self) -> None:
        """Sweep until canceled. A ledger that is away is told of once."""
        while True:
            try:
                await self.sweep()
                if not self.healthy:
                    logger.info("the ledger answers")
                self.healthy = True
            except SoloistError as error:
                if self.healthy:
                    logger.warning("no sweep", extra={"code": error.code, "detail": error.detail})
                self.healthy = False
            except Exception:
                # Whatever it is, the next sweep may work, and a keeper that ended would be missed late.
                logger.exception("a sweep failed")
                self.healthy = False
            metrics.LEDGER_UP.set(self.healthy)
            await asyncio.sleep(self._settings.sweep_seconds)

    async def sweep(self) -> None:
        """One look at every model and at all that has an end.

        Raises:
            LedgerUnavailable: the ledger does not answer.
        """
        while True:
            expired = await self._ledger.run(
                expire(
                    MOST_AT_ONCE,
                    max_attempts=self._settings.max_attempts,
                    dead_ttl_seconds=self._settings.dead_ttl_seconds,
                )
            )
            metrics.EXPIRED.labels("deadline").inc(expired.deadlines)
            metrics.EXPIRED.labels("limit").inc(expired.limits)
            if max(expired.deadlines, expired.limits) < MOST_AT_ONCE:
                break
        asking = True
        for model in await self._models():
            # A broker that is away costs a sweep one timeout, not one for every model.
            depth = await asyncio.wrap_future(self._doorbell.depth(model)) if asking else None
            asking = depth is not None
            await self._sweep_model(model, depth)
        while True:
            pruned = await self._ledger.run(prune(MOST_AT_ONCE))
            metrics.PRUNED.inc(pruned)
            if pruned < MOST_AT_ONCE:
                break
        metrics.SWEEPS.inc()

    async def _models(self) -> list[str]:
        """The catalog's, and those that left it with predictions still in the ledger."""
        try:
            known: set[Any] = await self._ledger.redis.smembers(self._ledger.key("models"))
        except FAULTS as error:
            raise translate(error) from error
        return sorted({name.decode() for name in known} | set(self._catalog))

    async def _sweep_model(self, model: str, depth: int | None) -> None:
        metrics.BROKER_UP.set(self._doorbell.up)
        spec = self._catalog.get(model)
        while True:
            seen = await self._ledger.run(
                sweep(
                    model,
                    max_batch_size=spec.max_batch_size if spec else 1,
                    max_attempts=self._settings.max_attempts,
                    dead_ttl_seconds=self._settings.dead_ttl_seconds,
                    depth=depth,
                    patience_seconds=PATIENCE_SWEEPS * self._settings.sweep_seconds,
                    most=MOST_AT_ONCE,
                )
            )
            self._doorbell.ring(model, seen.rings)
            self._note(model, seen)
            if seen.taken_back < MOST_AT_ONCE:
                return

    def _note(self, model: str, seen: Sweep) -> None:
        for state, count in (("queued", seen.queued), ("running", seen.running)):
            metrics.QUEUE_DEPTH.labels(model, state).set(count)
        metrics.BUSY_WORKERS.labels(model).set(seen.busy)
        metrics.OLDEST_SECONDS.labels(model).set(seen.oldest_seconds)
        metrics.DEAD.labels(model).set(seen.dead_total)
        metrics.DRAIN_SECONDS.labels(model).set(seen.eta_seconds)
        metrics.RINGS.labels(model).inc(len(seen.rings))
        metrics.TAKEN_BACK.labels(model).inc(seen.taken_back)
        if seen.taken_back:
            logger.warning(
                "leases taken back",
                extra={"model": model, "predictions": seen.taken_back, "dead": seen.dead},
            )
        if seen.rings:
            logger.info("rang again", extra={"model": model, "rings": len(seen.rings)})


def create_keeper(settings: Settings, catalog: Catalog) -> Starlette:
    """The keeper's application: its sweeps run with its lifespan, its routes are probes and metrics."""

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        ledger, doorbell = AsyncLedger(settings), Doorbell(settings)
        app.state.keeper = keeper = Keeper(settings, catalog, ledger, doorbell)
        sweeping = asyncio.create_task(keeper.run())
        try:
            yield
        finally:
            sweeping.cancel()
            with suppress(asyncio.CancelledError):
                await sweeping
            doorbell.close()
            await ledger.close()

    async def livez(request: Request) -> Response:
        return JSONResponse({"alive": True})

    async def readyz(request: Request) -> Response:
        healthy = request.app.state.keeper.healthy
        return JSONResponse({"state": "ready" if healthy else "waiting"}, 200 if healthy else 503)

    async def show_metrics(request: Request) -> Response:
        return Response(generate_latest(), headers={"content-type": CONTENT_TYPE_LATEST})

    routes = [
        Route("/livez", livez),
        Route("/readyz", readyz),
        Route("/metrics", show_metrics),
    ]
    return Starlette(routes=routes, lifespan=lifespan)
