"""What the commands print, and how they fail: one sentence on stderr and an exit code that is not zero."""

import json
import os
import sys
from collections.abc import Sequence
from typing import Any

import typer
from rich.console import Console

from contract.errors import EXIT_REFUSED, SoloistError, StartRefused
from contract.telemetry.logs import printable, printable_json


class Failure(Exception):
    """Ends the command with one sentence."""

    def __init__(self, sentence: str, exit_code: int = 1) -> None:
        super().__init__(sentence)
        self.sentence = sentence
        self.exit_code = exit_code


def run_command(app: typer.Typer, name: str, arguments: Sequence[str]) -> int:
    """Run one command of an application that is called by this name.

    Returns:
        Its exit code: 0, 1 (it failed), 2 (wrong usage), 78 (must not start), 130 (Ctrl-C).
    """
    try:
        command = typer.main.get_command(app)
        result = command.main(list(arguments), prog_name=name, standalone_mode=False)
    except Failure as failure:
        print_error(failure.sentence)
        return failure.exit_code
    except SoloistError as error:
        print_error(error.detail)
        return exit_code_of(error)
    except typer.TyperException as error:
        if error.format_message():
            print_error(error.format_message())
        return error.exit_code
    except (KeyboardInterrupt, typer.Abort):
        print_error("interrupted")
        return 130
    except BrokenPipeError:
        # Nobody reads on: fall silent.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    return result if isinstance(result, int) else 0


def exit_code_of(error: SoloistError) -> int:
    """The exit code of a command that ends with this error."""
    return EXIT_REFUSED if isinstance(error, StartRefused) else 1


def out() -> Console:
    """Where answers go. Made when it is used, so that a redirected stdout is respected."""
    return Console(highlight=False, soft_wrap=True)


def err() -> Console:
    """Where everything that is not an answer goes."""
    return Console(stderr=True, highlight=False, soft_wrap=True)


def print_error(sentence: str) -> None:
    """Say why the command ends, on one line."""
    sys.stderr.write(f"soloist: {printable(' '.join(sentence.split()))}\n")


def print_json(value: Any) -> None:
    """One value as one line of JSON."""
    sys.stdout.write(one_line_json(value) + "\n")
    sys.stdout.flush()


def one_line_json(value: Any) -> str:
    return printable_json(json.dumps(value, ensure_ascii=False, separators=(", ", ": ")))


def escape_cell(value: object) -> str:
    """A value as a cell of a table: no markup of rich, no control character."""
    return printable(str(value)).replace("[", r"\[")


def shorten(value: Any, most: int = 200) -> str:
    """A value as JSON that fits on a line or two: long lists of numbers and long texts are cut."""
    text = one_line_json(_cut(value))
    return text if len(text) <= most else text[: most - 1] + "…"


def _cut(value: Any) -> Any:
    if isinstance(value, list):
        if len(value) > 8 and all(isinstance(number, int | float) for number in value):
            return [*(round(number, 4) for number in value[:4]), f"… {len(value)} numbers"]
        return [_cut(part) for part in value]
    if isinstance(value, dict):
        return {name: _cut(part) for name, part in value.items()}
    return round(value, 4) if isinstance(value, float) else value
