"""The one log stream of `soloist up`: each line says which process wrote it."""

import json
import sys
from collections.abc import Iterable
from typing import Any

from rich.console import Console
from rich.text import Text

from contract.telemetry.logs import printable, printable_json

COLOURS = ("cyan", "green", "magenta", "yellow", "blue", "bright_red")
LEVELS = {"warning": "yellow", "error": "red", "critical": "bold red", "debug": "dim"}
# As contract/telemetry/logs.py writes them.
TIME, LEVEL, MESSAGE, TRACE = "at", "level", "message", "trace"
LEFT_OUT = (TIME, LEVEL, MESSAGE, TRACE, "logger", "color_message")  # the last is uvicorn's
OWN_NAME = "up"


class LogStream:
    """Readable lines with a coloured name in front, or, with `as_json`, JSON lines with a field `process`."""

    def __init__(self, names: Iterable[str], *, as_json: bool) -> None:
        self.as_json = as_json
        self.console = Console(highlight=False, soft_wrap=True)
        names = [OWN_NAME, *names]
        self._width = max(map(len, names))
        self._colours = {name: COLOURS[i % len(COLOURS)] for i, name in enumerate(names)}

    def write_line(self, name: str, text: str) -> None:
        """Pass on a line that a process wrote."""
        fields = _fields(text)
        if self.as_json:
            fields = {"message": text} if fields is None else fields
            self._write({"process": name, **fields})
        else:
            prefix = Text(f"{name:<{self._width}} │ ", style=self._colours.get(name, ""))
            line = Text(printable(text)) if fields is None else _readable(fields)
            self.console.print(prefix + line)

    def write_sentence(self, sentence: str, style: str = "") -> None:
        """A line of our own."""
        if self.as_json:
            self._write({"process": OWN_NAME, "message": sentence.strip()})
        else:
            self.console.print(Text(sentence, style=style))

    @staticmethod
    def _write(fields: dict[str, Any]) -> None:
        line = json.dumps(fields, ensure_ascii=False, default=str)
        sys.stdout.write(printable_json(line) + "\n")
        sys.stdout.flush()


def message_of(text: str) -> str:
    """What a line says, without the time and the fields around it."""
    fields = _fields(text) or {}
    return str(fields.get(MESSAGE) or text)


def _fields(text: str) -> dict[str, Any] | None:
    if not text.startswith("{"):
        return None
    try:
        fields = json.loads(text)
    except ValueError:
        return None
    return fields if isinstance(fields, dict) else None


def _readable(fields: dict[str, Any]) -> Text:
    time, level = str(fields.get(TIME, "")), str(fields.get(LEVEL, ""))
    line = Text()
    line.append(f"{time.partition('T')[2][:8] or time} ", "dim")
    if level in LEVELS:
        line.append(f"{level} ", LEVELS[level])
    line.append(printable(str(fields.get(MESSAGE, ""))), LEVELS.get(level, ""))
    for name, value in fields.items():
        if name not in LEFT_OUT and value is not None:
            line.append(f" {printable(name)}=", "dim")
            text = value if isinstance(value, str) else json.dumps(value, default=str)
            line.append(printable(text))
    for row in str(fields.get(TRACE) or "").splitlines():
        line.append(f"\n{printable(row)}", "dim")
    return line
