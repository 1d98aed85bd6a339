"""The gateway's application, built in one place."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from datetime import UTC, datetime

from fastapi import FastAPI
from fastapi.telemetry import TelemetryConfig
from starlette.middleware import Middleware

from contract import __version__
from contract.broker import Notifier
from contract.catalog import Catalog
from contract.settings import Settings
from contract.telemetry.tracing import Tracing, open_tracing
from service.gateway import metrics
from service.gateway.catalog_heartbeat import send_catalog_heartbeats
from service.gateway.context import Context
from service.gateway.outcomes import OutcomeSubscription
from service.gateway.predictions import Predictions
from service.http.access_log import AccessLog
from service.http.fast_routes import FastRoutes
from service.http.host_check import HostCheck
from service.http.openapi import complete_document
from service.ledger_start import CheckedLedger, wait_for_ledger
from service.routes import ROUTERS, predictions
from service.routes.error_handlers import EXCEPTION_HANDLERS, answer_error

NO_TELEMETRY: TelemetryConfig = {
    "tracing": False,
    "metrics": False,
    "logs": False,
    "auto_configure": False,
}
"""FastAPI's own would add a second span to ours, and inputs to its logs."""
START_SECONDS = 1.0
"""How long the first request waits for a ledger that is just about to answer."""


def create_gateway(settings: Settings, catalog: Catalog) -> FastAPI:
    """The gateway. Its connections open and close with the application's lifespan.

    Raises:
        StartRefused: the settings want traces, which is not installed.
    """
    tracing = open_tracing(settings, "gateway")
    app = FastAPI(
        title="Soloist",
        version=__version__,
        description="Transformer models as durable prediction APIs. Compatible with the Replicate "
        "HTTP API; no affiliation.",
        lifespan=_lifespan(settings, catalog, tracing),
        telemetry=NO_TELEMETRY,
        docs_url=None,  # service/routes/page.py
        redoc_url=None,
        middleware=[  # from the outside in
            Middleware(AccessLog, tracing=tracing),
            Middleware(HostCheck, settings=settings, answer_error=answer_error),
            Middleware(FastRoutes, routes=predictions.fast_routes, answer_error=answer_error),
        ],
        exception_handlers=EXCEPTION_HANDLERS,
    )
    app.router.routes[:0] = predictions.fast_routes
    for router in ROUTERS:
        app.include_router(router)
    own_openapi = app.openapi
    app.openapi = lambda: complete_document(own_openapi())  # type: ignore[method-assign]
    return app


def _lifespan(
    settings: Settings, catalog: Catalog, tracing: Tracing
) -> Callable[[FastAPI], AbstractAsyncContextManager[None]]:
    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        ledger = CheckedLedger(settings)
        notifier = Notifier(settings, observe=lambda outcome, _: metrics.PUBLISHED[outcome].inc())
        metrics.BROKER_UP.set_function(lambda: notifier.up)
        metrics.initialise_series(catalog)
        outcomes = OutcomeSubscription(ledger)
        predictions = Predictions(settings, catalog, ledger, notifier, outcomes)
        started_at = datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
        app.state.context = Context(settings, catalog, predictions, started_at)
        notifier.open_queues(list(catalog))
        opened, ended = asyncio.Event(), asyncio.Event()

        async def use_ledger() -> None:
            if await wait_for_ledger(app, ledger):
                metrics.LEDGER_UP.set(1)
                await outcomes.subscribe()
                opened.set()
                await send_catalog_heartbeats(catalog, ledger, settings.lease_seconds, ended)

        using = asyncio.create_task(use_ledger())
        with suppress(TimeoutError):
            await asyncio.wait_for(opened.wait(), START_SECONDS)
        try:
            yield
        finally:
            await predictions.close()
            ended.set()
            if not ledger.safe:
                using.cancel()
            await asyncio.wait([using])
            await outcomes.unsubscribe()
            notifier.close()
            await ledger.close()
            await asyncio.to_thread(tracing.close)

    return lifespan
