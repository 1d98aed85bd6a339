"""What is read as JSON, what is refused, and that the place is named."""

import asyncio
import json
import threading
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contract.errors import InvalidJson
from contract.exact_json import dumps
from service.http import strict_json
from service.http.strict_json import parse_json, parse_json_async

scalars = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
)
texts = st.text(st.characters(exclude_categories=["Cs"]))
values = st.recursive(
    scalars | texts | st.integers(-(10**300), 10**300),
    lambda inner: st.lists(inner) | st.dictionaries(texts, inner),
    max_leaves=30,
)
fragments = st.sampled_from(
    [
        *'{}[],:"\\-+.eE01',
        "null",
        "tru",
        "NaN",
        "Infinity",
        "1e999",
        '"a"',
        "\\ud800",
        "\\u003a",
        " ",
    ]
)


def refused(body: bytes) -> InvalidJson:
    with pytest.raises(InvalidJson) as caught:
        parse_json(body)
    return caught.value


def nested(depth: int, inner: bytes = b"") -> bytes:
    return b"[" * depth + inner + b"]" * depth


def keys(count: int) -> bytes:
    return b"{%s}" % b",".join(b'"%d":0' % number for number in range(count))


@pytest.mark.parametrize(
    ("body", "value"),
    [
        (b"{}", {}),
        (b' \t\r\n{"a": [1, 2.5, -0, true, null]}\n', {"a": [1, 2.5, 0, True, None]}),
        (b'"caf\xc3\xa9 \\ud83d\\ude00 \\u0000"', "caf\u00e9 \U0001f600 \x00"),
        (b"1180591620717411303424", 2**70),
        (b"-" + b"9" * 4300, -int("9" * 4300)),
        (b"1.5e308", 1.5e308),
        (b"1e-999", 0.0),
        (b'"\\\\ud800"', "\\ud800"),
        (b'{"a":{"a":1},"b":{"a":1}}', {"a": {"a": 1}, "b": {"a": 1}}),
        (b'"' + b"[" * 100 + b'"', "[" * 100),
        (b'{"__type__":"datetime","__value__":"x"}', {"__type__": "datetime", "__value__": "x"}),
    ],
)
def test_valid_json_is_read_exactly(body: bytes, value: Any) -> None:
    assert parse_json(body) == value
    assert parse_json(dumps(parse_json(body))) == value


HOSTILE = {
    "nothing": (b"", "empty", ""),
    "spaces": (b" \n", "empty", ""),
    "byte order mark": (b"\xef\xbb\xbf{}", "byte order mark", ""),
    "UTF-16": ("{}".encode("utf-16"), "not UTF-8", ""),
    "Latin-1": (b'{"a":["caf\xe9"]}', "not UTF-8: .* at byte 10", "/a/0"),
    "overlong UTF-8": (b'"\xc0\xaf"', "not UTF-8", ""),
    "surrogate in UTF-8": (b'["\xed\xa0\x80"]', "not UTF-8", "/0"),
    "NaN": (b'{"a":[1,NaN]}', "NaN", "/a/1"),
    "Infinity": (b"Infinity", "Infinity", ""),
    "-Infinity": (b'{"a":{"b":-Infinity}}', "Infinity", "/a/b"),
    "1e999": (b'{"a":1,"b":-1e999}', "too large", "/b"),
    "a float of 400 digits": (b"[" + b"1" * 400 + b".0]", "too large", "/0"),
    "lone high surrogate": (b'{"a":"x\\ud800y"}', "surrogate", "/a"),
    "lone low surrogate": (b'["\\uDC00"]', "surrogate", "/0"),
    "surrogates in the wrong order": (b'["\\udc00\\ud800"]', "surrogate", "/0"),
    "surrogate in a key": (b'{"a":{"\\ud800":1}}', "surrogate", "/a"),
    "4,301 digits": (b'{"a":%s}' % (b"9" * 4301), "4,300 digits", "/a"),
    "key twice": (b'{"a":{"b":1,"c":2,"b":1}}', "twice", "/a/b"),
    "key twice, escaped": (b'{"ab":1,"\\u0061b":1}', "twice", "/ab"),
    "key of signs": (b'{"a/~":[{"":NaN}]}', "NaN", "/a~1~0/0/"),
    "65 levels": (nested(65), "deeper than 64", "/0" * 64),
    "65 levels beside": (b'{"a":%s}' % nested(64), "deeper than 64", "/a" + "/0" * 63),
    "a million levels": (b"[" * 1_000_000, "deeper than 64", "/0" * 64),
    "a million levels of objects": (b'{"a":' * 200_000, "deeper than 64", "/a" * 64),
    "10,001 keys": (b'{"a":%s}' % keys(10_001), "10,000 keys", "/a"),
    "a hundred thousand keys": (keys(100_000), "10,000 keys", ""),
    "trailing garbage": (b"{} {}", "Extra data", ""),
    "trailing comma": (b'{"a":1,}', "property name", ""),
    "trailing comma in a list": (b"[1,]", "Expecting value", "/1"),
    "no comma": (b'{"a":[1 2]}', "',' delimiter", "/a"),
    "no colon": (b'{"a" 1}', "':' delimiter", "/a"),
    "no end": (b'{"a":[1', "',' delimiter", "/a"),
    "no end of a string": (b'{"a":"x', "Unterminated string", "/a"),
    "single quotes": (b"{'a':1}", "double quotes", ""),
    "a comment": (b"[1] // one", "Extra data", ""),
    "a control character": (b'["a\nb"]', "control character", "/0"),
    "a wrong escape": (b'["\\x41"]', "escape", "/0"),
    "a leading zero": (b"[01]", "',' delimiter", ""),
    "a plus": (b"[+1]", "Expecting value", "/0"),
    "a no-break space": ("\u00a0{}".encode(), "Expecting value", ""),
    "a zero byte": (b"\x00", "Expecting value", ""),
    "Arabic digits": ("[\u0661]".encode(), "Expecting value", "/0"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_json_is_refused_with_its_place(case: str) -> None:
    body, sentence, pointer = HOSTILE[case]
    refusal = refused(body)
    assert refusal.pointer == pointer
    with pytest.raises(InvalidJson, match=sentence):
        raise refusal


@pytest.mark.parametrize("body", [nested(64), b"[[],%s]" % nested(63, b"1"), keys(10_000)])
def test_the_bounds_themselves_are_accepted(body: bytes) -> None:
    assert parse_json(body) == json.loads(body)


def test_the_pointer_does_not_echo_a_key_as_long_as_the_body() -> None:
    refusal = refused(b'{"a":{"%s":NaN}}' % (b"x" * 100_000))
    assert refusal.pointer == "/a"


def test_a_place_too_far_to_look_for_is_refused_without_pointer() -> None:
    refusal = refused(b"[%sNaN]" % (b"1," * 200_000))
    assert (refusal.pointer, refusal.detail) == (None, strict_json.NOT_FINITE)


def test_a_refusal_has_no_traceback_of_the_parser() -> None:
    assert refused(b"[NaN]").__cause__ is None


@settings(deadline=None)
@given(values)
def test_any_value_round_trips(value: Any) -> None:
    again = parse_json(dumps(value))
    assert repr(again) == repr(value)


@settings(deadline=None)
@given(values, st.booleans(), st.sampled_from([None, 1]))
def test_it_agrees_with_the_standard_library(value: Any, escape: bool, indent: int | None) -> None:
    body = json.dumps(value, ensure_ascii=escape, indent=indent).encode()
    assert repr(parse_json(body)) == repr(json.loads(body))


def expect_json_or_refusal(body: bytes) -> None:
    try:
        value = parse_json(body)
    except InvalidJson as refusal:
        told = [refusal.detail, refusal.pointer]
    else:
        assert repr(value) == repr(json.loads(body)) == repr(parse_json(dumps(value)))
        return
    assert None not in told
    assert orjson.dumps(told)


@settings(deadline=None)
@given(st.binary() | st.lists(fragments).map(lambda parts: "".join(parts).encode()))
def test_arbitrary_bytes_raise_nothing_but_invalid_json(body: bytes) -> None:
    expect_json_or_refusal(body)


@settings(deadline=None)
@given(values, st.data())
def test_a_damaged_body_raises_nothing_but_invalid_json(value: Any, data: st.DataObject) -> None:
    body = bytearray(dumps(value))
    at = data.draw(st.integers(0, len(body) - 1))
    body[at : at + 1] = data.draw(st.binary(max_size=2) | fragments.map(str.encode))
    expect_json_or_refusal(bytes(body))


@pytest.mark.parametrize(("padding", "threaded"), [(0, False), (64 * 1024, True)])
def test_only_a_long_body_is_parsed_in_a_thread(
    padding: int, threaded: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads: list[threading.Thread] = []
    read = strict_json._read

    def spy(body: bytes) -> Any:
        threads.append(threading.current_thread())
        return read(body)

    monkeypatch.setattr(strict_json, "_read", spy)
    body = b'{"a":1}' + b" " * padding
    assert asyncio.run(parse_json_async(body)) == {"a": 1}
    assert [thread is not threading.main_thread() for thread in threads] == [threaded]


@pytest.mark.parametrize("count", [1, 10_000, 100_000])
def test_a_bad_body_of_any_length_is_refused_off_the_loop_too(count: int) -> None:
    body = b'{"a":[%sNaN]}' % (b"1," * count)
    with pytest.raises(InvalidJson, match="NaN"):
        asyncio.run(parse_json_async(body))
