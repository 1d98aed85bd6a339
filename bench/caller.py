"""One caller of the load generator: a kept connection and the prediction that is under way on it."""

import asyncio
from collections.abc import Callable
from typing import cast

from bench.http import Response, UnreadableResponse, build_request, parse_response
from bench.target import Target

Done = Callable[["Caller", Response | None], None]


class Caller(asyncio.Protocol):
    """One connection with at most one prediction under way: sent, polled for if need be, answered."""

    def __init__(self, target: Target, done: Done) -> None:
        self._loop = asyncio.get_running_loop()
        self._done = done
        self._proof = target.proof.encode()
        self._poll = target.poll
        self._pending = target.poll.pending.encode() if target.poll else b""
        self._transport: asyncio.Transport | None = None
        self._stream = b""
        self._ask = b""
        self._pause = 0.0
        self.busy = False
        self.due = 0.0
        self.number = 0
        self.trouble = ""
        """Why the last prediction has no answer."""

    @property
    def connected(self) -> bool:
        return self._transport is not None

    def send(self, message: bytes, due: float, number: int = 0) -> None:
        """Begin a prediction."""
        self.busy, self.due, self.number, self._ask = True, due, number, b""
        if self._transport is None:
            self._finish(None)
        else:
            self._transport.write(message)

    def close(self) -> None:
        if self._transport:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's has another base

    def connection_lost(self, error: Exception | None) -> None:
        self._transport = None
        if self.busy:
            self._finish(None)

    def data_received(self, data: bytes) -> None:
        self._stream = self._stream + data if self._stream else data
        try:
            answer = parse_response(self._stream)
        except UnreadableResponse as error:
            self._stream = b""
            self._finish(None, Response(0, str(error).encode()))
            self.close()
            return
        if answer:
            self._stream = answer[1]
            self._answered(answer[0])

    def _answered(self, answer: Response) -> None:
        if answer.status >= 300:
            self._finish(None, answer)
        elif self._poll is None:
            self._finish(answer if self._proof in answer.body else None, answer)
        elif not self._ask:
            name = self._poll.id_in(answer.body)
            if name is None:
                self._finish(None, answer)
                return
            self._ask = build_request("GET", self._poll.path.format(id=name))
            self._pause = self._poll.first_seconds
            self._loop.call_later(self._pause, self._ask_again)
        elif self._pending in answer.body:
            self._pause = min(self._pause * self._poll.factor, self._poll.longest_seconds)
            self._loop.call_later(self._pause, self._ask_again)
        else:
            self._finish(answer if self._proof in answer.body else None, answer)

    def _ask_again(self) -> None:
        if self._transport and self.busy:
            self._transport.write(self._ask)

    def _finish(self, answer: Response | None, seen: Response | None = None) -> None:
        self.busy = False
        if answer is None:
            self.trouble = f"{seen.status} {seen.body[:200]!r}" if seen else "connection lost"
        self._done(self, answer)
