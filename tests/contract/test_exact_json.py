"""Integers come out as they went in, whatever their size; everything else reads as orjson reads it."""

import enum
import json
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from contract import exact_json

INTEGERS = st.integers(-(10**25), 10**25) | st.sampled_from(
    [2**63 - 1, 2**63, -(2**63), -(2**63) - 1, 2**64 - 1, 2**64, 10**18, 10**19, 10**30, -(10**400)]
)
VALUES = st.recursive(
    INTEGERS | st.floats(allow_nan=False, allow_infinity=False) | st.text() | st.booleans(),
    lambda some: st.lists(some) | st.dictionaries(st.text(), some),
    max_leaves=30,
)


def kinds(value: Any) -> Any:
    """The value with its types, as 1 == 1.0."""
    if isinstance(value, dict):
        return {name: kinds(member) for name, member in value.items()}
    if isinstance(value, list):
        return [kinds(item) for item in value]
    return type(value), value


@given(VALUES)
@example([10**18, 1.0, "1" * 40, {"n": -(10**30)}])
def test_what_is_written_reads_as_it_was(value: Any) -> None:
    text = exact_json.dumps(value).decode()
    assert kinds(exact_json.loads(text)) == kinds(value)
    assert kinds(exact_json.loads(json.dumps(value))) == kinds(value)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1000000000000000000000000000000", 10**30),
        ("-9223372036854775809", -(2**63) - 1),
        ('{"a":[0.5,18446744073709551616]}', {"a": [0.5, 2**64]}),
        ("[0.1234567890123456789,18446744073709551616]", [0.12345678901234568, 2**64]),
        ("0.12345678901234567890123456789012345678901234", 0.12345678901234568),
        ("123456789012345678901.5", 123456789012345678901.5),
        ("12345678901234567890e2", 1.234567890123456789e21),
        ('"12345678901234567890123 and 0.5"', "12345678901234567890123 and 0.5"),
    ],
)
def test_long_runs_of_digits_read_as_what_they_are(text: str, value: Any) -> None:
    assert kinds(exact_json.loads(text)) == kinds(value)


@pytest.mark.parametrize("bad", ["1e400", "-1e400", "NaN", "Infinity", "{", "", "'a'", "1" * 4301])
@pytest.mark.parametrize("beside", ["1", "1" * 30])
def test_what_is_no_json_is_refused_beside_small_and_large_integers(bad: str, beside: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        exact_json.loads(f"[{beside},{bad}]")


class Size(enum.Enum):
    HUGE = 10**30


@dataclass
class Box:
    edge: int
    label: str = "a"
    parts: list[Any] = field(default_factory=list)
    _own: int = 2**80


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (2**64, "18446744073709551616"),
        ({"n": [1, -(10**30), 0.5]}, '{"n":[1,-1000000000000000000000000000000,0.5]}'),
        ((2**64, True), "[18446744073709551616,true]"),
        (Box(2**64), '{"edge":18446744073709551616,"label":"a","parts":[]}'),
        ([Box(1, parts=[2**64])], '[{"edge":1,"label":"a","parts":[18446744073709551616]}]'),
        ({"size": Size.HUGE}, '{"size":1000000000000000000000000000000}'),
        (np.array([2**64, 1], dtype=object), "[18446744073709551616,1]"),
        ([np.arange(2), 2**64], "[[0,1],18446744073709551616]"),
    ],
)
def test_large_integers_are_written_digit_by_digit(value: Any, text: str) -> None:
    assert exact_json.dumps(value, option=orjson.OPT_SERIALIZE_NUMPY).decode() == text


def test_what_holds_no_large_integer_is_refused_in_the_words_of_orjson() -> None:
    with pytest.raises(TypeError, match="Dict key must be str"):
        exact_json.dumps({1: "one"})
    with pytest.raises(TypeError, match="Type is not JSON serializable: set"):
        exact_json.dumps([2**70, {1}])


def test_an_integer_that_nobody_could_read_again_is_refused() -> None:
    with pytest.raises(TypeError, match="4,300 digits"):
        exact_json.dumps([10**4300])


def test_a_value_that_holds_itself_is_refused() -> None:
    loop: list[Any] = [2**70]
    loop.append(loop)
    with pytest.raises(TypeError):
        exact_json.dumps(loop)
