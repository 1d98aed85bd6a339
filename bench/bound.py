"""The raw bound: how fast the model alone is, and what it answers; a process of its own, idle in between."""

from pathlib import Path
from types import TracebackType
from typing import Any, Self

from bench.models import BenchModel
from bench.pipe import Pipe
from bench.stacks.stack import ONE_THREAD

BATCH_SIZES = (16, 32, 64, 128)


class Bound:
    """The best offline batch loop in one process with one thread."""

    def __init__(self, model: BenchModel, texts: list[str], log: Path) -> None:
        self.model = model
        self.texts = texts
        self.batch = 0
        self._log = log

    def __enter__(self) -> Self:
        environment = {"BENCH_MODEL": str(self.model.folder), "BENCH_TASK": self.model.task}
        self._pipe = Pipe(["-m", "bench.served.raw"], {**ONE_THREAD, **environment}, self._log)
        self._ask(do="texts", texts=self.texts)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._pipe.close()

    def answers(self) -> list[Any]:
        """The answers to all texts, each predicted alone."""
        return list(self._ask(do="answers")["answers"])

    def calibrate(self, seconds: float) -> dict[int, float]:
        """Predictions a second by batch size; the best size is used from then on."""
        rates = {
            size: self._ask(do="rate", batch=size, seconds=seconds, by_length=False)["per_second"]
            for size in BATCH_SIZES
        }
        self.batch = max(rates, key=lambda size: rates[size])
        return rates

    def rate(self, seconds: float, *, by_length: bool = False) -> dict[str, float]:
        """Predictions a second, and CPU seconds per 1000, at the best batch size."""
        return self._ask(do="rate", batch=self.batch, seconds=seconds, by_length=by_length)

    def _ask(self, **command: Any) -> dict[str, Any]:
        self._pipe.send(command)
        return self._pipe.receive()
