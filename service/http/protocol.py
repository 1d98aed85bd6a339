"""HTTP/1.1 as uvicorn speaks it, with bounds on the size and the time of what a client sends.

uvicorn with httptools takes any number of headers of any size and waits for them for ever. Here a
request that arrives whole in one piece costs two flags and no timer; only one that is left
unfinished gets a deadline, and one lazily moved timer per connection enforces it.
"""

import asyncio
from typing import cast

import orjson
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from contract.errors import HeadersTooLarge, MalformedRequest, RequestError, RequestTimeout
from service.http.problems import MEDIA_TYPE, describe_problem

IDLE, HEAD, BODY = range(3)
"""Of the message that arrives: none of it yet, its request line and headers, its body."""

CHUNK_ALLOWANCE = 16
"""Bytes of chunk sizes per byte of body: RFC 9112 section 7.1 needs at least 5 (`1 CR LF x CR LF`);
what is beyond is chunk extensions and trailers, which section 7.1.1 asks to limit."""


MALFORMED = MalformedRequest("This is not an HTTP/1.1 request that can be read.")
PIPELINED = MalformedRequest("Too many requests were sent ahead of their answers.")
UPGRADE = MalformedRequest("A request with a body cannot ask for an upgrade.")
SLOW = RequestTimeout("The request did not arrive in the time allowed.")
HEADERS = HeadersTooLarge("The headers are too many or too long.")  # RFC 6585 section 5


class _Refused(Exception):
    """Leaves the parser from inside one of its callbacks."""


class LimitedHttpProtocol(HttpToolsProtocol):
    """A connection that is answered 431, 408 or 400 as problem details, and closed, past a bound.

    For `uvicorn.Config(http=LimitedHttpProtocol)`; a subclass may set other bounds.
    """

    max_headers = 100
    max_head_bytes = 16 * 1024
    """Of address and headers, as parsed. An unfinished head is refused with the read that passes the
    bound, so that at most one read more (256 KiB) is held in memory."""
    max_pipelined = 100
    head_seconds = 10.0
    """From the connection, or the first byte of a later request, until its headers are complete."""
    body_seconds = 30.0
    body_bytes_per_second = 64 * 1024
    """Each this many bytes of body extend `body_seconds` by one second, so that a long upload over
    a slow line is not cut off."""
    max_connections: int | None = None
    """Open at a time; one too many ends the oldest. None: as many as the system has room for."""
    linger_seconds = 2.0
    """How long what still comes is thrown away after a refusal before the connection is closed: a
    close with unread input resets it, and the client loses the answer (RFC 9112 section 9.6)."""

    _opened_at = 0.0
    _stage = IDLE
    _read_bytes = 0
    """Of the read at hand."""
    _excess_bytes = 0
    """Of the unfinished message, what is not body; 0 while the head lies within one read."""
    _body_bytes = 0
    """Of all bodies of this connection."""
    _earlier_bytes = 0
    """Of those before the last one."""
    _deadline: float | None = None
    _timer: asyncio.TimerHandle | None = None
    _refusal: RequestError | None = None
    _why: RequestError = MALFORMED
    """What `_refuse` is told once the parser has been left."""
    _answered = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._opened_at = self.loop.time()
        if self.max_connections is not None and len(self.connections) > self.max_connections:
            own = cast("set[LimitedHttpProtocol]", self.connections)
            oldest = min(own, key=lambda connection: connection._opened_at)
            self.connections.discard(oldest)
            oldest.transport.abort()
        self._allow(self.head_seconds)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._refusal is not None:
            return
        body_bytes = self._body_bytes
        self._read_bytes = len(data)
        super().data_received(data)
        if self._refusal is not None:
            return
        if self._stage == IDLE:
            self._excess_bytes = 0
            if self.cycle is not None and not self.cycle.response_complete:
                return
            # Empty lines before a request, or the rest of one that is answered already: uvicorn has
            # stopped its keep-alive timer for them, and would wait for ever.
            seconds = self.head_seconds
        else:
            grown = len(data) - CHUNK_ALLOWANCE * (self._body_bytes - body_bytes)
            self._excess_bytes = max(1, self._excess_bytes + grown)
            if self._excess_bytes > self.max_head_bytes:
                self._refuse(HEADERS)
                return
            seconds = self.head_seconds if self._stage == HEAD else self.body_seconds
        if self._deadline is None:
            self._allow(seconds)

    # What the parser calls while it is fed.

    def on_message_begin(self) -> None:
        self._stage = HEAD
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        if len(self.headers) > self.max_headers or (
            (self._excess_bytes or self._read_bytes > self.max_head_bytes)
            and self._head_bytes() > self.max_head_bytes
        ):
            raise self._stop(HEADERS)
        if len(self.pipeline) >= self.max_pipelined:
            raise self._stop(PIPELINED)
        upgrade = self.parser.should_upgrade()
        if upgrade and any(
            name == b"transfer-encoding" or (name == b"content-length" and value != b"0")
            for name, value in self.headers
        ):
            # httptools skips the body then, and would read it as the next request.
            raise self._stop(UPGRADE)
        super().on_headers_complete()
        if upgrade:
            self.cycle.keep_alive = False  # uvicorn drops what follows in the same read
        # Trailers must not join the headers that the application sees (RFC 9110 section 6.5.1).
        self.headers = []
        self._stage = BODY
        self._earlier_bytes = self._body_bytes
        self._new_part()

    def on_body(self, body: bytes) -> None:
        self._body_bytes += len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        super().on_message_complete()
        self._stage = IDLE
        self._new_part()

    def _new_part(self) -> None:
        self._deadline = None
        # The read at hand began before this part: count from the next one, but not as "one read".
        self._excess_bytes = 1 - self._read_bytes

    def _head_bytes(self) -> int:
        return len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)

    def _stop(self, refusal: RequestError) -> _Refused:
        self._why = refusal
        return _Refused()

    def send_400_response(self, msg: str) -> None:
        self._refuse(self._why)

    # Soloist has no WebSocket, and a request may always be answered without the upgrade that it
    # asks for (RFC 9110 section 7.8): no need for a warning per request.

    def _should_upgrade_to_ws(self) -> bool:
        return False

    def _unsupported_upgrade_warning(self) -> None:
        pass

    # Time.

    def _allow(self, seconds: float) -> None:
        self._deadline = self.loop.time() + seconds
        if self._timer is not None:
            if self._timer.when() <= self._deadline:
                return
            self._timer.cancel()
        self._timer = self.loop.call_at(self._deadline, self._expire)

    def _expire(self) -> None:
        self._timer = None
        if self._deadline is None or self.transport.is_closing():
            return
        now = self.loop.time()
        due = self._deadline
        if self._stage == BODY and not self.cycle.response_complete:
            due += (self._body_bytes - self._earlier_bytes) / self.body_bytes_per_second
        if self.flow.read_paused:  # it is the application that is slow
            due = self._deadline = now + self.body_seconds
        if due > now:
            self._timer = self.loop.call_at(due, self._expire)
        elif self._stage == IDLE:
            self.transport.close()  # not one byte of a request: there is nobody to tell
        else:
            self._refuse(SLOW)

    # The end of a connection.

    def _refuse(self, refusal: RequestError) -> None:
        """Reads nothing more; answers after the requests before, in order (RFC 9112 9.3.2)."""
        self._refusal = refusal
        self._deadline = None
        busy = bool(self.pipeline) or (self.cycle is not None and not self.cycle.response_complete)
        if self._stage == BODY:
            if self.pipeline:
                self.pipeline.popleft()  # the one refused; those before it are waited for
            elif self.cycle.response_started:
                self.transport.close()  # its answer is out, or cannot be taken back
                return
            else:
                busy = False
                self.cycle.disconnected = True
                self.cycle.message_event.set()
        if not busy:
            self._answer()

    def on_response_complete(self) -> None:
        last = not self.pipeline
        super().on_response_complete()
        if self._refusal is not None and last and not self.transport.is_closing():
            self._answer()

    def _answer(self) -> None:
        if self._refusal is None or self._answered:
            return
        self._answered = True
        # The path is known once the headers are complete.
        path = self.scope["path"] if self._stage == BODY else ""
        problem = describe_problem(self._refusal, path)
        body = orjson.dumps(problem)
        head = [STATUS_LINE[problem["status"]]]
        head += [b"%b: %b\r\n" % header for header in self.server_state.default_headers]
        head.append(b"content-type: %b\r\n" % MEDIA_TYPE.encode())
        head.append(b"content-length: %d\r\nconnection: close\r\n\r\n" % len(body))
        self.transport.write(b"".join((*head, body)))
        if not self.transport.can_write_eof():  # TLS
            self.transport.close()
            return
        self.transport.write_eof()
        self.flow.resume_reading()
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self.loop.call_later(self.linger_seconds, self.transport.close)


class ProbeHttpProtocol(LimitedHttpProtocol):
    """For a process that serves probes and metrics alone: kubelet and Prometheus need three connections."""

    max_connections = 32
    head_seconds = 5.0
    body_seconds = 5.0
