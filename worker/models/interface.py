"""What a model is to the worker, and what one item of its batch is to a model."""

from collections.abc import Callable
from dataclasses import dataclass, field
from threading import Event
from typing import Any, Protocol

from contract.catalog import ModelSpec


@dataclass(slots=True, eq=False)
class Item:
    """One prediction of a batch, as the model sees it."""

    id: str
    input: dict[str, Any]
    stopped: Event = field(default_factory=Event)
    report: Callable[["Item", str, Any], None] = lambda item, kind, value: None
    """Takes what the item reports while it runs: (item, "output" | "logs" | "progress" | "again", value)."""

    def should_stop(self) -> bool:
        """True once nobody wants the output any more: canceled, past its deadline, or taken back."""
        return self.stopped.is_set()

    def emit(self, text: str) -> None:
        """Stream a piece of the output to whoever listens."""
        self.report(self, "output", text)

    def log(self, line: str) -> None:
        """Add a line to the prediction's logs, which its owner can read."""
        self.report(self, "logs", line if line.endswith("\n") else line + "\n")

    def again(self) -> None:
        """Say that the model runs this item once more, so that it will stream its output from the start."""
        self.report(self, "again", None)

    def progress(self, fraction: float) -> None:
        """Say how much is done, from 0 to 1."""
        self.report(self, "progress", min(max(float(fraction), 0.0), 1.0))


class Model(Protocol):
    """A model that is loaded once per process and answers batches."""

    def load(self, spec: ModelSpec, device: str) -> None:
        """Load the weights onto `device` (`cpu`, `cuda:0`) and warm up. Raising ends the process."""

    def predict(self, items: list[Item]) -> list[Any]:
        """One output for each item, in order; an exception in an output's place fails that item alone."""
