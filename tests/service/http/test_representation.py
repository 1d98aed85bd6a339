"""Predictions and models in the shape of the Replicate HTTP API."""

import orjson
import pytest

from contract.catalog import Catalog
from contract.ledger.transitions import Created, ModelSnapshot
from contract.ledger.workers import StartFailure, Worker
from contract.prediction import Prediction, Status
from service.http import schemas
from service.http.representation import (
    format_instant,
    represent_created,
    represent_model,
    represent_prediction,
    represent_state,
    represent_summary,
    represent_version,
)

AT = "2026-01-01T00:00:00Z"
FAILURE = StartFailure("model_unloadable", "no such file", 12.4)


def prediction(**fields: object) -> Prediction:
    return Prediction(**{"id": "p", "model": "echo", "created_at": 1000.0, **fields})  # type: ignore[arg-type]


def test_an_instant_is_utc_to_the_microsecond_or_nothing() -> None:
    assert format_instant(0.25) == "1970-01-01T00:00:00.250000Z"
    assert format_instant(1e9) == "2001-09-09T01:46:40.000000Z"
    assert format_instant(None) is None


def test_every_field_is_there_and_no_other() -> None:
    assert represent_prediction(prediction(), "local/echo", "").keys() == (
        schemas.Prediction.__required_keys__
    )
    assert represent_summary(prediction(), "local/echo").keys() == (
        schemas.PredictionSummary.__required_keys__
    )
    assert represent_state(None).keys() == schemas.ModelState.__required_keys__


def test_input_and_output_go_out_as_they_lie_in_the_ledger() -> None:
    told = represent_prediction(prediction(input='{"n": 1.0}', output="[1e2]"), "local/echo", "")
    assert b'"input":{"n": 1.0},"output":[1e2]' in orjson.dumps(told)


def test_times_are_told_as_far_as_they_are_known() -> None:
    metrics = [
        represent_summary(prediction(**fields), "m")["metrics"]
        for fields in (
            {},
            {"started_at": 1001.5},
            {"started_at": 1001.5, "completed_at": 1004.0, "predict_seconds": 0.5},
        )
    ]
    assert metrics == [
        {},
        {"queue_time": 1.5},
        {"predict_time": 0.5, "queue_time": 1.5, "total_time": 4.0},
    ]


def test_urls_begin_as_they_are_told_to() -> None:
    urls = represent_prediction(prediction(), "m", "https://a.example")["urls"]
    one = "https://a.example/v1/predictions/p"
    assert urls == {"get": one, "cancel": f"{one}/cancel", "stream": f"{one}/stream"}


@pytest.mark.parametrize(
    ("status", "failure", "warns"),
    [
        (Status.STARTING, FAILURE, True),
        (Status.STARTING, None, False),
        (Status.SUCCEEDED, FAILURE, False),
    ],
)
def test_what_waits_for_a_model_that_cannot_start_is_accepted_with_a_warning(
    status: Status, failure: StartFailure | None, warns: bool
) -> None:
    told = represent_created(Created(prediction(status=status), failure=failure), "local/echo", "")
    assert ("warning" in told) is warns
    if warns:
        assert "no such file; 12 s ago" in told["warning"]


def test_a_create_may_be_told_another_status() -> None:
    created = Created(prediction(status=Status.PROCESSING))
    assert represent_created(created, "m", "", Status.STARTING)["status"] == Status.STARTING


def test_a_state_has_its_queue_and_workers_apart() -> None:
    state = ModelSnapshot(3, 2, 1, 7.5, 9.0, [Worker("w", "busy")], {"e": "v"}, FAILURE)
    told = represent_state(state)
    assert told["queue"] == {
        "queued": 3,
        "running": 2,
        "busy": 1,
        "oldest_seconds": 7.5,
        "eta_seconds": 9.0,
    }
    assert told["workers"] is not None
    assert told["workers"][0].keys() == schemas.Worker.__required_keys__
    assert told["failure"] == {"code": FAILURE.code, "detail": FAILURE.detail, "seconds": 12.4}


def test_a_version_of_another_catalog_has_no_schemas(catalog: Catalog) -> None:
    spec = catalog["strict"]
    ours = represent_version(spec, spec.version(), AT)["openapi_schema"]["components"]
    strange = represent_version(spec, f"{'0' * len(spec.entry)}x", AT)["openapi_schema"]
    assert ours == {"schemas": {"Input": spec.inputs, "Output": spec.outputs}}
    assert strange["components"] == {"schemas": {}}


def test_a_model_has_no_latest_version_before_a_worker_told_one(catalog: Catalog) -> None:
    spec = catalog["echo"]
    assert represent_model(spec, "", AT, None)["latest_version"] is None
    known = ModelSnapshot(0, 0, 0, 0.0, served={spec.entry: spec.version()})
    latest = represent_model(spec, "", AT, known)["latest_version"]
    assert latest is not None
    assert latest["id"] == spec.version()
    assert represent_model(spec, "", AT, known)["created"] == 1767225600
