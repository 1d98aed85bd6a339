"""A load generator: a process of `bench.load_process` that takes its commands from here."""

import json
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from bench.pipe import Pipe, ProcessEnded
from bench.target import Target

Mark = Callable[[], object]


class LoadGenerator:
    """A load generator for one target."""

    def __init__(self, target: Target, log: Path) -> None:
        self._target = target
        self._log = log

    def __enter__(self) -> Self:
        self._pipe = Pipe(["-m", "bench.load_process"], {}, self._log)
        self._pipe.send({"do": "target", "target": self._target.as_json()})
        self._pipe.receive()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._pipe.close()

    def once(self, callers: int) -> list[str]:
        """The bodies of the answers to all requests, in order.

        Raises:
            ProcessEnded: one has no answer.
        """
        answers = self._log.with_suffix(".answers.json")
        result = self._perform(do="once", callers=callers, answers=str(answers))
        if result["errors"]:
            raise ProcessEnded(
                f"{result['errors']} requests without an answer: {result['last_error']}"
            )
        return list(json.loads(answers.read_text()))

    def closed(self, callers: int, warm: float, seconds: float, mark: Mark) -> dict[str, Any]:
        """N callers; `mark` is called when the measurement begins and when it ends."""
        return self._perform(mark, do="closed", callers=callers, warm_seconds=warm, seconds=seconds)

    def open(
        self, rate: float, warm: float, seconds: float, mark: Mark, seed: int = 0
    ) -> dict[str, Any]:
        """`rate` predictions a second at random instants."""
        return self._perform(
            mark, do="open", callers=64, rate=rate, seed=seed, warm_seconds=warm, seconds=seconds
        )

    def _perform(self, mark: Mark | None = None, **command: Any) -> dict[str, Any]:
        self._pipe.send(command)
        while (event := self._pipe.receive())["event"] != "result":
            if event["event"] == "failed":
                raise ProcessEnded(event["error"])
            if mark:
                mark()
        return event
