"""A forwarder before a Redis that loses the answers to a script: carried out, and nobody is told."""

import socket
import threading

from contract.ledger.scripts import load_script
from tests.support.tcp_forwarder import TcpForwarder


class LossyForwarder(TcpForwarder):
    """``with LossyForwarder(port) as wire: wire.lose("create", 1)``. A connection whose answer was lost stays
    silent for good, as behind a router that forgot it.
    """

    def __init__(self, target: int) -> None:
        super().__init__(target)
        self.lost = 0
        """How many calls were carried out without an answer."""
        self._times = 0
        self._sha = b""
        self._silent: set[socket.socket] = set()
        self._counting = threading.Lock()

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def lose(self, script: str, times: int = 10**9) -> None:
        """Lose the answers to the next calls of a script that Redis knows already; 0 times for none."""
        with self._counting:
            self._sha = load_script(script).sha.encode()
            self._times, self.lost = times, 0

    def passes(self, data: bytes, here: socket.socket, there: socket.socket) -> bool:
        with self._counting:
            if self._times and self._sha in data:
                self._times -= 1
                self.lost += 1
                self._silent.add(there)
        return here not in self._silent
