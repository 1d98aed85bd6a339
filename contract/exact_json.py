"""JSON text whose integers stay what they are, however large, from the client to the model and back.

orjson reads an integer beyond 64 bits as a float, and writes none. It does the work wherever that cannot
happen, which costs a look at the bytes; the standard library does the rest.
"""

import json
import math
from collections.abc import Callable
from dataclasses import fields, is_dataclass
from enum import Enum
from typing import Any

import orjson

LEAST, MOST = -(2**63), 2**64 - 1
"""The integers that orjson knows."""

AS_ZERO = bytes(b"0"[0] if byte in b"0123456789" else byte for byte in range(256))
RUN = b"0" * 19
"""Whatever has fewer digits fits into 64 bits."""
FRACTION = b"." + RUN


def loads(text: str) -> Any:
    """The value of a JSON text.

    Raises:
        ValueError: it is none, or a number in it is too large for a float, or longer than 4,300 digits.
    """
    raw = text.encode()
    zeros = raw.translate(AS_ZERO)
    # Long fractions are common and no reason to be slow: where each long run of digits is one, the two
    # counts are equal.
    if RUN in zeros and zeros.count(RUN) != zeros.count(FRACTION):
        return _decoder.decode(text)
    return orjson.loads(raw)


def dumps(value: Any, default: Callable[[Any], Any] | None = None, option: int = 0) -> bytes:
    """A value as compact JSON; `default` and `option` as orjson has them.

    Raises:
        TypeError: JSON cannot say it, or an integer has more than 4,300 digits.
    """
    try:
        return orjson.dumps(value, default, option)
    except TypeError as error:
        try:
            spelled = _spell(value)
        except _TooLong:
            raise
        except Exception:  # whatever a `tolist` raises; orjson met it too, and says so
            raise error from error.__cause__
        if spelled is value:
            raise
    return orjson.dumps(spelled, default, option)


class _TooLong(TypeError):
    pass


def _spell(value: Any) -> Any:
    """The value with its large integers as JSON text; itself where it holds none."""
    if isinstance(value, int):
        if LEAST <= value <= MOST:
            return value
        try:
            return orjson.Fragment(int.__repr__(value))
        except ValueError:  # Python's own bound, CVE-2020-10735
            raise _TooLong("an integer has more than 4,300 digits") from None
    if isinstance(value, Enum):
        return _either(value, value.value)
    if isinstance(value, dict):
        members = {name: _spell(member) for name, member in value.items()}
        same = all(members[name] is member for name, member in value.items())
        return value if same else members
    if isinstance(value, (list, tuple)):
        items = [_spell(item) for item in value]
        return value if all(map(lambda a, b: a is b, items, value)) else items
    if is_dataclass(value) and not isinstance(value, type):
        # orjson writes them too, without their private fields
        names = [field.name for field in fields(value) if not field.name.startswith("_")]
        return _either(value, {name: getattr(value, name) for name in names})
    if hasattr(value, "tolist"):
        return _either(value, value.tolist())
    return value


def _either(value: Any, plain: Any) -> Any:
    spelled = _spell(plain)
    return value if spelled is plain else spelled


def _finite(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise ValueError("number is infinity when parsed as double")
    return number


def _constant(text: str) -> Any:
    raise ValueError(f"{text} is not JSON")


_decoder = json.JSONDecoder(parse_float=_finite, parse_constant=_constant)
