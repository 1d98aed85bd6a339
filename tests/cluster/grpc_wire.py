"""gRPC over HTTP/2 on unix sockets, in pure Python: as much of it as a device plugin needs.

Source: https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md
"""

import contextlib
import socket
import struct
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote, unquote

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.events import (
    ConnectionTerminated,
    DataReceived,
    Event,
    RequestReceived,
    ResponseReceived,
    StreamEnded,
    StreamReset,
    TrailersReceived,
)
from h2.exceptions import H2Error

OK, UNKNOWN, UNIMPLEMENTED, UNAVAILABLE = 0, 2, 12, 14
READ_BYTES = 65536
HEADERS = [(":status", "200"), ("content-type", "application/grpc")]

Headers = Iterable[tuple[str, str]]


class Method(NamedTuple):
    """Takes a message and answers one; `stays`: its stream is then left open until the caller ends it."""

    answer: Callable[[bytes], bytes]
    stays: bool = False


class RpcFailed(Exception):
    """The other side answered with another status than OK."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(f"gRPC status {status}: {message}")
        self.status = status


@dataclass
class Call:
    """One stream of a connection: what has come of its request, what still has to go out."""

    path: str
    request: bytearray = field(default_factory=bytearray)
    unsent: bytes = b""
    trailers: list[tuple[str, str]] | None = None


class Connection:
    """The server's side of one connection, served by the thread that calls `serve`."""

    def __init__(self, line: socket.socket, methods: Mapping[str, Method]) -> None:
        self._line = line
        self._methods = methods
        self._calls: dict[int, Call] = {}
        # Clients name all kinds of authorities for a unix socket, some of which h2 finds invalid.
        self._http = H2Connection(
            H2Configuration(
                client_side=False, header_encoding="utf-8", validate_inbound_headers=False
            )
        )

    def serve(self) -> None:
        """Answer calls until the other side leaves or breaks the protocol."""
        with self._line, contextlib.suppress(OSError, H2Error):
            self._http.initiate_connection()
            self._send()
            while data := self._line.recv(READ_BYTES):
                try:
                    events = self._http.receive_data(data)
                    for event in events:
                        if isinstance(event, ConnectionTerminated):
                            return
                        self._take(event)
                    for stream in list(self._calls):  # windows may have grown
                        self._push(stream)
                finally:
                    self._send()

    def close(self) -> None:
        """Hang up, so that `serve` returns."""
        with contextlib.suppress(OSError):
            self._line.shutdown(socket.SHUT_RDWR)

    def _send(self) -> None:
        if data := self._http.data_to_send():
            self._line.sendall(data)

    def _take(self, event: Event) -> None:
        if isinstance(event, RequestReceived):
            self._calls[event.stream_id] = Call(as_texts(event.headers).get(":path", ""))
        elif isinstance(event, DataReceived):
            if call := self._calls.get(event.stream_id):
                call.request += event.data
            self._http.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        elif isinstance(event, StreamEnded):
            if event.stream_id in self._calls:
                self._answer(event.stream_id)
        elif isinstance(event, StreamReset):
            self._calls.pop(event.stream_id, None)

    def _answer(self, stream: int) -> None:
        call = self._calls[stream]
        method = self._methods.get(call.path)
        try:
            if method is None:
                raise RpcFailed(UNIMPLEMENTED, f"there is no {call.path}")
            answer = method.answer(unframed(call.request))
        except Exception as error:
            status = error.status if isinstance(error, RpcFailed) else UNKNOWN
            said = ("grpc-message", quote(str(error), safe=" "))
            failed = [*HEADERS, ("grpc-status", str(status)), said]
            self._http.send_headers(stream, failed, end_stream=True)
            del self._calls[stream]
            return
        self._http.send_headers(stream, HEADERS)
        call.unsent = framed(answer)
        call.trailers = None if method.stays else [("grpc-status", str(OK))]

    def _push(self, stream: int) -> None:
        """Send as much of an answer as the other side's windows allow."""
        call = self._calls[stream]
        while call.unsent:
            window = self._http.local_flow_control_window(stream)
            size = min(window, self._http.max_outbound_frame_size, len(call.unsent))
            if size <= 0:
                return
            self._http.send_data(stream, call.unsent[:size])
            call.unsent = call.unsent[size:]
        if call.trailers:
            self._http.send_headers(stream, call.trailers, end_stream=True)
            del self._calls[stream]


class Server:
    """``with Server(path, methods)``: answers calls on a unix socket, one thread for each connection."""

    def __init__(self, path: Path, methods: Mapping[str, Method]) -> None:
        self._path = path
        self._methods = methods
        path.unlink(missing_ok=True)
        self._listener = socket.socket(socket.AF_UNIX)
        try:
            self._listener.bind(str(path))
            self._listener.listen()
        except OSError:
            self._listener.close()
            raise
        self._connections: list[Connection] = []
        self._threads = [threading.Thread(target=self._accept, name="accept", daemon=True)]
        self._threads[0].start()

    def __enter__(self) -> "Server":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(
                socket.SHUT_RDWR
            )  # wakes `accept`, which a close alone does not
        self._listener.close()
        self._threads[0].join()
        for connection in self._connections:
            connection.close()
        for thread in self._threads[1:]:
            thread.join()
        self._path.unlink(missing_ok=True)

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                line, _ = self._listener.accept()
                connection = Connection(line, self._methods)
                self._connections.append(connection)
                self._threads.append(threading.Thread(target=connection.serve, daemon=True))
                self._threads[-1].start()


def call(path: Path, method: str, message: bytes, seconds: float = 10.0) -> bytes:
    """Call one method of the server on a unix socket; its answer.

    Raises:
        RpcFailed: it answered with another status than OK, or hung up.
        OSError: nobody listens there, or not in time.
    """
    http = H2Connection(H2Configuration(client_side=True, header_encoding="utf-8"))
    with socket.socket(socket.AF_UNIX) as line:
        line.settimeout(seconds)
        line.connect(str(path))
        http.initiate_connection()
        http.send_headers(1, _request_headers(method))
        http.send_data(1, framed(message), end_stream=True)
        line.sendall(http.data_to_send())
        answer = bytearray()
        heads: dict[str, str] = {}
        while data := line.recv(READ_BYTES):
            for event in http.receive_data(data):
                if isinstance(event, ResponseReceived | TrailersReceived):
                    heads |= as_texts(event.headers)
                elif isinstance(event, DataReceived):
                    answer += event.data
                    http.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
                elif isinstance(event, StreamEnded):
                    return _outcome(heads, answer)
                elif isinstance(event, StreamReset | ConnectionTerminated):
                    raise RpcFailed(UNAVAILABLE, f"{ErrorCodes(event.error_code or 0).name}")
            line.sendall(http.data_to_send())
    raise RpcFailed(UNAVAILABLE, "the other side hung up")


def _request_headers(method: str) -> Headers:
    return [
        (":method", "POST"),
        (":scheme", "http"),
        (":path", method),
        (":authority", "localhost"),
        ("content-type", "application/grpc"),
        ("te", "trailers"),
    ]


def _outcome(heads: Mapping[str, str], answer: bytearray) -> bytes:
    status = int(heads.get("grpc-status", UNKNOWN))
    if status != OK:
        raise RpcFailed(status, unquote(heads.get("grpc-message", "")))
    return unframed(answer)


def as_texts(headers: Iterable[Any]) -> dict[str, str]:
    """Headers by name; h2 decodes them as it was told to."""
    return {str(name): str(value) for name, value in headers}


def framed(message: bytes) -> bytes:
    """A message with its prefix: not compressed, so many bytes."""
    return struct.pack(">BI", 0, len(message)) + message


def unframed(data: bytes | bytearray) -> bytes:
    """The one message of a request or an answer.

    Raises:
        RpcFailed: it is compressed, or not one whole message.
    """
    if len(data) < 5 or struct.unpack_from(">BI", data) != (0, len(data) - 5):
        raise RpcFailed(UNIMPLEMENTED, "one message, not compressed, is understood")
    return bytes(data[5:])
