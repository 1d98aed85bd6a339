"""The gateway's application, built in one place."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from datetime import UTC, datetime
from itertools import chain

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.telemetry import TelemetryConfig
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import Match, Route

from contract import __version__
from contract.broker import Notifier
from contract.catalog import Catalog
from contract.errors import SoloistError
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
from service.http.openapi import describe
from service.http.problems import problem, refuse
from service.ledger_start import CheckedLedger, wait_for_ledger
from service.routes import health, models, page, predictions

ROUTERS = (predictions.router, models.router, page.router, health.router)
NO_TELEMETRY: TelemetryConfig = {
    "tracing": False,
    "metrics": False,
    "logs": False,
    "auto_configure": False,
}
"""FastAPI's own would add a second span to ours, and inputs to its logs."""
HTTP_CODES = {404: "not_found", 405: "method_not_allowed"}
NO_FILES = (
    "files are not kept here: send them inside the input, as base64 or a data: URL; Replicate's Python "
    'client does so by itself with file_encoding_strategy="base64"'
)
"""Where Replicate's clients send an open file of an input first."""
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
    )
    app.router.routes[:0] = predictions.fast_routes
    for router in ROUTERS:
        app.include_router(router)
    own_openapi = app.openapi
    app.openapi = lambda: describe(own_openapi())  # type: ignore[method-assign]
    app.add_middleware(FastRoutes, routes=predictions.fast_routes)
    app.add_middleware(HostCheck, settings=settings)
    app.add_middleware(AccessLog, tracing=tracing)  # added last, it is outermost
    app.add_exception_handler(SoloistError, _on_error)
    app.add_exception_handler(HTTPException, _on_http_error)
    app.add_exception_handler(RequestValidationError, _on_validation_error)
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
        notifier.open(list(catalog))
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


def _on_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, SoloistError)  # noqa: S101 - what it is registered for
    return refuse(error, request)


def _on_http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 - what it is registered for
    code = HTTP_CODES.get(error.status_code, "invalid_request")
    title, path = str(error.detail), request.scope["path"]
    missing = error.status_code == 404 and path.rstrip("/") == "/v1/files"
    response = problem(error.status_code, code, title, NO_FILES if missing else title, path)
    response.headers.update(error.headers or {})
    if error.status_code == 405:
        response.headers["allow"] = _allowed(request)
    return response


def _allowed(request: Request) -> str:
    """The methods of this path. Starlette names those of its first route only."""
    methods: set[str] = set()
    for route in chain(request.app.routes, *(router.routes for router in ROUTERS)):
        if isinstance(route, Route) and route.matches(request.scope)[0] is Match.PARTIAL:
            methods |= route.methods or set()
    return ", ".join(sorted(methods))


def _on_validation_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)  # noqa: S101 - what it is registered for
    first = error.errors()[0]
    place = ".".join(str(part) for part in first["loc"][1:])
    detail = f"{place}: {first['msg']}"
    return problem(422, "invalid_request", "Invalid request", detail, request.scope["path"])
