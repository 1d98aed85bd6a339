"""A real uvicorn on a loopback port, raw sockets, and clients that do not behave."""

import asyncio
import json
import socket
import threading
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest
import uvicorn

from service.http.protocol import LimitedHttpProtocol

GET = b"GET /echo HTTP/1.1\r\nHost: x\r\n\r\n"


class Application:
    """Answers what it was sent; `/hold` waits for `/release`; `/early` does not read the body."""

    def __init__(self) -> None:
        self.released = asyncio.Event()
        self.holding = threading.Event()
        self.left = threading.Event()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["path"] == "/hold":
            self.holding.set()
            await self.released.wait()
        if scope["path"] == "/release":
            self.released.set()
        body = b""
        more = scope["path"] != "/early"
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                self.left.set()
                return
            body += message["body"]
            more = message["more_body"]
        headers = [name.decode() for name, _ in scope["headers"]]
        told = {"path": scope["path"], "body": body.decode(), "headers": headers}
        answer = json.dumps(told).encode()
        length = (b"content-length", b"%d" % len(answer))
        await send({"type": "http.response.start", "status": 200, "headers": [length]})
        await send({"type": "http.response.body", "body": answer})


class ShortHttpProtocol(LimitedHttpProtocol):
    head_seconds = 0.4
    body_seconds = 0.4
    body_bytes_per_second = 1_000
    linger_seconds = 60.0


class LongBodyHttpProtocol(ShortHttpProtocol):
    body_seconds = 60.0


class Served:
    def __init__(self, protocol: type[LimitedHttpProtocol], loop: str) -> None:
        self.application = Application()
        config = uvicorn.Config(
            self.application, http=protocol, loop=loop, lifespan="off", log_config=None
        )
        self.server = uvicorn.Server(config)
        self.listener = socket.create_server(("127.0.0.1", 0))  # connections wait in its backlog
        self.thread = threading.Thread(target=self.server.run, args=([self.listener],), daemon=True)
        self.thread.start()

    def connect(self) -> "Client":
        return Client(self.listener.getsockname())

    def close(self) -> None:
        self.server.should_exit = True
        self.thread.join(20)
        assert not self.thread.is_alive()


class Client:
    def __init__(self, address: tuple[str, int]) -> None:
        self.socket = socket.create_connection(address, timeout=10)
        self.stream = self.socket.makefile("rb")

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def answer(self) -> tuple[int, dict[str, str], Any]:
        status = int(self.stream.readline().split()[1])
        headers: dict[str, str] = {}
        while line := self.stream.readline().strip().decode():
            name, _, value = line.partition(": ")
            headers[name] = value
        body = self.stream.read(int(headers.get("content-length", 0)))
        return status, headers, json.loads(body) if body else None

    def is_closed(self) -> bool:
        """Waits for the end of the stream; whatever still comes fails the test."""
        try:
            return self.stream.read() == b""
        except ConnectionResetError:
            return True

    def close(self) -> None:
        self.stream.close()
        self.socket.close()


def serve(protocol: type[LimitedHttpProtocol], loop: str) -> Iterator[Served]:
    if loop == "uvloop":
        pytest.importorskip("uvloop")
    with closing(Served(protocol, loop)) as served:
        yield served


@pytest.fixture(scope="module", params=["asyncio", "uvloop"])
def served(request: pytest.FixtureRequest) -> Iterator[Served]:
    yield from serve(LimitedHttpProtocol, request.param)


@pytest.fixture
def client(served: Served) -> Iterator[Client]:
    served.application.released.clear()
    served.application.holding.clear()
    served.application.left.clear()
    with closing(served.connect()) as client:
        yield client


def expect_refusal(client: Client, status: int, code: str) -> None:
    got, headers, problem = client.answer()
    assert (got, problem["status"], problem["code"]) == (status, status, code)
    assert headers["content-type"] == "application/problem+json"
    assert headers["connection"] == "close"
    assert problem.keys() == {"type", "title", "status", "detail", "instance", "code"}
    assert problem["type"] == f"urn:soloist:error:{code}"
    assert problem["title"]
    assert problem["detail"]
    assert problem["instance"] in ("", "/", "/echo", "/hold", "/early"), "its path, if it was read"
    assert client.is_closed()


def release(served: Served) -> None:
    with closing(served.connect()) as other:
        other.send(b"GET /release HTTP/1.1\r\n\r\n")
        assert other.answer()[0] == 200


def post(body: bytes, *headers: bytes, path: bytes = b"/echo") -> bytes:
    lines = (b"POST " + path + b" HTTP/1.1", *headers, b"content-length: %d" % len(body))
    return b"\r\n".join((*lines, b"", body))


class TestWhatIsServed:
    def test_requests_follow_each_other_on_one_connection(self, client: Client) -> None:
        for number in range(5):
            client.send(post(b"%d" % number))
            status, _, told = client.answer()
            assert (status, told["body"]) == (200, str(number))

    def test_a_body_may_follow_its_head_and_a_longer_body_before(self, client: Client) -> None:
        for length in (50_000, 2, 1_000):
            whole = post(b"x" * length)
            client.send(whole[:-1])
            client.send(whole[-1:])
            assert len(client.answer()[2]["body"]) == length

    def test_requests_sent_ahead_are_answered_in_order(self, client: Client) -> None:
        client.send(b"".join(post(b"%d" % number) for number in range(50)))
        assert [client.answer()[2]["body"] for _ in range(50)] == [str(n) for n in range(50)]

    def test_many_requests_ahead_may_be_longer_than_one_head_may_be(self, client: Client) -> None:
        wide = b"GET /echo HTTP/1.1\r\nx: " + b"a" * 1000 + b"\r\n\r\n"
        client.send(wide * 40 + GET[:10])
        client.send(GET[10:])
        assert [client.answer()[0] for _ in range(41)] == [200] * 41

    def test_headers_up_to_the_bound_are_served(self, client: Client) -> None:
        client.send(b"GET /echo HTTP/1.1\r\n" + b"a: b\r\n" * 100 + b"\r\n")
        assert len(client.answer()[2]["headers"]) == 100
        client.send(b"GET /echo HTTP/1.1\r\na: " + b"b" * 16_300 + b"\r\n\r\n")
        assert client.answer()[0] == 200

    def test_a_body_much_longer_than_the_head_may_be(self, client: Client) -> None:
        client.send(post(b"x" * 1_000_000))
        assert len(client.answer()[2]["body"]) == 1_000_000

    def test_a_chunked_body_in_tiny_chunks(self, client: Client) -> None:
        client.send(b"POST /echo HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n")
        client.send(b"1\r\nx\r\n" * 30_000 + b"0\r\n\r\n")
        assert len(client.answer()[2]["body"]) == 30_000

    def test_trailers_do_not_become_headers(self, client: Client) -> None:
        client.send(b"POST /echo HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n")
        client.send(b"1\r\nx\r\n0\r\nauthorization: Bearer stolen\r\n\r\n")
        assert client.answer()[2]["headers"] == ["transfer-encoding"]

    def test_the_body_comes_after_the_server_said_continue(self, client: Client) -> None:
        whole = post(b"{}", b"expect: 100-continue")
        client.send(whole[:-2])
        assert client.stream.readline() == b"HTTP/1.1 100 Continue\r\n"
        assert client.stream.readline() == b"\r\n"
        client.send(b"{}")
        assert client.answer()[2]["body"] == "{}"

    def test_an_upgrade_is_not_made_and_the_request_is_answered(self, client: Client) -> None:
        client.send(b"GET /echo HTTP/1.1\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n")
        status, headers, _ = client.answer()
        assert (status, headers["connection"]) == (200, "close")
        assert client.is_closed()


class TestSize:
    def test_twenty_thousand_headers(self, client: Client) -> None:
        client.send(b"GET /echo HTTP/1.1\r\n" + b"a: b\r\n" * 20_000 + b"\r\n")
        expect_refusal(client, 431, "headers_too_large")

    def test_a_client_that_is_still_sending_gets_its_answer(self, client: Client) -> None:
        client.send(b"GET /echo HTTP/1.1\r\n" + b"a: b\r\n" * 1_000_000)
        expect_refusal(client, 431, "headers_too_large")

    def test_one_header_too_many(self, client: Client) -> None:
        client.send(b"GET /echo HTTP/1.1\r\n" + b"a: b\r\n" * 101 + b"\r\n")
        expect_refusal(client, 431, "headers_too_large")

    @pytest.mark.parametrize(
        "start", [b"GET /", b"GET /echo HTTP/1.1\r\nx: ", b"GET / HTTP/1.1\r\nx"]
    )
    def test_a_head_that_never_ends(self, client: Client, start: bytes) -> None:
        client.send(start + b"a" * 10_000)
        client.send(b"a" * 10_000)
        expect_refusal(client, 431, "headers_too_large")

    @pytest.mark.parametrize("reads", [1, 3])
    def test_a_complete_head_that_is_too_long(
        self, served: Served, client: Client, reads: int
    ) -> None:
        head = b"GET /echo HTTP/1.1\r\na: " + b"b" * 16_400 + b"\r\n\r\n"
        step = len(head) // reads + 1
        for start in range(0, len(head), step):
            client.send(head[start : start + step])
            release(served)  # by when the server has read what was sent before
        expect_refusal(client, 431, "headers_too_large")

    @pytest.mark.parametrize("tail", [b"0\r\nx: ", b"0\r\n", b"1;"])
    def test_chunks_that_bring_no_body(self, client: Client, tail: bytes) -> None:
        client.send(b"POST /echo HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n")
        client.send(b"ea60\r\n" + b"x" * 60_000 + b"\r\n" + tail)
        client.send((b"a: b\r\n" if tail == b"0\r\n" else b"abcdef") * 50_000)
        expect_refusal(client, 431, "headers_too_large")

    def test_more_requests_ahead_than_are_kept(self, served: Served, client: Client) -> None:
        client.send(GET.replace(b"echo", b"hold") + GET * 200)
        assert served.application.holding.wait(10)
        release(served)
        statuses = [client.answer()[0] for _ in range(102)]
        assert statuses == [200] * 101 + [400]
        assert client.is_closed()


class TestTime:
    @pytest.fixture(scope="class", params=["asyncio", "uvloop"])
    @classmethod
    def served(cls, request: pytest.FixtureRequest) -> Iterator[Served]:
        yield from serve(ShortHttpProtocol, request.param)

    def test_an_answer_may_take_longer_than_a_request(self, served: Served, client: Client) -> None:
        client.send(GET.replace(b"echo", b"hold"))
        with closing(served.connect()) as silent:  # its end says that the bounds have passed
            assert silent.is_closed()
        release(served)
        assert client.answer()[0] == 200

    def test_a_connection_that_says_nothing_is_closed(self, client: Client) -> None:
        assert client.is_closed()

    @pytest.mark.parametrize("before", [b"", GET])
    def test_a_head_that_stays_unfinished(self, client: Client, before: bytes) -> None:
        client.send(before + b"GET /echo HTTP/1.1\r\nx: y")
        if before:
            assert client.answer()[0] == 200
        expect_refusal(client, 408, "request_timeout")

    def test_a_head_that_comes_byte_by_byte(self, client: Client) -> None:
        drip(client, b"GET /echo HTTP/1.1\r\nx: ")
        expect_refusal(client, 408, "request_timeout")

    def test_empty_lines_do_not_keep_a_connection(self, client: Client) -> None:
        client.send(GET)
        assert client.answer()[0] == 200
        client.send(b"\r\n")
        assert client.is_closed()

    def test_a_body_that_stays_unfinished(self, served: Served, client: Client) -> None:
        client.send(post(b"x" * 20_000))
        assert client.answer()[0] == 200
        client.send(post(b"xy")[:-1])
        expect_refusal(client, 408, "request_timeout")
        assert served.application.left.wait(10)

    def test_a_chunked_body_that_comes_byte_by_byte(self, client: Client) -> None:
        drip(client, b"POST /echo HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n", b"1\r\nx\r\n")
        expect_refusal(client, 408, "request_timeout")

    def test_a_body_that_stays_unfinished_after_its_answer(self, client: Client) -> None:
        client.send(post(b"xy", path=b"/early")[:-1])
        assert client.answer()[0] == 200
        assert client.is_closed()

    def test_a_slow_request_does_not_cost_the_answer_before_it(
        self, served: Served, client: Client
    ) -> None:
        client.send(GET.replace(b"echo", b"hold") + b"GET /echo HTTP/1.1\r\nx: y")
        with closing(served.connect()) as silent:
            assert silent.is_closed()
        release(served)
        assert client.answer()[2]["path"] == "/hold"
        expect_refusal(client, 408, "request_timeout")

    def test_a_request_sent_ahead_is_not_slow_while_nobody_reads_it(
        self, served: Served, client: Client
    ) -> None:
        client.send(GET.replace(b"echo", b"hold") + GET + GET[:10])  # reading pauses after two
        assert served.application.holding.wait(10)
        client.send(GET[10:])
        with closing(served.connect()) as silent:
            assert silent.is_closed()
        release(served)
        assert [client.answer()[0] for _ in range(3)] == [200] * 3

    def test_a_head_has_its_own_time_after_a_body_that_had_longer(self) -> None:
        with (
            closing(Served(LongBodyHttpProtocol, "asyncio")) as served,
            closing(served.connect()) as client,
            closing(served.connect()) as silent,
        ):
            client.send(post(b"xy")[:-1])
            assert silent.is_closed()
            client.send(b"y")
            assert client.answer()[0] == 200
            client.send(GET[:-1])
            expect_refusal(client, 408, "request_timeout")

    def test_a_long_upload_has_longer(self, served: Served, client: Client) -> None:
        client.send(post(b"x" * 5_001)[:-1])
        with closing(served.connect()) as silent:
            assert silent.is_closed()
        client.send(b"x")
        assert client.answer()[0] == 200


class TestMalformed:
    @pytest.mark.parametrize(
        "request_bytes",
        [
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
            b"GET\r\n\r\n",
            b"GET / HTTP/9.9\r\n\r\n",
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
            b"GET /\xff HTTP/1.1\r\n\r\n",
            b"GET http:// HTTP/1.1\r\n\r\n",
            b"CONNECT a:443 HTTP/1.1\r\n\r\n",
            b"GET / HTTP/1.1\r\nbad header: x\r\n\r\n",
            b"POST / HTTP/1.1\r\ncontent-length: -1\r\n\r\n",
            b"POST / HTTP/1.1\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nxx",
            b"POST / HTTP/1.1\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        ],
    )
    def test_what_is_no_request(self, client: Client, request_bytes: bytes) -> None:
        client.send(request_bytes)
        expect_refusal(client, 400, "invalid_request")

    def test_a_bad_chunk_ends_the_request_that_it_belongs_to(
        self, served: Served, client: Client
    ) -> None:
        client.send(b"POST /echo HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n1\r\nx\r\n")
        client.send(b"zz\r\n")
        expect_refusal(client, 400, "invalid_request")
        assert served.application.left.wait(10)

    def test_a_bad_chunk_of_a_request_sent_ahead(self, served: Served, client: Client) -> None:
        bad = b"POST /echo HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n"
        client.send(GET.replace(b"echo", b"hold") + GET + bad)
        assert served.application.holding.wait(10)
        release(served)
        assert [client.answer()[2]["path"] for _ in range(2)] == ["/hold", "/echo"]
        expect_refusal(client, 400, "invalid_request")

    def test_the_body_of_an_upgrade_is_not_read_as_a_request(self, client: Client) -> None:
        client.send(post(GET, b"connection: upgrade", b"upgrade: h2c"))
        expect_refusal(client, 400, "invalid_request")


def drip(client: Client, start: bytes, more: bytes = b"a") -> None:
    """Sends a little every 50 ms until an answer is there to be read, for 10 s at most."""
    client.send(start)
    client.socket.settimeout(0.05)
    for _ in range(200):
        try:
            if client.socket.recv(1, socket.MSG_PEEK):
                break
        except TimeoutError:
            client.send(more)
    client.socket.settimeout(10)
