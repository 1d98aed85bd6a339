"""One batch: what was claimed, its items as the model sees them, and their outcomes."""

import logging
import time
from collections.abc import Callable, Sequence
from typing import Any

from contract import exact_json
from contract.catalog import MAX_OUTPUT_BYTES
from contract.errors import (
    BadItem,
    DeviceLost,
    ModelError,
    OutOfMemory,
    OutputTooLarge,
    PredictionFailed,
    Timeout,
)
from contract.ledger.transitions import Claimed, Outcome
from worker import metrics
from worker.models.interface import Item, Model
from worker.models.output_json import encode_output
from worker.models.timing import take_seconds
from worker.models.torch_errors import free_memory, raised_at, translate_error
from worker.reports import Reporter

logger = logging.getLogger(__name__)

AddEvent = Callable[..., None]
"""Called with the name of an event and its attributes."""
MOST_EVENTS = 128


class Batch:
    """The predictions of one claim, while this worker runs them."""

    def __init__(
        self,
        claimed: Sequence[Claimed],
        reporter: Reporter,
        max_output_bytes: int = MAX_OUTPUT_BYTES,
    ) -> None:
        self.claimed = {c.id: c for c in claimed}
        self._max_output_bytes = max_output_bytes
        self.started = time.monotonic()
        self.started_at = time.time()
        self.events: list[tuple[float, str, dict[str, str | int]]] = []
        """(Unix seconds, name, attributes), for its trace."""
        self.computing = True
        """False once the model has returned: from then on no hard limit holds."""
        self.reported_computing: bool | None = None
        """The value of `computing` that the ledger has; None if it has none yet."""
        self.outcomes: list[Outcome] | None = None
        """The outcomes, once the model has returned."""
        self.phases: dict[str, float] = {}
        """The seconds of preprocess, inference and postprocess, once it has run."""
        self.items: list[Item] = []
        self.unreadable: dict[str, PredictionFailed] = {}
        for c in claimed:
            try:
                value = exact_json.loads(c.input)
            except ValueError:
                self.unreadable[c.id] = BadItem("the recorded input is not JSON")
                continue
            self.items.append(Item(c.id, value, report=reporter.take_report))
        self._reporter = reporter
        reporter.follow_predictions(claimed)

    @property
    def attempts(self) -> list[tuple[str, int]]:
        """(prediction id, attempt) of those that are still this worker's."""
        stopped = {item.id for item in self.items if item.should_stop()}
        return [(c.id, c.attempt) for c in self.claimed.values() if c.id not in stopped]

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.started

    def add_event(self, name: str, **attributes: str | int) -> None:
        """Keep an event for the batch's trace, at most `MOST_EVENTS` of them."""
        if len(self.events) < MOST_EVENTS:
            self.events.append((time.time(), name, attributes))

    def stop_items(self, ids: Sequence[str]) -> None:
        """Mark these items as unwanted, which the model sees in `should_stop`."""
        lost = set(ids)
        for item in self.items:
            if item.id in lost:
                item.stopped.set()

    def predict(self, model: Model) -> list[Outcome]:
        """One outcome for each prediction.

        Raises:
            DeviceLost: the device's context is gone; nothing of this batch is done.
        """
        read = self.seconds
        answers = predict_items(model, self.items, self.add_event)
        outputs = dict(zip((i.id for i in self.items), answers, strict=True))
        outputs |= self.unreadable
        seconds = self.seconds
        most = self._max_output_bytes
        said = self._reporter.said
        outcomes = [
            make_outcome(c, outputs[c.id], seconds, most, said(c.id)) for c in self.claimed.values()
        ]
        self._split_time(read, seconds - read)
        return outcomes

    def timed_out(self, limit_seconds: float) -> list[Outcome]:
        """The outcomes of a batch that is to blame for running past the model's hard limit."""
        failure = Timeout(f"it ran past the model's hard limit of {limit_seconds:g} s")
        error, code = str(failure), failure.code
        return [
            Outcome(id, attempt, error=error, error_code=code, predict_seconds=limit_seconds)
            for id, attempt in self.attempts
        ]

    def _split_time(self, read: float, predict: float) -> None:
        """A model that times no phase has only inference."""
        marked = take_seconds() or {"inference": predict}
        before, inference = read + marked.get("preprocess", 0.0), marked.get("inference", 0.0)
        after = max(0.0, self.seconds - before - inference)
        self.phases = {"preprocess": before, "inference": inference, "postprocess": after}


def _ignore(name: str, **attributes: str | int) -> None:
    """Drop the event."""


def predict_items(model: Model, items: list[Item], add_event: AddEvent = _ignore) -> list[Any]:
    """One output or error for each item. A batch that fails is halved until the item that is to blame stands
    alone, so that one bad item, or one that is too large, fails alone.
    """
    if not items:
        return []
    try:
        outputs = list(model.predict(items))
        if len(outputs) != len(items):
            raise ModelError(f"the model gave {len(outputs)} outputs for {len(items)} items")
    except BaseException as error:  # a SystemExit of user code must not end the worker either
        fault = translate_error(error)
        if isinstance(fault, DeviceLost):
            raise fault from error
        facts = {"code": fault.code, "error": type(error).__name__, "place": raised_at(error)}
        logger.warning("a batch failed", extra={"items": len(items), **facts})
        logger.debug("the error of a batch", exc_info=error)  # its text may quote an input
    else:
        return [_own(output) for output in outputs]
    memory = isinstance(fault, OutOfMemory)
    if memory:
        metrics.OUT_OF_MEMORY.inc()
        free_memory()
    if len(items) == 1 and not memory:
        return [fault]
    for item in items:
        item.again()
    if len(items) == 1:
        add_event("tried again alone", code=fault.code, prediction=items[0].id)
        return _alone(model, items[0])
    metrics.SPLITS.labels(fault.code).inc()
    add_event("split", code=fault.code, items=len(items))
    half = len(items) // 2
    return predict_items(model, items[:half], add_event) + predict_items(
        model, items[half:], add_event
    )


def _alone(model: Model, item: Item) -> list[Any]:
    """One more try with all memory freed: another item of the batch may have filled it."""
    try:
        (output,) = model.predict([item])
    except BaseException as error:
        fault = translate_error(error)
        if isinstance(fault, DeviceLost):
            raise fault from error
        if isinstance(fault, OutOfMemory):
            metrics.OUT_OF_MEMORY.inc()
        return [fault]
    return [_own(output)]


def _own(output: Any) -> Any:
    """An output as it is; an exception in its place as an error of ours."""
    if not isinstance(output, BaseException):
        return output
    fault = translate_error(output)
    if isinstance(fault, DeviceLost):
        raise fault from output
    return fault


def make_outcome(
    claimed: Claimed,
    output: Any,
    seconds: float,
    max_output_bytes: int = MAX_OUTPUT_BYTES,
    said: int | None = None,
) -> Outcome:
    """What is written to the ledger for one attempt; `said` as in `Outcome`."""
    if not isinstance(output, BaseException):
        try:
            encoded = encode_output(output)
            if len(encoded) > max_output_bytes:
                raise OutputTooLarge(
                    f"the output has {len(encoded):,} bytes as JSON; the model's max_output_bytes is "
                    f"{max_output_bytes:,}"
                )
        except PredictionFailed as error:
            output = error
        else:
            return Outcome(claimed.id, claimed.attempt, encoded, predict_seconds=seconds, said=said)
    code = getattr(output, "code", ModelError.code)
    return Outcome(
        claimed.id, claimed.attempt, error=str(output), error_code=code, predict_seconds=seconds
    )
