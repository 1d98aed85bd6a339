"""A TCP forwarder: the name of a server that moves, and a network that breaks."""

import socket
import threading
from contextlib import suppress
from typing import Self

RST = b"\x01\x00\x00\x00\x00\x00\x00\x00"
"""SO_LINGER of 0 s: what is closed is reset."""


class TcpForwarder:
    """Listens on a port of the loopback and leads each connection to `target`, a port, as it is then."""

    def __init__(self, target: int) -> None:
        self.target = target
        self.gate = threading.Event()
        """Clear it, and nothing more arrives on either side."""
        self.gate.set()
        self._pairs: set[tuple[socket.socket, socket.socket]] = set()
        self._lock = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.accepted = 0

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._accept, name="forwarder", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(5)  # one that it has just accepted is cut too
        self.gate.set()
        self.cut()

    def stall(self) -> None:
        """Let nothing more arrive over the connections that are open now; those to come work."""
        self.gate.clear()
        self.gate = threading.Event()
        self.gate.set()

    def cut(self) -> int:
        """Reset every connection; how many there were."""
        with self._lock:
            pairs, self._pairs = self._pairs, set()
        for pair in pairs:
            for end in pair:
                with suppress(OSError):
                    end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RST)
                    end.shutdown(socket.SHUT_RD)  # wakes its thread, and sends nothing
                end.close()
        return len(pairs)

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self.accepted += 1
            try:
                server = socket.create_connection(("127.0.0.1", self.target))
            except OSError:
                client.close()
                continue
            with self._lock:
                self._pairs.add((client, server))
            for way in ((client, server), (server, client)):
                arguments = (*way, self.gate)
                threading.Thread(target=self._carry, args=arguments, daemon=True).start()

    def passes(self, data: bytes, here: socket.socket, there: socket.socket) -> bool:
        """Whether what one end says reaches the other one."""
        return True

    def _carry(self, here: socket.socket, there: socket.socket, gate: threading.Event) -> None:
        with suppress(OSError):
            while data := here.recv(65536):
                gate.wait()
                if self.passes(data, here, there):
                    there.sendall(data)
        with self._lock:
            cut = not any(here in pair for pair in self._pairs)
        for end in () if cut else (here, there):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
