"""The life of a gateway or keeper process: settings, checks, HTTP, end."""

import asyncio
import logging
import os
import signal
import socket
from collections.abc import Callable
from types import FrameType
from typing import Any

import uvicorn
from starlette.applications import Starlette

from contract.catalog import Catalog, load_catalog
from contract.errors import StartRefused
from contract.settings import Settings, load_settings
from contract.telemetry.logs import set_up_logging, start_facts
from service.http.protocol import LimitedHttpProtocol, ProbeHttpProtocol

logger = logging.getLogger(__name__)


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
    from service.keeper.app import create_keeper

    _run(create_keeper, lambda settings: settings.keeper_port, ProbeHttpProtocol)


def _run(
    create: Callable[[Settings, Catalog], Starlette],
    port: Callable[[Settings], int],
    protocol: type[LimitedHttpProtocol],
) -> None:
    settings = load_settings()
    set_up_logging(settings)
    catalog = load_catalog(settings.catalog)
    _serve(create(settings, catalog), settings, port(settings), protocol, leave=_leave)


def _leave() -> None:
    """End at once. Everything is closed by now, and what Python and the event loop would still wait for is a name
    that is being looked up: half a minute where the resolver is away.
    """
    logging.shutdown()
    os._exit(0)


def _serve(
    app: Starlette,
    settings: Settings,
    port: int,
    protocol: type[LimitedHttpProtocol],
    leave: Callable[[], None] = lambda: None,
) -> None:
    """One process, one event loop; the log lines and the limits are ours. `leave` is called in the end."""
    listener = _listen(settings.host, port)
    where = {"host": settings.host, "port": listener.getsockname()[1]}
    logger.info("listening", extra={**where, **start_facts(settings)})
    server = _Server(configure_uvicorn(app, settings, protocol), leave)
    # Until uvicorn listens to signals itself, and when it raises them once more after a graceful end:
    # ending on request is no failure.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, server.stop)
    server.run(sockets=[listener])
    if server.start_refusal is not None:
        raise server.start_refusal


def configure_uvicorn(
    app: Starlette, settings: Settings, protocol: type[LimitedHttpProtocol]
) -> uvicorn.Config:
    """How uvicorn serves a gateway or keeper."""
    return uvicorn.Config(
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


class _Server(uvicorn.Server):
    """Answers the requests that wait as soon as it is told to end; uvicorn would sit them out. Ends by itself when
    the application must not serve.
    """

    def __init__(self, config: uvicorn.Config, leave: Callable[[], None]) -> None:
        super().__init__(config)
        self._leave = leave

    async def serve(self, sockets: list[socket.socket] | None = None) -> None:
        asyncio.get_running_loop().set_exception_handler(_pass_over_late_names)
        await super().serve(sockets)
        if self.start_refusal is None:
            self._leave()

    @property
    def start_refusal(self) -> StartRefused | None:
        """Why it must not, found out after its start (service/ledger_start.py)."""
        return getattr(self.config.app.state, "refusal", None)  # type: ignore[union-attr]

    async def on_tick(self, counter: int) -> bool:
        return await super().on_tick(counter) or self.start_refusal is not None

    def stop(self, sig: int, frame: FrameType | None) -> None:
        self.should_exit = True

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        super().handle_exit(sig, frame)
        context = getattr(self.config.app.state, "context", None)  # type: ignore[union-attr]
        if context is not None:
            context.predictions.drain()


def _pass_over_late_names(loop: asyncio.AbstractEventLoop, what: dict[str, Any]) -> None:
    """Pass over look-ups of names that fail after their caller has given up, which is logged already."""
    if not isinstance(what.get("exception"), socket.gaierror):
        loop.default_exception_handler(what)


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        raise StartRefused(f"cannot listen on {host}:{port}: {error.strerror}") from None
    return listener
