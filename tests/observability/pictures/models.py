"""Models that take their time as real ones do, and otherwise do as their inputs say."""

import time
from typing import Any

from contract.catalog import ModelSpec
from tests.e2e.models import Echo
from worker.models.interface import Item


class Paced(Echo):
    """A batch takes `batch_seconds`, and `item_seconds` more for each item; loading `load_seconds`."""

    def load(self, spec: ModelSpec, device: str) -> None:
        super().load(spec, device)
        self._batch = spec.options["batch_seconds"]
        self._item = spec.options["item_seconds"]
        time.sleep(spec.options["load_seconds"])

    def predict(self, items: list[Item]) -> list[Any]:
        time.sleep(self._batch + self._item * len(items))
        return super().predict(items)
