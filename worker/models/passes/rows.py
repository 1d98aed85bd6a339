"""The rows of a batch: a prediction asks for one answer or a list of them, and each of these is a row."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from worker.models.interface import Item

UNWANTED = object()
"""The result of a row that is not computed, as its prediction is over already."""


@dataclass(slots=True)
class Row:
    """One thing to answer: a text, an image, a question."""

    value: Any
    parameters: dict[str, Any]
    item: Item
    number: int = 0
    """Its place in its prediction."""
    single: bool = True
    """Whether the prediction asks for one answer, not for a list of them."""
    result: Any = UNWANTED
    """What the model answers, or the exception that fails the prediction."""

    @property
    def open(self) -> bool:
        """Still to be answered: not failed before, and somebody waits for it."""
        return self.result is UNWANTED and not self.item.should_stop()


class Rows(list[Row]):
    """The rows of all predictions of a batch, in order."""

    def __init__(self, items: Iterable[Item], bare: str = "text") -> None:
        super().__init__()
        self._spans: list[tuple[int, int, bool]] = []
        for item in items:
            given = item.input
            value = given["inputs"] if "inputs" in given else given[bare]
            parameters = given.get("parameters") or {}
            first, many = len(self), isinstance(value, list)
            if many:
                self.extend([Row(one, parameters, item, n, False) for n, one in enumerate(value)])
            else:
                self.append(Row(value, parameters, item))
            self._spans.append((first, len(self), many))

    def outputs(self) -> list[Any]:
        """One output a prediction, in the batch's order: a list where a list was asked for."""
        results = [row.result for row in self]
        outputs: list[Any] = []
        for first, stop, many in self._spans:
            mine = [None if result is UNWANTED else result for result in results[first:stop]]
            failed = next((result for result in mine if isinstance(result, Exception)), None)
            outputs.append(failed or (mine if many else mine[0]))
        return outputs


def call_each(values: list[Any], call: Callable[[list[Any]], list[Any]]) -> list[Any]:
    """`call(values)`; where that raises, one call for each value, so that only the bad ones become exceptions."""
    try:
        return call(values)
    except BaseException as error:
        if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
            raise  # a panic of the Rust tokenizer is bad input too, though no Exception
        if len(values) == 1:
            return [error if isinstance(error, Exception) else ValueError(str(error))]
        return [call_each([value], call)[0] for value in values]
