"""Inputs as people write them: a text, a JSON object, a file of lines, or lines piped in.

A line that begins with `{` is a JSON object: the input as it is. A JSON string or any other text becomes
``{"text": ...}``. Empty lines are passed over.
"""

import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from cli.console import Failure

Input = dict[str, Any]


def gather_inputs(texts: list[str], file: Path | None) -> list[Input]:
    """The inputs of one command, in order.

    Raises:
        Failure: there is none, a file cannot be read, or a line is broken; it names the line.
    """
    if texts and file:
        raise Failure("give texts or --file, not both", 2)
    if texts and texts != ["-"]:
        return _parse(texts, "text")
    if file is not None and str(file) != "-":
        try:
            return _parse(file.read_text(encoding="utf-8-sig").split("\n"), f"{file}: line")
        except OSError as error:
            raise Failure(f"cannot read {file}: {error.strerror}") from None
        except UnicodeDecodeError:
            raise Failure(f"{file} is not UTF-8 text") from None
    if file is None and not texts and sys.stdin.isatty():
        raise Failure("give a text, --file FILE, or pipe lines in", 2)
    try:
        return _parse(sys.stdin.read().split("\n"), "line")
    except UnicodeDecodeError:
        raise Failure("what is piped in is not UTF-8 text") from None


def _parse(lines: Iterable[str], place: str) -> list[Input]:
    inputs = []
    for number, line in enumerate(lines, 1):
        if line.strip():
            try:
                inputs.append(parse_line(line.strip()))
            except ValueError as error:
                raise Failure(f"{place} {number} is no JSON object: {error}") from None
    if not inputs:
        raise Failure("there is nothing to predict: the input is empty")
    return inputs


def parse_line(line: str) -> Input:
    """One line as an input.

    >>> parse_line('{"inputs": ["a", "b"]}'), parse_line('"two\\\\nlines"'), parse_line('plain')
    ({'inputs': ['a', 'b']}, {'text': 'two\\nlines'}, {'text': 'plain'})

    Raises:
        ValueError: it begins like a JSON object and is none.
    """
    if line.startswith("{"):
        value = json.loads(line)
        assert isinstance(value, dict)  # noqa: S101
        return value
    if line.startswith('"'):
        try:
            text = json.loads(line)
        except ValueError:
            return {"text": line}
        return {"text": text}
    return {"text": line}
