"""What is taken as a JSON body, and when reading it stops."""

from collections.abc import Iterable
from typing import Any

import pytest
from starlette.requests import Request

from contract.errors import InvalidRequest, TooLarge, UnsupportedMediaType
from service.http.body import read_body, require_json

Header = tuple[bytes, bytes]


class Arrival:
    """A request whose body comes in these pieces; None is the end of the connection."""

    def __init__(self, *pieces: bytes | None, headers: Iterable[Header] = ()) -> None:
        self.pieces = list(pieces)
        self.request = Request({"type": "http", "headers": list(headers)}, self.receive)

    async def receive(self) -> dict[str, Any]:
        piece = self.pieces.pop(0)
        if piece is None:
            return {"type": "http.disconnect"}
        return {"type": "http.request", "body": piece, "more_body": bool(self.pieces)}


def request_with(*headers: Header) -> Request:
    return Request({"type": "http", "headers": list(headers)})


def run(arrival: Arrival, limit: int) -> bytes:
    """Nothing here waits, so that a coroutine runs to its end without a loop."""
    try:
        read_body(arrival.request, limit).send(None)
    except StopIteration as end:
        body: bytes = end.value
        return body
    raise AssertionError("it waits")


@pytest.mark.parametrize(
    "pieces", [(b"abcd",), (b"ab", b"cd"), (b"", b"abcd", b""), (b"abcd", b"")]
)
def test_a_body_of_just_the_limit_is_read_whole(pieces: tuple[bytes, ...]) -> None:
    assert run(Arrival(*pieces), limit=4) == b"abcd"


def test_a_request_without_a_body_reads_as_empty() -> None:
    assert run(Arrival(b""), limit=4) == b""


def test_a_declared_length_past_the_limit_is_refused_before_anything_is_read() -> None:
    arrival = Arrival(b"abcde", headers=[(b"content-length", b"5")])
    with pytest.raises(TooLarge, match="4 bytes"):
        run(arrival, limit=4)
    assert arrival.pieces == [b"abcde"]


def test_a_counted_length_past_the_limit_is_refused_at_once() -> None:
    arrival = Arrival(b"ab", b"cde", b"f", headers=[(b"transfer-encoding", b"chunked")])
    with pytest.raises(TooLarge):
        run(arrival, limit=4)
    assert arrival.pieces == [b"f"]


def test_a_declared_length_that_lies_is_counted_all_the_same() -> None:
    with pytest.raises(TooLarge):
        run(Arrival(b"abcde", headers=[(b"content-length", b"1")]), limit=4)


def test_a_client_that_leaves_is_a_request_error() -> None:
    with pytest.raises(InvalidRequest, match="closed"):
        run(Arrival(b"ab", None), limit=4)


@pytest.mark.parametrize(
    "value",
    [
        b"application/json",
        b"Application/JSON",
        b"application/json; charset=utf-8",
        b'application/json;charset="UTF-8"',
        b"application/json; profile=x",
        b"application/cloudevents+json",
        b"application/vnd.api+json; charset=utf8",
    ],
)
def test_json_is_accepted_as(value: bytes) -> None:
    require_json(request_with((b"host", b"x"), (b"content-type", value)))


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"text/plain",
        b"text/json",
        b"application/jsonx",
        b"application/x-www-form-urlencoded",
        b"application/+json",
        b"multipart/form-data; boundary=application/json",
        b"application/json, application/json",
        b"application/json; charset=latin-1",
        b"application/json; charset=utf-16",
        b"application/json; charset",
        b"\xff\xfe/json",
    ],
)
def test_another_content_type_is_refused(value: bytes) -> None:
    with pytest.raises(UnsupportedMediaType) as caught:
        require_json(request_with((b"content-type", value)))
    assert caught.value.detail.isascii()


def test_a_missing_content_type_is_refused_and_says_what_to_send() -> None:
    with pytest.raises(UnsupportedMediaType, match="send application/json"):
        require_json(request_with())


def test_two_content_types_are_refused() -> None:
    twice = (b"content-type", b"application/json")
    with pytest.raises(UnsupportedMediaType, match="several"):
        require_json(request_with(twice, twice))


@pytest.mark.parametrize("value", [b"", b"identity", b"Identity"])
def test_no_content_encoding_is_accepted(value: bytes) -> None:
    require_json(request_with((b"content-type", b"application/json"), (b"content-encoding", value)))


@pytest.mark.parametrize("value", [b"gzip", b"br", b"identity, gzip", b"\x1b[31m" + b"x" * 10_000])
def test_a_content_encoding_is_refused_in_a_short_sentence(value: bytes) -> None:
    with pytest.raises(UnsupportedMediaType) as caught:
        require_json(
            request_with((b"content-type", b"application/json"), (b"content-encoding", value))
        )
    assert len(caught.value.detail) < 300
    assert caught.value.detail.isprintable()
