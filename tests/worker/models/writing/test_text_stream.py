"""A text while it is generated: its pieces are exactly the text, whatever cuts it."""

from typing import Any

import pytest

pytest.importorskip("torch")

from worker.models.interface import Item
from worker.models.passes.rows import Row
from worker.models.writing.text_stream import TextStream

pytestmark = pytest.mark.slow


class Bytes:
    """A tokenizer whose tokens are bytes, so that a character may come in parts."""

    def decode(self, ids: list[int], **_: Any) -> str:
        return bytes(ids).decode(errors="replace")


def stream(
    text: str, *, most: int = 100, stops: tuple[str, ...] = (), clean: Any = None
) -> tuple[str, list[str]]:
    """(the text, the pieces that were emitted) of a generation of these bytes."""
    pieces: list[str] = []
    item = Item("a", {}, report=lambda item, kind, value: pieces.append(value))
    made = TextStream(
        Row("", {}, item),
        Bytes(),
        prompt=[],
        most=most,
        stops=list(stops),
        emits=True,
        clean=clean,
    )
    for token in text.encode():
        if not made.done:
            made.add_token(token)
    return made.finish(), pieces


@pytest.mark.parametrize("text", ["", "hello", "käse 🧀", "日本語"])
def test_the_pieces_are_the_text_and_hold_whole_characters(text: str) -> None:
    whole, pieces = stream(text)
    assert whole == "".join(pieces) == text
    assert pieces == list(text)


def test_a_character_that_never_comes_whole_comes_at_the_end() -> None:
    whole, pieces = stream("ab🧀", most=4)
    assert whole == "".join(pieces) == "ab\ufffd"


def test_a_text_ends_with_the_first_stop_that_it_completes() -> None:
    whole, pieces = stream("one. two! three", stops=("!", "two"))
    assert whole == "".join(pieces) == "one. two"


def test_a_stop_that_comes_in_parts_is_found() -> None:
    assert stream("a##b##", stops=("##",))[0] == "a##"


def test_a_text_that_is_cleaned_is_one_piece() -> None:
    whole, pieces = stream("a . b", clean=lambda text: text.replace(" .", "."))
    assert (whole, pieces) == ("a. b", ["a. b"])


def test_what_nobody_wants_any_more_takes_no_further_token() -> None:
    item = Item("a", {})
    made = TextStream(Row("", {}, item), Bytes(), prompt=[], most=9, stops=[], emits=False)
    made.add_token(ord("a"))
    item.stopped.set()
    made.add_token(ord("b"))
    assert made.done
    assert made.text == "a"
