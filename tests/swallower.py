"""A TCP proxy before a Redis that loses the answers to a script: carried out, and nobody is told."""

import contextlib
import socket
import threading
from typing import Self

from contract.ledger import load_script

CHUNK = 65536


class Swallower:
    """``with Swallower(port) as wire: wire.lose("create", 1)``. A connection whose answer was lost stays
    silent for good, as behind a router that forgot it.
    """

    def __init__(self, target: int) -> None:
        self._target = target
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._lock = threading.Lock()
        self._sha = b""
        self._times = 0
        self._open: list[socket.socket] = []
        self.lost = 0
        """How many calls were carried out without an answer."""

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.close()
        with self._lock:
            for end in self._open:
                end.close()

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def lose(self, script: str, times: int = 10**9) -> None:
        """Lose the answers to the next calls of a script that Redis knows already; 0 times for none."""
        with self._lock:
            self._sha = load_script(script).sha.encode()
            self._times, self.lost = times, 0

    def _swallows(self, data: bytes) -> bool:
        with self._lock:
            if self._times == 0 or self._sha not in data:
                return False
            self._times -= 1
            self.lost += 1
            return True

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                try:
                    far = socket.create_connection(("127.0.0.1", self._target))
                except OSError:
                    near.close()
                    continue
                with self._lock:
                    self._open += [near, far]
                silent = threading.Event()
                for pump in (self._up, self._down):
                    threading.Thread(target=pump, args=(near, far, silent), daemon=True).start()

    def _up(self, near: socket.socket, far: socket.socket, silent: threading.Event) -> None:
        with contextlib.suppress(OSError):
            while data := near.recv(CHUNK):
                if self._swallows(data):
                    silent.set()
                far.sendall(data)
        self._end(near, far)

    def _down(self, near: socket.socket, far: socket.socket, silent: threading.Event) -> None:
        with contextlib.suppress(OSError):
            while data := far.recv(CHUNK):
                if not silent.is_set():
                    near.sendall(data)
        self._end(near, far)

    @staticmethod
    def _end(*ends: socket.socket) -> None:
        for end in ends:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
