"""The keeper's application: its sweeps run with its lifespan, its routes are probes and metrics."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from contract.broker import Notifier
from contract.catalog import Catalog
from contract.settings import Settings
from contract.telemetry.tracing import Tracing, open_tracing
from service.http.host_check import HostCheck
from service.keeper.pods import Pods, connect_in_cluster
from service.keeper.sweeper import Sweeper
from service.ledger_start import CheckedLedger, wait_for_ledger


def create_keeper(
    settings: Settings, catalog: Catalog, connect: Callable[[], Any] = connect_in_cluster
) -> Starlette:
    """The application. `connect` reaches Kubernetes, where the settings name worker pods.

    Raises:
        StartRefused: the settings want traces, which is not installed.
    """
    tracing = open_tracing(settings, "keeper")
    pods = Pods(settings, connect) if settings.pod_selector else None
    return Starlette(
        routes=[
            Route("/livez", livez),
            Route("/readyz", readyz),
            Route("/metrics", export_metrics),
        ],
        lifespan=_lifespan(settings, catalog, pods, tracing),
        middleware=[Middleware(HostCheck, settings=settings)],
    )


def _lifespan(
    settings: Settings, catalog: Catalog, pods: Pods | None, tracing: Tracing
) -> Callable[[Starlette], AbstractAsyncContextManager[None]]:
    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        ledger, notifier = CheckedLedger(settings), Notifier(settings)
        sweeper = Sweeper(settings, catalog, ledger, notifier, pods, tracing)

        async def sweep() -> None:
            if await wait_for_ledger(app, ledger):
                await sweeper.sweep_until_stopped()

        sweeping = asyncio.create_task(sweep())
        annotating = asyncio.create_task(pods.keep_annotated()) if pods else None
        app.state.ledger, app.state.sweeper, app.state.sweeping = ledger, sweeper, sweeping
        try:
            yield
        finally:
            sweeper.stop()
            if not ledger.safe:
                sweeping.cancel()
            await asyncio.wait([sweeping])
            if annotating is not None:
                annotating.cancel()
                await asyncio.wait([annotating])
            notifier.close()
            await ledger.close()
            await asyncio.to_thread(tracing.close)

    return lifespan


async def livez(request: Request) -> Response:
    """The sweeps go on."""
    alive = not request.app.state.sweeping.done()
    return JSONResponse({"alive": alive}, 200 if alive else 503)


async def readyz(request: Request) -> Response:
    """The last sweep was carried out."""
    state = request.app.state
    if state.sweeper.healthy:
        return JSONResponse({"state": "ready"})
    detail = state.sweeper.trouble if state.ledger.safe else state.ledger.trouble
    return JSONResponse({"state": "waiting", "detail": detail}, 503)


async def export_metrics(request: Request) -> Response:
    """All metrics, as Prometheus reads them."""
    return Response(generate_latest(), headers={"content-type": CONTENT_TYPE_LATEST})
