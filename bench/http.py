"""The least of HTTP/1.1 that a cheap load generator needs: requests as bytes, answers cut from a stream."""

from dataclasses import dataclass


class UnreadableResponse(ValueError):
    """An answer that this client does not understand, such as a chunked one."""


@dataclass(frozen=True, slots=True)
class Response:
    status: int
    body: bytes


def build_request(method: str, path: str, body: bytes = b"", **headers: str) -> bytes:
    """One request as it goes over the wire; an underscore in a header's name stands for a dash."""
    lines = [f"{method} {path} HTTP/1.1", "Host: 127.0.0.1"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    if method != "GET":
        lines += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
    return "\r\n".join([*lines, "", ""]).encode() + body


def parse_response(stream: bytes) -> tuple[Response, bytes] | None:
    """The first answer of a stream and what follows it; None until all of it is there.

    Raises:
        UnreadableResponse: it is no HTTP, or its length is not given by `Content-Length`.
    """
    end = stream.find(b"\r\n\r\n")
    if end < 0:
        return None
    head = stream[:end].lower()
    if not head.startswith(b"http/1.") or not head[9:12].isdigit():
        raise UnreadableResponse(f"not HTTP: {stream[:80]!r}")
    at = head.find(b"\r\ncontent-length:")
    if at < 0:
        raise UnreadableResponse(f"no Content-Length: {head[:300]!r}")
    length = int(head[at + 17 :].split(b"\r\n", 1)[0])
    stop = end + 4 + length
    if len(stream) < stop:
        return None
    return Response(int(head[9:12]), stream[end + 4 : stop]), stream[stop:]
