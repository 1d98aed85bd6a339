"""Tests a Python model in memory, with the worker's own code: no server, no Redis, no GPU.

    worker = InMemoryWorker.of_entry({"python": "my_models.shout:Shout"})
    (result,) = worker.predict([{"text": "hello"}])
    assert result.output == "HELLO!"

`InMemoryWorker` and `Result` are for the tests of others: their names and arguments stay as they are.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event
from typing import Any, Self, TypeVar, cast

from contract import exact_json
from contract.catalog import ModelSpec, load_catalog, read_entry
from contract.input_schema import InputSchema
from contract.ledger.client import Ledger
from contract.ledger.lease_terms import LeaseTerms
from contract.ledger.transitions import Claimed, Transition, finish_in_parts
from contract.prediction import Prediction, Status, new_id
from worker.batch import Batch
from worker.fingerprint import compute_fingerprint
from worker.model_loading import load_model
from worker.models.interface import Item, Model
from worker.reports import Reporter

__all__ = ["InMemoryWorker", "Result"]

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Result:
    """One prediction as its owner gets it when it is over."""

    status: Status
    """`succeeded`, `failed` or `canceled`."""
    output: Any = None
    """The value that a client reads out of the JSON; None unless it succeeded."""
    error: str | None = None
    error_code: str | None = None
    logs: str = ""
    progress: float | None = None
    streamed: str = ""
    """The text of all pieces that a listener got. A listener gets the rest of the output at the end if the
    output begins with this, and an error if not."""
    reports: list[tuple[str, Any]] = field(default_factory=list)
    """Every call of the model, in order: ("output", text), ("logs", line), ("progress", fraction), and
    ("again", None) where the worker ran the item once more."""


class InMemoryWorker:
    """A worker that has loaded one model of a catalog and answers when it is asked."""

    def __init__(self, spec: ModelSpec, *, device: str = "cpu") -> None:
        """Load the model onto `device` (`cpu`, `cuda:0`).

        Raises:
            ModelUnloadable: it cannot be loaded. A worker ends with this line.
        """
        self.spec = spec
        self._device = device
        self._schema = InputSchema(spec)
        self._records = _Records()
        self._reporter = _Recorder(self._records)
        self._terms = LeaseTerms(spec.name, "in-memory", spec.max_batch_size)
        self.model = self._load()
        """The instance of the class. After a batch that ran past its limit it is another one."""

    @classmethod
    def of_catalog(cls, path: str | Path, name: str, *, device: str = "cpu") -> Self:
        """A worker of the model `name` in a catalog file.

        Raises:
            CatalogInvalid: the file is wrong; the message names the place.
            KeyError: it has no such model.
            ModelUnloadable: the model cannot be loaded.
        """
        return cls(load_catalog(Path(path))[name], device=device)

    @classmethod
    def of_entry(cls, entry: Mapping[str, Any], *, device: str = "cpu") -> Self:
        """A worker of a model by its entry, as it would stand in a catalog.

        Raises:
            CatalogInvalid: the entry is wrong; the message names the place.
            ModelUnloadable: the model cannot be loaded.
        """
        return cls(read_entry(Path("entry"), "model", dict(entry)), device=device)

    def predict(
        self, inputs: Sequence[dict[str, Any]], *, cancel: Mapping[int, int] | None = None
    ) -> list[Result]:
        """Answer these inputs in batches of `max_batch_size`; one result for each, in order.

        Args:
            cancel: {index of an input: n}; that prediction is canceled when the model asks its
                `should_stop()` for the n-th time, which answers True from then on.

        Raises:
            InvalidInput: an input does not fit the `input_schema`. A client gets this as a 422, and nothing runs.
            ValueError, TypeError: an input is not JSON.
            DeviceLost: the device's context is gone. A worker hands the batch back and ends.
            AssertionError: the model did not ask often enough for `cancel`.
        """
        ids = [self._records.add(self._accept(value)) for value in inputs]
        stops = {
            ids[index]: _CanceledOnAsk(asks, self._canceling(ids[index]))
            for index, asks in (cancel or {}).items()
        }
        try:
            for start in range(0, len(ids), self.spec.max_batch_size):
                self._run(ids[start : start + self.spec.max_batch_size], stops)
            for index, id in enumerate(ids):
                if id in stops and not stops[id].is_canceled:
                    raise AssertionError(stops[id].complaint(index))
            return [self._result(id) for id in ids]
        finally:
            self._reporter.forget_predictions(ids)
            self._records.remove(ids)

    def _load(self) -> Model:
        version = self.spec.version(compute_fingerprint(self.spec))
        return load_model(self.spec, version, self._device, lambda state: None)

    def _accept(self, value: dict[str, Any]) -> str:
        """The input as the gateway records it."""
        text = json.dumps(value, allow_nan=False, ensure_ascii=False)
        text.encode()
        self._schema.check(exact_json.loads(text))
        return text

    def _run(self, ids: Sequence[str], stops: Mapping[str, "_CanceledOnAsk"]) -> None:
        batch = Batch(self._records.claim(ids), self._reporter, self.spec.max_output_bytes)
        for item in batch.items:
            item.stopped = stops.get(item.id, item.stopped)
        outcomes = batch.predict(self.model)
        self._reporter.flush()
        if batch.seconds > self.spec.timeout_seconds:
            self.model = self._load()  # the worker has ended, and another one has started
            if len(ids) > 1:
                for id in self._records.not_over(ids):
                    self._run([id], stops)
                return
            outcomes = batch.timed_out(self.spec.timeout_seconds)
        for part in finish_in_parts(self._terms, outcomes, idle=True, seconds=batch.seconds):
            self._records.run(part)

    def _canceling(self, id: str) -> Callable[[], None]:
        def cancel() -> None:
            self._reporter.flush()
            self._records.cancel(id)

        return cancel

    def _result(self, id: str) -> Result:
        record = self._records.by_id[id]
        return Result(
            status=record.status,
            output=None if record.output is None else exact_json.loads(record.output),
            error=record.error,
            error_code=record.error_code,
            logs=record.logs,
            progress=record.progress,
            streamed=self._records.streamed[id],
            reports=self._reporter.taken.get(id, []),
        )


class _CanceledOnAsk(Event):
    """Is set when it is asked for the n-th time."""

    def __init__(self, on_ask: int, cancel: Callable[[], None]) -> None:
        super().__init__()
        self._on_ask, self._cancel = on_ask, cancel
        self._asks = 0

    @property
    def is_canceled(self) -> bool:
        return super().is_set()

    def is_set(self) -> bool:
        self._asks += 1
        if self._asks == self._on_ask:
            self._cancel()
            self.set()
        return super().is_set()

    def complaint(self, index: int) -> str:
        return (
            f"input {index} was to be canceled on call {self._on_ask} of should_stop(), "
            f"and the model made {self._asks}"
        )


class _Recorder(Reporter):
    """A reporter that also keeps what it takes, and sends when it is flushed, without a thread."""

    def __init__(self, records: "_Records") -> None:
        super().__init__(cast(Ledger, records))
        self.taken: dict[str, list[tuple[str, Any]]] = {}

    def _start(self) -> None:
        pass

    def take_report(self, item: Item, kind: str, value: Any) -> None:
        self.taken.setdefault(item.id, []).append((kind, value))
        super().take_report(item, kind, value)

    def flush(self) -> None:
        self.send_waiting()

    def forget_predictions(self, ids: list[str]) -> None:
        super().forget_predictions(ids)
        for id in ids:
            self.taken.pop(id, None)


class _Records:
    """Predictions in memory, and what claim.lua, report.lua, finish.lua and cancel.lua do to them."""

    def __init__(self) -> None:
        self.by_id: dict[str, Prediction] = {}
        self.streamed: dict[str, str] = {}

    def add(self, input: str) -> str:
        id = new_id()
        self.by_id[id] = Prediction(id, "model", input=input)
        self.streamed[id] = ""
        return id

    def remove(self, ids: Sequence[str]) -> None:
        for id in ids:
            del self.by_id[id], self.streamed[id]

    def not_over(self, ids: Sequence[str]) -> list[str]:
        return [id for id in ids if not self.by_id[id].status.terminal]

    def claim(self, ids: Sequence[str]) -> list[Claimed]:
        claimed = []
        for id in ids:
            record = self.by_id[id]
            record.status = Status.PROCESSING
            record.attempt += 1
            streamed = self.streamed[id]
            claimed.append(Claimed(id, record.attempt, record.input, 0.0, streamed=streamed))
        return claimed

    def cancel(self, id: str) -> None:
        self.by_id[id].status = Status.CANCELED

    def run(self, transition: Transition[T]) -> T:
        apply = {"report": self._report, "finish": self._finish}[transition.script]
        for row in transition.args["predictions"]:
            record = self.by_id[row["id"]]
            if record.status is Status.PROCESSING and record.attempt == row["attempt"]:
                apply(record, row, transition.args)
        return transition.read_answer([] if transition.script == "finish" else True)

    def _report(self, record: Prediction, row: dict[str, Any], args: dict[str, Any]) -> None:
        record.progress = row.get("progress", record.progress)
        logs = (record.logs + row.get("logs", "")).encode()[-args["most_logs"] :]
        record.logs = logs.decode(errors="replace")
        at = row["offset"]
        for kind, text in row["events"]:
            if kind == "output":
                streamed = self.streamed[record.id].encode()
                if at == len(streamed) and at + len(text.encode()) <= args["most_streamed"]:
                    self.streamed[record.id] += text
                at += len(text.encode())

    @staticmethod
    def _finish(record: Prediction, row: dict[str, Any], args: dict[str, Any]) -> None:
        outcome = dict(row["outcome"])
        if "output" in outcome:
            outcome["output"] = outcome["output"].decode()
        record.update({"status": row["status"], **outcome})
