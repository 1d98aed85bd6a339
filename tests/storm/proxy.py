"""TCP proxies that stand between two processes and do what bad networks do."""

import asyncio
import contextlib
import socket
import struct
import threading
from collections.abc import Coroutine
from enum import StrEnum
from typing import Any, Self, TypeVar

from local.processes import free_port

T = TypeVar("T")

CHUNK = 64 * 1024
DELAY_SECONDS = 0.3
TRICKLE_BYTES = 16
TRICKLE_SECONDS = 0.004
UP, DOWN = "up", "down"
"""From the process that connected, and back to it."""
RESET = struct.pack("ii", 1, 0)
"""SO_LINGER of no seconds: a close sends RST."""


class LinkState(StrEnum):
    """What a link does to its connections."""

    CLEAR = "clear"
    CUT = "cut"  # RST to both ends, now and to whoever comes
    CLOSED = "closed"  # the same with FIN: an end in good order
    BLACKHOLE = "blackhole"  # accepts and says nothing, in both directions
    SILENT_UP = "silent_up"  # half-open: what the connecting side says does not arrive
    SILENT_DOWN = "silent_down"  # half-open: what it is answered does not arrive
    DELAY = "delay"
    TRICKLE = "trickle"

    @property
    def holds(self) -> frozenset[str]:
        """The directions in which nothing passes."""
        return {
            LinkState.BLACKHOLE: frozenset({UP, DOWN}),
            LinkState.SILENT_UP: frozenset({UP}),
            LinkState.SILENT_DOWN: frozenset({DOWN}),
        }.get(self, frozenset())

    @property
    def breaks(self) -> bool:
        """Whether no connection lives in it."""
        return self in (LinkState.CUT, LinkState.CLOSED)


class Link:
    """One port that leads to another one. Used inside the network's loop, but for its attributes."""

    def __init__(self, name: str, target: int) -> None:
        self.name = name
        self.target = target
        self.port = free_port()
        self.state = LinkState.CLEAR
        self._changed = asyncio.Event()
        self._server: asyncio.Server | None = None
        self._ends: set[asyncio.StreamWriter] = set()

    @property
    def connections(self) -> int:
        """Connections through it that are open, half-open ones included."""
        return len(self._ends) // 2

    async def open(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)

    async def close(self) -> None:
        if self._server:
            self._server.close()
        self._break(reset=True)
        self._change(LinkState.CUT)

    def set_state(self, state: LinkState, *, reset: bool = False) -> None:
        """Change the state. What was held is delivered late, as TCP does, or with `reset` never."""
        if state.breaks or reset:
            self._break(reset=state is not LinkState.CLOSED)
        self._change(state)

    def _change(self, state: LinkState) -> None:
        self.state = state
        self._changed.set()
        self._changed = asyncio.Event()

    def _break(self, *, reset: bool) -> None:
        for writer in tuple(self._ends):
            _end(writer, reset=reset)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        ends = [writer]
        self._ends.add(writer)
        try:
            while self.state is LinkState.BLACKHOLE:
                await self._changed.wait()
            if self.state.breaks or writer.is_closing():
                return
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self.target)
            ends.append(far_writer)
            self._ends.add(far_writer)
            await asyncio.gather(
                self._carry(reader, far_writer, UP), self._carry(far_reader, writer, DOWN)
            )
        except (OSError, asyncio.IncompleteReadError):
            pass  # an end is gone, and so both go
        finally:
            for end in ends:
                _end(end, reset=self.state is not LinkState.CLOSED)
                self._ends.discard(end)

    async def _carry(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, way: str
    ) -> None:
        """Bring what one end says to the other, in this state, until the end of it."""
        while data := await reader.read(CHUNK):
            while way in self.state.holds:
                await self._changed.wait()
            if self.state is LinkState.DELAY:
                await asyncio.sleep(DELAY_SECONDS)
            while data:
                size = TRICKLE_BYTES if self.state is LinkState.TRICKLE else len(data)
                writer.write(data[:size])
                data = data[size:]
                await writer.drain()
                if data:
                    await asyncio.sleep(TRICKLE_SECONDS)
        while way in self.state.holds:
            await self._changed.wait()
        if writer.can_write_eof() and not writer.is_closing():
            with contextlib.suppress(OSError):
                writer.write_eof()


def _end(writer: asyncio.StreamWriter, *, reset: bool) -> None:
    if reset and (sock := writer.get_extra_info("socket")) is not None:
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        writer.transport.abort()
    else:
        writer.close()


class Network:
    """The links of one deployment, in a thread of their own."""

    def __init__(self) -> None:
        self.links: dict[str, Link] = {}
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="network", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        for link in self.links.values():
            self._run(link.close())
        self._run(self._finish())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)
        self._loop.close()

    def link(self, name: str, target: int) -> int:
        """A port that leads to `target` through a link of this name."""
        link = self.links[name] = Link(name, target)
        self._run(link.open())
        return link.port

    def set_state(self, name: str, state: LinkState, *, reset: bool = False) -> None:
        """Change the state of a link; see `Link.set_state`."""
        self._run(self._set_state(self.links[name], state, reset))

    def connections(self) -> dict[str, int]:
        """Open connections by link."""
        return {name: link.connections for name, link in self.links.items()}

    async def _set_state(self, link: Link, state: LinkState, reset: bool) -> None:
        link.set_state(state, reset=reset)

    async def _finish(self) -> None:
        """Let the tasks of broken connections end."""
        rest = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        if rest:
            await asyncio.wait(rest, timeout=1)
        for task in rest:
            task.cancel()
        await asyncio.gather(*rest, return_exceptions=True)

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(10)
