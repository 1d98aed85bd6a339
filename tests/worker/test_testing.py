"""The in-memory worker answers as a real one does."""

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import pytest

from contract.errors import CatalogInvalid, DeviceLost, InvalidInput, ModelUnloadable
from contract.ledger.transitions import cancel, read_predictions
from contract.prediction import Status
from tests.support.waiting import until
from worker.testing import InMemoryWorker, Result

if TYPE_CHECKING:
    from tests.worker.processes import WorkerProcesses

TEXT_ONLY = {
    "type": "object",
    "properties": {"text": {"type": "string", "minLength": 1}},
    "required": ["text"],
    "additionalProperties": False,
}
MIXED: list[dict[str, Any]] = [
    {"text": "first"},
    {"do": "raise", "why": "no such word"},
    {"do": "raise", "why": "long " * 1000},
    {"do": "place"},
    {"do": "nan"},
    {"do": "bytes"},
    {"do": "large", "bytes": 2000},
    {"do": "stream", "pieces": ["once ", "upon ", "a time"]},
    {"do": "stream", "pieces": ["ö" * 10, "z"], "more": " and so on"},
    {"do": "emit half a pair"},
    {"n": 10**30, "text": "é"},
]
"""A batch that has every kind of ending in it."""


def in_memory(**entry: Any) -> InMemoryWorker:
    return InMemoryWorker.of_entry({"python": "tests.worker.process_models:Storyteller", **entry})


# --- loading ----------------------------------------------------------------------------------------


def test_options_of_the_entry_reach_the_class() -> None:
    (result,) = in_memory(options={"mark": "?"}).predict([{"text": "hello"}])
    assert result == Result(Status.SUCCEEDED, {"said": "hello", "mark": "?"})


def test_an_entry_that_a_catalog_would_refuse_is_refused() -> None:
    with pytest.raises(CatalogInvalid, match=r"models\.model\.max_batch_size"):
        in_memory(max_batch_size=0)


def test_a_model_that_cannot_be_loaded_says_the_line_that_a_worker_ends_with() -> None:
    with pytest.raises(ModelUnloadable, match=r"models\.model: OSError: no file named voice\.bin"):
        in_memory(options={"load": "fail"})
    with pytest.raises(ModelUnloadable, match="has no attribute 'Nobody'"):
        in_memory(python="tests.worker.process_models:Nobody")


# --- what is accepted -------------------------------------------------------------------------------


def test_an_input_that_does_not_fit_the_schema_is_refused_and_nothing_runs() -> None:
    worker = in_memory(input_schema=TEXT_ONLY)
    with pytest.raises(InvalidInput, match=r"^input/text: 7 is not of type") as refused:
        worker.predict([{"text": "fits"}, {"text": 7}])
    assert refused.value.pointer == "/input/text"
    assert worker.model.sizes == []


@pytest.mark.parametrize(
    ("value", "error"),
    [(float("nan"), ValueError), (b"bytes", TypeError), ("\ud800", UnicodeEncodeError)],
)
def test_an_input_that_is_no_json_is_a_mistake_of_the_test(
    value: object, error: type[Exception]
) -> None:
    with pytest.raises(error):
        in_memory().predict([{"text": value}])


# --- batches ----------------------------------------------------------------------------------------


def test_inputs_run_in_batches_of_at_most_max_batch_size() -> None:
    worker = in_memory(max_batch_size=4)
    results = worker.predict([{"text": str(n)} for n in range(9)])
    assert worker.model.sizes == [4, 4, 1]
    assert [result.output["said"] for result in results] == [str(n) for n in range(9)]


def test_no_inputs_have_no_results() -> None:
    assert in_memory().predict([]) == []


def test_everything_that_the_model_reports_is_kept_in_order() -> None:
    (result,) = in_memory().predict([{"do": "stream", "pieces": ["a", "b"]}])
    assert result.reports == [
        ("output", "a"),
        ("logs", "piece 1\n"),
        ("progress", 0.5),
        ("output", "b"),
        ("logs", "piece 2\n"),
        ("progress", 1.0),
    ]
    assert (result.streamed, result.logs, result.progress) == ("ab", "piece 1\npiece 2\n", 1.0)


def test_an_item_that_ran_again_is_streamed_once() -> None:
    stream = {"do": "stream", "pieces": ["a", "b"]}
    good, bad = in_memory().predict([stream, {"do": "raise", "why": "no"}])
    assert (good.output, good.streamed, bad.error) == ("ab", "ab", "ValueError: no")
    assert good.reports.count(("again", None)) == 1
    assert good.logs == "piece 1\npiece 2\n" * 2


def test_a_lost_device_is_raised() -> None:
    with pytest.raises(DeviceLost):
        in_memory().predict([{"text": "fine"}, {"do": "lose the device"}])


# --- cancel and timeouts ----------------------------------------------------------------------------


def test_a_prediction_is_canceled_when_the_model_asks() -> None:
    worker = in_memory()
    waited, other = worker.predict([{"do": "wait"}, {"text": "other"}], cancel={0: 3})
    assert (waited.status, waited.output, waited.error) == (Status.CANCELED, None, None)
    assert (waited.streamed, waited.progress) == ("waiting", 0.5)
    assert other.status is Status.SUCCEEDED


def test_a_model_that_never_asks_is_noticed() -> None:
    with pytest.raises(AssertionError, match=r"input 1 .* call 2 .* the model made 0"):
        in_memory().predict([{"text": "a"}, {"text": "b"}], cancel={1: 2})


def test_of_a_batch_that_runs_past_its_limit_each_runs_alone_on_a_fresh_model() -> None:
    worker = in_memory(timeout_seconds=0.2)
    first = worker.model
    fine, hung = worker.predict([{"text": "fine"}, {"do": "sleep", "seconds": 0.3}])
    assert fine.output == {"said": "fine", "mark": "!"}
    assert (hung.error_code, hung.error) == (
        "timeout",
        "it ran past the model's hard limit of 0.2 s",
    )
    assert worker.model is not first


# --- the same as the real one -----------------------------------------------------------------------


def endings(serving: "WorkerProcesses", ids: Sequence[str]) -> list[Result]:
    """What the ledger holds of predictions that are all over; none while one is not."""
    views = serving.ledger.run(read_predictions([(id, 0) for id in ids]))
    records = [view for view in views if view and view.prediction.status.terminal]
    if len(records) < len(ids):
        return []
    return [
        Result(
            status=record.prediction.status,
            output=json.loads(record.prediction.output) if record.prediction.output else None,
            error=record.prediction.error,
            error_code=record.prediction.error_code,
            logs=record.prediction.logs,
            progress=record.prediction.progress,
            streamed="".join(text for kind, text in record.events if kind == "output"),
        )
        for record in records
    ]


def without_reports(results: Sequence[Result]) -> list[Result]:
    """A ledger keeps what came of the calls, and not the calls."""
    return [
        Result(r.status, r.output, r.error, r.error_code, r.logs, r.progress, r.streamed)
        for r in results
    ]


@pytest.mark.slow
def test_a_real_worker_writes_the_same_records(serving: "WorkerProcesses") -> None:
    entry = {"max_batch_size": 16, "max_output_bytes": 1000}
    ids = [serving.submit(**value) for value in MIXED]
    serving.worker("Storyteller", entry=entry)
    real = until("all are over", lambda: endings(serving, ids), 40)
    assert without_reports(in_memory(**entry).predict(MIXED)) == real
    assert len({result.error_code for result in real}) == 5


@pytest.mark.slow
def test_a_real_worker_ends_as_many_when_the_model_gives_too_few(
    serving: "WorkerProcesses",
) -> None:
    inputs: list[dict[str, Any]] = [{"text": "a"}, {"do": "shorten"}, {"text": "b"}]
    ids = [serving.submit(**value) for value in inputs]
    serving.worker("Storyteller", entry={"max_batch_size": 4})
    real = until("all are over", lambda: endings(serving, ids), 40)
    assert without_reports(in_memory().predict(inputs)) == real
    assert real[1].error == "the model gave 0 outputs for 1 items"


@pytest.mark.slow
def test_a_real_worker_cancels_the_same(serving: "WorkerProcesses") -> None:
    inputs: list[dict[str, Any]] = [{"do": "wait"}, {"text": "other"}]
    ids = [serving.submit(**value) for value in inputs]
    serving.worker("Storyteller", entry={"max_batch_size": 2}, LEASE_SECONDS=3)

    def halfway() -> bool:
        (view,) = serving.ledger.run(read_predictions([(ids[0], -1)]))
        return view is not None and view.prediction.progress == 0.5

    until("it is half done", halfway, 40)
    serving.ledger.run(cancel(ids[0], "local"))
    real = until("all are over", lambda: endings(serving, ids), 40)
    assert without_reports(in_memory().predict(inputs, cancel={0: 3})) == real


@pytest.mark.slow
def test_real_workers_end_a_batch_past_its_limit_the_same(serving: "WorkerProcesses") -> None:
    inputs: list[dict[str, Any]] = [{"text": "fine"}, {"do": "sleep", "seconds": 60}]
    entry = {"max_batch_size": 2, "timeout_seconds": 0.5}
    ids = [serving.submit(**value) for value in inputs]
    for _ in range(2):  # of both, and of the one that is to blame
        worker = serving.worker("Storyteller", entry=entry)
        assert worker.code(40) == 70
    real = until("all are over", lambda: endings(serving, ids), 40)
    inputs[1]["seconds"] = 0.6
    assert without_reports(in_memory(**entry).predict(inputs)) == real
    assert [result.error_code for result in real] == [None, "timeout"]
