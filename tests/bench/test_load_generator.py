"""The load generator: it cuts answers from a stream, keeps N callers busy, and times open loops fairly."""

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest

from bench.http import Response, UnreadableResponse, build_request, parse_response
from bench.load_process import latency_summary, run_load
from bench.target import Poll, Target

Respond = Callable[[bytes], tuple[int, bytes, float]]
"""The request as it came; status, body and seconds until the answer."""


def wire(status: int, body: bytes) -> bytes:
    return f"HTTP/1.1 {status} X\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


class Stub(asyncio.Protocol):
    """A stack that answers as `respond` says, in order, on each connection."""

    def __init__(self, respond: Respond) -> None:
        self._respond = respond

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: Any = transport

    def data_received(self, data: bytes) -> None:
        status, body, seconds = self._respond(data)
        if status:
            asyncio.get_running_loop().call_later(
                seconds, self._transport.write, wire(status, body)
            )
        else:
            self._transport.abort()


def against(respond: Respond, target: dict[str, Any], **command: Any) -> dict[str, Any]:
    async def main() -> dict[str, Any]:
        loop = asyncio.get_running_loop()
        server = await loop.create_server(lambda: Stub(respond), "127.0.0.1", 0)
        async with server:
            port = server.sockets[0].getsockname()[1]
            return await asyncio.wait_for(run_load(Target(port=port, **target), command), 30)

    return asyncio.run(main())


def requests(count: int) -> list[str]:
    return [
        build_request("POST", "/predict", json.dumps({"n": n}).encode()).decode()
        for n in range(count)
    ]


def echo(message: bytes) -> tuple[int, bytes, float]:
    return 200, message.split(b"\r\n\r\n", 1)[1], 0.0


def test_an_answer_is_cut_from_a_stream_only_when_all_of_it_is_there() -> None:
    stream = wire(201, b"first") + wire(200, b"second")
    for size in range(len(wire(201, b"first"))):
        assert parse_response(stream[:size]) is None
    found = parse_response(stream)
    assert found == (Response(201, b"first"), wire(200, b"second"))


def test_a_content_length_is_found_in_any_case() -> None:
    assert parse_response(b"HTTP/1.1 200 OK\r\nCONTENT-LENGTH: 2\r\nX-Y: z\r\n\r\nok") == (
        Response(200, b"ok"),
        b"",
    )


@pytest.mark.parametrize(
    "stream", [b"+OK\r\n\r\n", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"]
)
def test_an_answer_without_a_length_is_refused_and_not_guessed(stream: bytes) -> None:
    with pytest.raises(UnreadableResponse):
        parse_response(stream)


def test_a_request_carries_its_length_and_headers() -> None:
    message = build_request("POST", "/x", b"{}", Prefer="wait=5")
    assert message.startswith(b"POST /x HTTP/1.1\r\nHost: 127.0.0.1\r\nPrefer: wait=5\r\n")
    assert message.endswith(b"Content-Length: 2\r\n\r\n{}")


def test_once_brings_every_answer_in_the_order_of_the_requests() -> None:
    result = against(echo, {"requests": requests(20)}, do="once", callers=7)
    assert [json.loads(answer)["n"] for answer in result["answers"]] == list(range(20))
    assert result["errors"] == 0


def test_a_closed_loop_keeps_n_callers_busy_and_times_their_answers() -> None:
    waiting, most = 0, 0

    def slow(message: bytes) -> tuple[int, bytes, float]:
        nonlocal waiting, most
        waiting += 1
        most = max(most, waiting)
        asyncio.get_running_loop().call_later(0.02, answered)
        return 200, b"{}", 0.02

    def answered() -> None:
        nonlocal waiting
        waiting -= 1

    result = against(
        slow, {"requests": requests(3)}, do="closed", callers=5, warm_seconds=0.05, seconds=0.5
    )
    assert most == 5
    assert result["errors"] == 0
    assert result["latency_ms"]["p50"] >= 20
    # Little's law: five callers, each under way for the mean latency.
    assert result["per_second"] * result["latency_ms"]["mean"] / 1e3 == pytest.approx(5, rel=0.2)


def test_an_open_loop_sends_at_its_rate_whatever_the_stack_does() -> None:
    result = against(
        lambda message: (200, b"{}", 0.2),
        {"requests": requests(3)},
        do="open",
        callers=1,
        rate=200.0,
        seed=1,
        warm_seconds=0.1,
        seconds=1.0,
    )
    # One connection would have sent five.
    assert 130 < result["predictions"] < 270
    assert result["errors"] == 0


def test_latency_in_an_open_loop_counts_from_the_instant_a_request_was_due(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("bench.load_process.MOST_CONNECTIONS", 1)
    result = against(
        lambda message: (200, b"{}", 0.02),
        {"requests": requests(3)},
        do="open",
        callers=1,
        rate=100.0,
        seed=1,
        warm_seconds=0.0,
        seconds=0.5,
    )
    # 50 a second can be answered, so those that are due wait ever longer, and that is what counts.
    assert result["latency_ms"]["p99"] > 150


def test_a_client_that_polls_asks_until_the_result_is_there() -> None:
    asked = 0

    def respond(message: bytes) -> tuple[int, bytes, float]:
        nonlocal asked
        if message.startswith(b"POST"):
            return 202, b'{"task_id":"abc","status":"Processing"}', 0.0
        assert message.startswith(b"GET /status/abc ")
        asked += 1
        return (200, b'{"status":"Success"}', 0.0) if asked == 3 else (202, b"Processing", 0.0)

    poll = Poll(id_pattern='"task_id":"([^"]+)"', path="/status/{id}", pending="Processing")
    result = against(
        respond,
        {"requests": requests(1), "poll": poll, "proof": '"Success"'},
        do="once",
        callers=1,
    )
    assert result["answers"] == ['{"status":"Success"}']
    assert asked == 3


@pytest.mark.parametrize(
    ("status", "body", "reason"),
    [(503, b"full", "503 b'full'"), (200, b"pending", "200 b'pending'"), (0, b"", "lost")],
)
def test_what_is_no_good_answer_is_an_error(status: int, body: bytes, reason: str) -> None:
    result = against(
        lambda message: (status, body, 0.0),
        {"requests": requests(2), "proof": "succeeded"},
        do="once",
        callers=2,
    )
    assert result["answers"] == [None, None]
    assert result["errors"] == 2
    assert reason in result["last_error"]


def test_a_target_survives_the_way_to_the_other_process() -> None:
    target = Target(1, ["x"], "y", Poll("a", "b", "c"))
    assert Target.from_json(json.loads(json.dumps(target.as_json()))) == target


def test_a_spread_of_nothing_is_empty() -> None:
    assert latency_summary([]) == {}
    assert latency_summary([3.0, 1.0, 2.0]) == {
        "p50": 2.0,
        "p90": 3.0,
        "p99": 3.0,
        "max": 3.0,
        "mean": 2.0,
    }
