"""The whole gateway as it is served, on a port of the loopback, in a thread of this process."""

import asyncio
import socket
import threading
from collections.abc import Coroutine
from typing import Any, Self, TypeVar

import uvicorn

from contract.catalog import Catalog
from contract.settings import Settings
from service.app import create_gateway
from service.http.protocol import LimitedHttpProtocol
from service.process import configure_uvicorn

T = TypeVar("T")

SECONDS = 20.0
"""Nothing here takes as long; a test that hangs says so."""


class GatewayThread:
    """``with GatewayThread(settings, catalog) as gateway: gateway.url``."""

    def __init__(self, settings: Settings, catalog: Catalog) -> None:
        self._settings = settings
        self.app = create_gateway(settings, catalog)
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._ready = threading.Event()
        self._fault: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="gateway")

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._ready.wait(SECONDS), "the gateway did not start"
        if self._fault is not None:
            raise self._fault
        return self

    def __exit__(self, *_: object) -> None:
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._end.set)
        self._thread.join(SECONDS)
        assert not self._thread.is_alive(), "the gateway did not end"

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine on the gateway's own loop."""
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(SECONDS)

    def _run(self) -> None:
        config = configure_uvicorn(self.app, self._settings, LimitedHttpProtocol)
        try:
            with asyncio.Runner(loop_factory=config.get_loop_factory()) as runner:
                runner.run(self._serve(config))
        except BaseException as error:
            self._fault = error
            raise
        finally:
            self._ready.set()

    async def _serve(self, config: uvicorn.Config) -> None:
        self._loop, self._end = asyncio.get_running_loop(), asyncio.Event()
        config.load()
        server = uvicorn.Server(config)
        server.lifespan = config.lifespan_class(config)
        await server.startup(sockets=[self._socket])
        self._ready.set()
        await self._end.wait()
        # As uvicorn ends, without the tenth of a second that it always takes.
        self.app.state.context.predictions.drain()
        for listener in server.servers:
            listener.close()
        for connection in list(server.server_state.connections):
            connection.shutdown()
        if server.server_state.tasks:
            await asyncio.wait(server.server_state.tasks, timeout=SECONDS / 2)
        await server.lifespan.shutdown()
