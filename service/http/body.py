"""The body of a request: counted while it comes, and only where it says that it is JSON."""

import re

from starlette.requests import Request

from contract.errors import InvalidRequest, TooLarge, UnsupportedMediaType

# RFC 6839 section 3.1: a "+json" suffix says that the type is read as JSON.
JSON_TYPE = re.compile(r"application/json|[!#$&^_.+\w-]+/[!#$&^_.+\w-]+\+json", re.ASCII)
UTF_8 = ("utf-8", "utf8")


async def read_body(request: Request, limit: int) -> bytes:
    """The whole body, of at most `limit` bytes.

    Raises TooLarge as soon as the declared or the counted length passes the limit, and
    InvalidRequest if the client leaves in the middle, which nobody receives.
    """
    for name, value in request.scope["headers"]:
        # RFC 9110 section 8.6 allows digits only; the parser has refused anything else.
        if name == b"content-length" and value.isdigit() and int(value) > limit:
            raise _too_large(limit)
    chunks: list[bytes] = []
    size = 0
    while True:
        message = await request.receive()
        if message["type"] == "http.disconnect":
            raise InvalidRequest("The connection was closed before the body was complete.")
        chunk: bytes = message.get("body", b"")
        size += len(chunk)
        if size > limit:
            raise _too_large(limit)
        if not message.get("more_body", False):
            return b"".join((*chunks, chunk)) if chunks else chunk
        chunks.append(chunk)


def require_json(request: Request) -> None:
    """Raises UnsupportedMediaType unless the headers say JSON, as UTF-8, not encoded."""
    types: list[bytes] = []
    for name, value in request.scope["headers"]:
        if name == b"content-type":
            types.append(value)
        elif name == b"content-encoding" and value.strip().lower() not in (b"", b"identity"):
            raise UnsupportedMediaType(
                f"The body is encoded ({_shown(value)}); send it without Content-Encoding."
            )
    if types == [b"application/json"]:
        return
    if not types:
        raise UnsupportedMediaType("The Content-Type is missing; send application/json.")
    if len(types) > 1:
        raise UnsupportedMediaType("There are several Content-Types; send one application/json.")
    _check_type(types[0])


def _check_type(value: bytes) -> None:
    media_type, *parameters = value.decode("latin-1").lower().split(";")
    if not JSON_TYPE.fullmatch(media_type.strip()):
        raise UnsupportedMediaType(
            f"The Content-Type is {_shown(value)}; only application/json is read here."
        )
    for parameter in parameters:
        name, _, charset = parameter.partition("=")
        if name.strip() == "charset" and charset.strip().strip('"') not in UTF_8:
            raise UnsupportedMediaType("The charset of the body is not utf-8, as JSON's must be.")


def _shown(value: bytes) -> str:
    return ascii(value[:100].decode("latin-1"))


def _too_large(limit: int) -> TooLarge:
    return TooLarge(f"The body is longer than {limit:,} bytes.")
