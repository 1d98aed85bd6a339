"""Models for workers of real processes: one that does nothing but say where, and one that uses torch."""

import os
import threading
import time
from pathlib import Path
from typing import Any

from contract.catalog import ModelSpec
from worker.models.interface import Item


class Here:
    """Answers {"n": n, "pid": pid, "thread": thread}. Options: `loads`, a file that gets the process id at
    each load; `load_seconds`; `load`: `fail`."""

    def load(self, spec: ModelSpec, device: str) -> None:
        with Path(spec.options["loads"]).open("a") as loads:
            loads.write(f"{os.getpid()}\n")
        time.sleep(spec.options.get("load_seconds", 0))
        if spec.options.get("load") == "fail":
            raise OSError("no file named model.safetensors")
        if spec.options.get("load") == "odd":
            raise SystemExit(0)

    def predict(self, items: list[Item]) -> list[Any]:
        # Long enough that another child or thread takes the next batch.
        time.sleep(max(item.input.get("seconds", 0.0) for item in items))
        where = {"pid": os.getpid(), "thread": threading.get_ident()}
        return [{"n": item.input["n"], **where} for item in items]


class Torch(Here):
    """The same, with a matrix product in loading and in predicting, on as many threads as torch likes."""

    def load(self, spec: ModelSpec, device: str) -> None:
        import torch

        super().load(spec, device)
        self._weights = torch.ones(512, 512, device=device) / 512
        self._weights @ self._weights

    def predict(self, items: list[Item]) -> list[Any]:
        products = (self._weights @ self._weights).sum()
        return [{**answer, "sum": products} for answer in super().predict(items)]
