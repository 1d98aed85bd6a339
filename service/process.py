"""The life of a gateway or keeper process: settings, checks, HTTP, end."""

import asyncio
import logging
import signal
import socket
from collections.abc import Callable
from types import FrameType

import uvicorn
from starlette.applications import Starlette

from contract.catalog import Catalog, load_catalog
from contract.errors import Refused, StartRefused
from contract.ledger import AsyncLedger, ledger_trouble
from contract.logs import set_up_logging, start_facts
from contract.settings import Settings, load_settings
from service.protocol import LimitedHttpProtocol, ProbeHttpProtocol

logger = logging.getLogger(__name__)

CHECK_SECONDS = 30.0


def serve_gateway() -> None:
    """Serve the API until SIGTERM.

    Raises:
        StartRefused: settings, catalog or ledger do not allow it.
    """
    from service.app import create_gateway

    _run(create_gateway, lambda settings: settings.port, LimitedHttpProtocol)


def serve_keeper() -> None:
    """Keep the ledger until SIGTERM.

    Raises:
        StartRefused: settings, catalog or ledger do not allow it.
    """
    from service.keeper import create_keeper

    _run(create_keeper, lambda settings: settings.keeper_port, ProbeHttpProtocol)


def _run(
    create: Callable[[Settings, Catalog], Starlette],
    port: Callable[[Settings], int],
    protocol: type[LimitedHttpProtocol],
) -> None:
    settings = load_settings()
    set_up_logging(settings)
    catalog = load_catalog(settings.catalog)
    asyncio.run(wait_for_ledger(settings))
    _serve(create(settings, catalog), settings, port(settings), protocol)


async def wait_for_ledger(settings: Settings) -> None:
    """Wait for a ledger that does not answer yet; refuse one that is not safe.

    Raises:
        LedgerUnsafe: it would lose predictions.
        StartRefused: it did not answer for half a minute.
    """
    ledger = AsyncLedger(settings)
    trouble: Refused | None = None
    try:
        async with asyncio.timeout(CHECK_SECONDS):
            while True:
                try:
                    return await ledger.check()
                except Refused as error:
                    if trouble is None or trouble.detail != error.detail:
                        logger.warning(
                            "waiting for the ledger", extra=ledger_trouble(settings, error)
                        )
                    trouble = error
                    await asyncio.sleep(0.5)
    except TimeoutError:
        what = trouble.detail if trouble else "the ledger does not answer"
        where = settings.whereabouts("ledger")
        raise StartRefused(
            f"{what} at {where['address']}, for {CHECK_SECONDS:g} s now; see {where['settings']}"
        ) from None
    finally:
        await ledger.close()


def _serve(
    app: Starlette, settings: Settings, port: int, protocol: type[LimitedHttpProtocol]
) -> None:
    """One process, one event loop; the log lines and the limits are ours."""
    listener = _listen(settings.host, port)
    where = {"host": settings.host, "port": listener.getsockname()[1]}
    logger.info("listening", extra={**where, **start_facts(settings)})
    config = uvicorn.Config(
        app,
        http=protocol,
        ws="none",
        lifespan="on",
        access_log=False,
        proxy_headers=False,
        log_config=None,
        server_header=False,
        date_header=False,
        timeout_graceful_shutdown=int(settings.max_wait_seconds),
    )
    server = _Server(config)
    # Until uvicorn listens to signals itself, and when it raises them once more after a graceful end:
    # ending on request is no failure.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, server.end)
    server.run(sockets=[listener])


class _Server(uvicorn.Server):
    """Lets go of the requests that wait as soon as it is told to end; uvicorn would sit them out."""

    def end(self, sig: int, frame: FrameType | None) -> None:
        self.should_exit = True

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        super().handle_exit(sig, frame)
        context = getattr(self.config.app.state, "context", None)  # type: ignore[union-attr]
        if context is not None:
            context.intake.drain()


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        raise StartRefused(f"cannot listen on {host}:{port}: {error.strerror}") from None
    return listener
