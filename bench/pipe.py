"""A child process that takes and gives one JSON object a line."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from local.parent_watch import ParentWatch
from local.processes import PROJECT


class ProcessEnded(RuntimeError):
    """The process ended, or said that it failed."""


class Pipe:
    """The process inherits the cores of the thread that starts it."""

    def __init__(self, arguments: list[str], environment: Mapping[str, str], log: Path) -> None:
        self._arguments = arguments
        self._log = log
        with log.open("ab") as errors:
            self._child = subprocess.Popen(
                [sys.executable, *arguments],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                env={**os.environ, **environment},
                cwd=PROJECT,
                text=True,
                start_new_session=True,
            )
        self._watch = ParentWatch(self._child.pid)

    def send(self, command: Mapping[str, Any]) -> None:
        assert self._child.stdin
        try:
            self._child.stdin.write(json.dumps(command) + "\n")
            self._child.stdin.flush()
        except OSError:
            raise self._ended() from None

    def receive(self) -> dict[str, Any]:
        """The next line.

        Raises:
            ProcessEnded: there is none.
        """
        assert self._child.stdout
        line = self._child.stdout.readline()
        if not line:
            raise self._ended()
        event: dict[str, Any] = json.loads(line)
        return event

    def close(self) -> None:
        self._child.kill()
        self._child.communicate()
        self._watch.dismiss()

    def _ended(self) -> ProcessEnded:
        text = self._log.read_text(errors="replace")[-2000:]
        return ProcessEnded(f"{' '.join(self._arguments)} ended: {text}")
