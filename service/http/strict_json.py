"""JSON as it is accepted from clients: exact, bounded, and refused with the place that is wrong.

The standard library's C scanner reads the body once (2 us for 200 bytes). What it does not check
by itself is looked for in the raw bytes first, so that a common body pays for none of it. Only a
refused body is walked a second time, token by token, to name the place.
"""

import asyncio
import json
import math
import re
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from contract.errors import InvalidJson
from contract.json_pointer import json_pointer

MAX_DEPTH = 64
MAX_KEYS = 10_000
MAX_DIGITS = 4_300
"""Python's own bound for int(text), CVE-2020-10735: the cost is quadratic in the digits."""
INLINE_BYTES = 64 * 1024
"""A longer body is parsed in a thread."""

INLINE_REFUSED_BYTES = 4 * 1024
"""A longer body that is refused is searched for the place in a thread."""

MAX_STEPS = 100_000
"""How far the second pass looks, about 40 ms: a refusal must not be a cheap attack."""

DUPLICATE_KEY = "An object has the same key twice."
TOO_DEEP = f"The body is nested deeper than {MAX_DEPTH} levels."
TOO_MANY_KEYS = f"An object has more than {MAX_KEYS:,} keys."
TOO_MANY_DIGITS = f"An integer has more than {MAX_DIGITS:,} digits."
NOT_FINITE = "A number is too large, or is NaN or Infinity, which JSON does not have."
LONE_SURROGATE = "A string holds half of a surrogate pair, which is not a Unicode character."
EMPTY = "The body is empty where JSON is expected."
BYTE_ORDER_MARK = "The body starts with a byte order mark; send UTF-8 without one."

FAULTS = (InvalidJson, ValueError, RecursionError)
"""What reading raises; ValueError covers json, int and both directions of Unicode."""

SPACE = re.compile(r"[ \t\n\r]*")
SURROGATE_ESCAPE = re.compile(r"\\u[dD][89a-fA-F]")

_threads = ThreadPoolExecutor(max_workers=2, thread_name_prefix="json")


def parse_json(body: bytes) -> Any:
    """The value of a JSON text (RFC 8259), integers of any size exact.

    Raises InvalidJson with a sentence and, unless the place is too far into a large body, a JSON
    pointer (RFC 6901) to it.
    """
    try:
        return _read(body)
    except FAULTS as fault:
        raise _refusal(body, fault) from None


async def parse_json_async(body: bytes) -> Any:
    """`parse_json`, in a thread where the body is long.

    The scanner is C and keeps the GIL while it runs, so a long body still delays the loop: measured
    for 1 MiB, 13 ms of small integers, 1 ms of text, 50 ms in the worst case (350,000 times `[]`).
    Objects and floats call back into Python, where the GIL is shared. Two threads of their own:
    more could not run at once, and the loop's default executor stays free for others.
    """
    loop = asyncio.get_running_loop()
    if len(body) > INLINE_BYTES:
        return await loop.run_in_executor(_threads, parse_json, body)
    try:
        return _read(body)
    except FAULTS as fault:
        if len(body) <= INLINE_REFUSED_BYTES:
            raise _refusal(body, fault) from None
        raise await loop.run_in_executor(_threads, _refusal, body, fault) from None


def _read(body: bytes) -> Any:
    text = body.decode()
    start = 0 if text[:1] == "{" else _skip(text, 0)
    value, end = _decoder.raw_decode(text, start)
    if end != len(text) and _skip(text, end) != len(text):
        raise json.JSONDecodeError("Extra data", text, end)
    if body.count(b"[") + body.count(b"{") > MAX_DEPTH:
        _check_depth(value)
    if b"\\u" in body and SURROGATE_ESCAPE.search(text):
        json.dumps(value, ensure_ascii=False).encode()
    return value


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise InvalidJson(DUPLICATE_KEY)
    if len(pairs) > MAX_KEYS:
        raise InvalidJson(TOO_MANY_KEYS)
    return members


def _float(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise InvalidJson(NOT_FINITE)
    return number


def _constant(text: str) -> Any:
    raise InvalidJson(NOT_FINITE)


_decoder = json.JSONDecoder(
    object_pairs_hook=_members, parse_float=_float, parse_constant=_constant
)


def _skip(text: str, at: int) -> int:
    space = SPACE.match(text, at)
    assert space is not None  # noqa: S101  # the pattern matches nothing, too
    return space.end()


def _check_depth(value: Any) -> None:
    level = [value]
    for _ in range(MAX_DEPTH):
        below: list[Any] = []
        for node in level:
            if type(node) is dict:
                below.extend(node.values())
            elif type(node) is list:
                below.extend(node)
        level = [node for node in below if type(node) is dict or type(node) is list]
        if not level:
            return
    raise InvalidJson(TOO_DEEP)


def _refusal(body: bytes, fault: Exception) -> InvalidJson:
    """What is wrong first in this body, with its place unless that lies too far to look."""
    # Decoded so, bytes that are not UTF-8 are lone surrogates, and the walk finds their string.
    walk = _Walk(body.decode(errors="surrogateescape"))
    try:
        walk.check_document()
    except _TooFar:
        return InvalidJson(_sentence(fault))
    except FAULTS as found:
        # The walk knows no bytes, so that a body that is not UTF-8 keeps the first sentence.
        told = fault if isinstance(fault, UnicodeDecodeError) else found
        return InvalidJson(_sentence(told), pointer=json_pointer(walk.path))
    return InvalidJson(_sentence(fault))  # never so far: the walk is as strict as the reader


def _sentence(fault: Exception) -> str:
    if isinstance(fault, InvalidJson):
        return fault.detail
    if isinstance(fault, json.JSONDecodeError):
        # The message names line and column, and quotes nothing of the body.
        return f"The body is not JSON: {fault}."
    if isinstance(fault, UnicodeDecodeError):
        return f"The body is not UTF-8: {fault.reason} at byte {fault.start}."
    if isinstance(fault, UnicodeEncodeError):
        return LONE_SURROGATE
    if isinstance(fault, RecursionError):
        return TOO_DEEP
    return TOO_MANY_DIGITS  # the one other ValueError, of int(text)


class _TooFar(Exception):
    pass


class _Walk:
    """Goes through a JSON text token by token, and knows the path to where it is."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.steps = 0
        self.path: list[str] = []

    def check_document(self) -> None:
        if self.text.startswith("\ufeff"):
            raise InvalidJson(BYTE_ORDER_MARK)
        if not self.peek():
            raise InvalidJson(EMPTY)
        self.check_value(depth=0)
        if self.peek():
            raise json.JSONDecodeError("Extra data", self.text, self.at)

    def peek(self) -> str:
        self.steps += 1
        if self.steps > MAX_STEPS:
            raise _TooFar
        self.at = _skip(self.text, self.at)
        return self.text[self.at : self.at + 1]

    def take(self, sign: str) -> bool:
        if self.peek() != sign:
            return False
        self.at += 1
        return True

    def check_value(self, depth: int) -> None:
        sign = self.peek()
        if sign not in ("{", "["):
            self.check_scalar()
            return
        if depth == MAX_DEPTH:
            raise InvalidJson(TOO_DEEP)
        self.at += 1
        if sign == "{":
            self.check_members(depth + 1)
        else:
            self.check_items(depth + 1)

    def check_members(self, depth: int) -> None:
        names: set[str] = set()
        while not (not names and self.take("}")):
            if self.peek() != '"':
                message = "Expecting property name enclosed in double quotes"
                raise json.JSONDecodeError(message, self.text, self.at)
            name = self.check_scalar()
            if len(names) == MAX_KEYS:
                raise InvalidJson(TOO_MANY_KEYS)
            self.path.append(name)
            if name in names:
                raise InvalidJson(DUPLICATE_KEY)
            names.add(name)
            if not self.take(":"):
                raise json.JSONDecodeError("Expecting ':' delimiter", self.text, self.at)
            self.check_value(depth)
            self.path.pop()
            if not self.more("}"):
                return

    def check_items(self, depth: int) -> None:
        index = 0
        while not (index == 0 and self.take("]")):
            self.path.append(str(index))
            self.check_value(depth)
            self.path.pop()
            index += 1
            if not self.more("]"):
                return

    def more(self, end: str) -> bool:
        if self.take(","):
            return True
        if not self.take(end):
            raise json.JSONDecodeError("Expecting ',' delimiter", self.text, self.at)
        return False

    def check_scalar(self) -> Any:
        value, self.at = _decoder.raw_decode(self.text, self.at)
        if isinstance(value, str):
            value.encode()
        return value
