"""Models for workers of real processes: one that says where it runs, one that uses torch, one that does what it is told."""

import os
import threading
import time
from pathlib import Path
from typing import Any

from contract.catalog import ModelSpec
from contract.errors import BadItem
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


class Storyteller:
    """Does what its input says. {"do": what, ...}"""

    def load(self, spec: ModelSpec, device: str) -> None:
        if spec.options.get("load") == "fail":
            raise OSError("no file named voice.bin")
        self.mark = spec.options.get("mark", "!")
        self.sizes: list[int] = []

    def predict(self, items: list[Item]) -> Any:
        self.sizes.append(len(items))
        if any(item.input.get("do") == "shorten" for item in items):
            return [1] * (len(items) - 1)
        return [self._answer(item) for item in items]

    def _answer(self, item: Item) -> Any:
        match item.input:
            case {"do": "raise"}:
                raise ValueError(item.input["why"])
            case {"do": "lose the device"}:
                raise RuntimeError("CUDA error: device-side assert triggered")
            case {"do": "emit half a pair"}:
                item.emit("half \ud83d")
                return {"text": "none", "more": 1}
            case {"do": "place"}:
                return BadItem("the picture is empty")
            case {"do": "nan"}:
                return {"score": float("nan")}
            case {"do": "bytes"}:
                return b"no JSON"
            case {"do": "large", "bytes": size}:
                return "x" * size
            case {"do": "sleep", "seconds": seconds}:
                time.sleep(seconds)
                return "slept"
            case {"do": "stream", "pieces": pieces}:
                for done, piece in enumerate(pieces, 1):
                    item.emit(piece)
                    item.log(f"piece {done}")
                    item.progress(done / len(pieces))
                return "".join(pieces) + item.input.get("more", "")
            case {"do": "wait"}:
                item.emit("waiting")
                item.progress(0.5)
                while not item.should_stop():
                    time.sleep(0.01)
                return "stopped"
        return {"said": item.input.get("text"), "mark": self.mark}
