"""What the commands print, and how they fail: one sentence on stderr and an exit code that is not zero."""

import json
import sys
from typing import Any

from rich.console import Console


class Failure(Exception):
    """Ends the command with one sentence."""

    def __init__(self, sentence: str, exit_code: int = 1) -> None:
        super().__init__(sentence)
        self.sentence = sentence
        self.exit_code = exit_code


def out() -> Console:
    """Where answers go. Made when it is used, so that a redirected stdout is respected."""
    return Console(highlight=False, soft_wrap=True)


def err() -> Console:
    """Where everything that is not an answer goes."""
    return Console(stderr=True, highlight=False, soft_wrap=True)


def complain(sentence: str) -> None:
    """Say why the command ends, on one line."""
    sys.stderr.write(f"soloist: {' '.join(sentence.split())}\n")


def print_json(value: Any) -> None:
    """One value as one line of JSON."""
    sys.stdout.write(compact(value) + "\n")
    sys.stdout.flush()


def compact(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(", ", ": "))


def shorten(value: Any, most: int = 200) -> str:
    """A value as JSON that fits on a line or two: long lists of numbers and long texts are cut."""
    text = compact(_cut(value))
    return text if len(text) <= most else text[: most - 1] + "…"


def _cut(value: Any) -> Any:
    if isinstance(value, list):
        if len(value) > 8 and all(isinstance(number, int | float) for number in value):
            return [*(round(number, 4) for number in value[:4]), f"… {len(value)} numbers"]
        return [_cut(part) for part in value]
    if isinstance(value, dict):
        return {name: _cut(part) for name, part in value.items()}
    return round(value, 4) if isinstance(value, float) else value
