"""Protocol Buffers' wire format: the two kinds of field that the device plugin's messages have.

Source: https://protobuf.dev/programming-guides/encoding/
"""

from collections.abc import Iterator

VARINT, FIXED64, LENGTH, FIXED32 = 0, 1, 2, 5
SIZES = {FIXED64: 8, FIXED32: 4}


def field(number: int, value: str | bytes | int) -> bytes:
    """One field. Texts and messages go by their length; numbers and bools are at least 0."""
    if isinstance(value, int):
        return varint(number << 3 | VARINT) + varint(value)
    content = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | LENGTH) + varint(len(content)) + content


def fields(message: bytes) -> Iterator[tuple[int, int | bytes]]:
    """The fields of a message in order: (number, value). Kinds that we never send are left out.

    Raises:
        ValueError: it is no message.
    """
    at = 0
    while at < len(message):
        tag, at = _read_varint(message, at)
        number, kind = tag >> 3, tag & 7
        if kind == VARINT:
            value, at = _read_varint(message, at)
            yield number, value
            continue
        if kind == LENGTH:
            size, at = _read_varint(message, at)
        elif kind in SIZES:
            size = SIZES[kind]
        else:
            raise ValueError(f"no wire type {kind}")
        if at + size > len(message):
            raise ValueError("the message is cut off")
        if kind == LENGTH:
            yield number, message[at : at + size]
        at += size


def texts(message: bytes, number: int) -> list[str]:
    """A repeated string."""
    return [value.decode() for value in messages(message, number)]


def messages(message: bytes, number: int) -> list[bytes]:
    """A repeated message."""
    return [value for n, value in fields(message) if n == number and isinstance(value, bytes)]


def number(message: bytes, of: int) -> int:
    """A number; 0 where the field is missing. The last one counts."""
    return next((v for n, v in reversed([*fields(message)]) if n == of and isinstance(v, int)), 0)


def varint(value: int) -> bytes:
    """Seven bits a byte, the lowest first."""
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*encoded, value])


def _read_varint(message: bytes, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(message):
            raise ValueError("the message is cut off")
        value |= (message[at] & 0x7F) << shift
        at += 1
        if message[at - 1] < 0x80:
            return value, at
    raise ValueError("a number has too many bytes")
