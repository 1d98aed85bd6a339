"""Predictions and models as JSON in the shape of the Replicate HTTP API."""

from dataclasses import asdict
from datetime import UTC, datetime
from typing import cast, overload

import orjson

from contract.catalog import ModelSpec
from contract.examples import example
from contract.ledger.transitions import Created, ModelSnapshot
from contract.prediction import Prediction, Status
from contract.versions import entry_of
from service.http import schemas

PREDICTION_PATH = "/v1/predictions/"


@overload
def format_instant(seconds: float) -> str: ...
@overload
def format_instant(seconds: float | None) -> str | None: ...
def format_instant(seconds: float | None) -> str | None:
    """RFC 3339 with Z."""
    if seconds is None:
        return None
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="microseconds")[:-6] + "Z"


def represent_created(
    created: Created, model_id: str, base: str, status: Status | None = None
) -> schemas.Prediction:
    """One prediction as it was accepted, with a `warning` if no worker of its model can start."""
    body = represent_prediction(created.prediction, model_id, base, status)
    failure = created.failure
    if failure and created.prediction.status is Status.STARTING:
        body["warning"] = (
            f"no worker of {model_id} can start at the moment ({failure.detail}; {failure.seconds:.0f} s ago): the "
            "prediction is kept, and waits until one can"
        )
    return body


def represent_prediction(
    prediction: Prediction, model_id: str, base: str, status: Status | None = None
) -> schemas.Prediction:
    """One prediction. `status`, where it is given, is shown instead of the record's.

    Input and output go out as they lie in the ledger, without being parsed.
    """
    p = prediction
    url = f"{base}{PREDICTION_PATH}{p.id}"
    return {
        "id": p.id,
        "model": model_id,
        "version": p.version,
        "version_pinned": p.pinned is not None,
        "status": status or p.status,
        "input": orjson.Fragment(p.input),
        "output": None if p.output is None else orjson.Fragment(p.output),
        "logs": p.logs,
        "error": p.error,
        "error_code": p.error_code,
        "metrics": _metrics(p),
        "created_at": format_instant(p.created_at),
        "started_at": format_instant(p.started_at),
        "completed_at": format_instant(p.completed_at),
        "urls": {"get": url, "cancel": f"{url}/cancel", "stream": f"{url}/stream"},
        "data_removed": p.data_removed,
        "queue_position": p.queue_position,
        "eta_seconds": p.eta_seconds,
        "progress": p.progress,
        "priority": p.priority,
        "attempt": p.attempt,
        "deadline": format_instant(p.deadline),
    }


def _metrics(p: Prediction) -> schemas.Metrics:
    metrics: schemas.Metrics = {}
    if p.predict_seconds is not None:
        metrics["predict_time"] = p.predict_seconds
    if p.started_at is not None:
        metrics["queue_time"] = round(p.started_at - p.created_at, 6)
        if p.completed_at is not None:
            metrics["total_time"] = round(p.completed_at - p.created_at, 6)
    return metrics


def represent_summary(prediction: Prediction, model_id: str) -> schemas.PredictionSummary:
    """One prediction without what may be large or nobody else's business."""
    p = prediction
    return {
        "id": p.id,
        "model": model_id,
        "status": p.status,
        "error_code": p.error_code,
        "progress": p.progress,
        "attempt": p.attempt,
        "metrics": _metrics(p),
        "created_at": format_instant(p.created_at),
        "started_at": format_instant(p.started_at),
        "completed_at": format_instant(p.completed_at),
    }


def represent_state(known: ModelSnapshot | None) -> schemas.ModelState:
    """Whether a model is cold, starting, failing, ready or busy, why its last worker could not start, its queue and
    its workers; None while the ledger does not say.
    """
    if known is None:
        return {"state": None, "failure": None, "queue": None, "workers": None}
    return {
        "state": known.state,
        "failure": cast(schemas.StartFailure, asdict(known.failure)) if known.failure else None,
        "queue": {
            "queued": known.queued,
            "running": known.running,
            "busy": known.busy,
            "oldest_seconds": known.oldest_seconds,
            "eta_seconds": known.eta_seconds,
        },
        "workers": [cast(schemas.Worker, asdict(worker)) for worker in known.workers],
    }


def represent_version(spec: ModelSpec, version: str, created_at: str) -> schemas.ModelVersion:
    """One version of a model, with the schemas of its input and output, if its entry is this catalog's."""
    is_ours = entry_of(version) == spec.entry
    schemas = {"Input": spec.inputs, "Output": spec.outputs} if is_ours else {}
    return {
        "id": version,
        "created_at": created_at,
        "cog_version": "",  # a text that is no version: one client requires it, none may read it
        "openapi_schema": {
            "openapi": "3.1.0",
            "info": {"title": spec.id, "version": version},
            "paths": {},
            "components": {"schemas": schemas},
        },
    }


def represent_model(
    spec: ModelSpec, base: str, created_at: str, known: ModelSnapshot | None
) -> schemas.Model:
    """One model, for Replicate's clients and for OpenAI's (`id`, `object`, `owned_by`, `created`). It has no latest
    version before a worker has announced one.
    """
    latest = known.served.get(spec.entry) if known else None
    return {
        "url": f"{base}/v1/models/{spec.id}",
        "owner": spec.owner,
        "name": spec.id.partition("/")[2],
        "description": spec.description or (spec.task or "a custom model"),
        "visibility": "private",
        "github_url": None,
        "paper_url": None,
        "license_url": None,
        "run_count": 0,
        "cover_image_url": None,
        "default_example": None,
        "latest_version": represent_version(spec, latest, created_at) if latest else None,
        "task": spec.task,
        "example": example(spec.inputs),
        "id": spec.id,
        "object": "model",
        "created": int(datetime.fromisoformat(created_at).timestamp()),
        "owned_by": spec.owner,
        **represent_state(known),
    }
