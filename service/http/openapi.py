"""What the OpenAPI document says of routes that read and write their JSON themselves."""

from typing import Any

PRIORITY = {"type": "string", "enum": ["high", "normal", "low"]}

PREDICTION_SCHEMA: dict[str, Any] = {
    "type": "object",
    "title": "Prediction",
    "properties": {
        "id": {"type": "string"},
        "model": {"type": "string", "description": "owner/name"},
        "version": {
            "type": "string",
            "description": "The version that ran it; before that, the one that is expected to.",
        },
        "version_pinned": {
            "type": "boolean",
            "description": "True when the request named the version: no other runs it.",
        },
        "status": {
            "type": "string",
            "enum": ["starting", "processing", "succeeded", "failed", "canceled"],
        },
        "input": {"type": "object"},
        "output": {"description": "As the model's output schema says; null until it succeeded."},
        "logs": {"type": "string"},
        "error": {"type": ["string", "null"]},
        "error_code": {"type": ["string", "null"]},
        "metrics": {
            "type": "object",
            "properties": {
                "predict_time": {"type": "number", "description": "seconds"},
                "queue_time": {"type": "number", "description": "seconds"},
                "total_time": {"type": "number", "description": "seconds"},
            },
        },
        "created_at": {"type": "string", "format": "date-time"},
        "started_at": {"type": ["string", "null"], "format": "date-time"},
        "completed_at": {"type": ["string", "null"], "format": "date-time"},
        "urls": {
            "type": "object",
            "properties": {name: {"type": "string"} for name in ("get", "cancel", "stream")},
        },
        "data_removed": {
            "type": "boolean",
            "description": "Its input, output and logs were deleted.",
        },
        "queue_position": {"type": ["integer", "null"], "description": "1 is next"},
        "eta_seconds": {"type": ["number", "null"]},
        "progress": {"type": ["number", "null"], "minimum": 0, "maximum": 1},
        "priority": PRIORITY,
        "attempt": {"type": "integer"},
        "deadline": {"type": ["string", "null"], "format": "date-time"},
        "warning": {
            "type": "string",
            "description": "In the answer to a create alone: it was accepted, and no worker of its model can start.",
        },
    },
    "required": ["id", "model", "version", "status", "input", "urls", "created_at"],
}

PROBLEM_SCHEMA: dict[str, Any] = {
    "type": "object",
    "title": "Problem",
    "description": "RFC 9457",
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "instance": {"type": "string"},
        "code": {"type": "string"},
        "pointer": {"type": "string"},
        "prediction": {"type": "string", "description": "Of a 504: the id to ask for."},
    },
    "required": ["type", "title", "status", "detail", "instance", "code"],
}


def _json(description: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"description": description, "content": {"application/json": {"schema": schema}}}


def _problem(description: str, **headers: str) -> dict[str, Any]:
    content = {"application/problem+json": {"schema": PROBLEM_SCHEMA}}
    answer: dict[str, Any] = {"description": description, "content": content}
    if headers:
        answer["headers"] = {
            name.replace("_", "-"): {"description": text, "schema": {"type": "string"}}
            for name, text in headers.items()
        }
    return answer


ERRORS: dict[int | str, dict[str, Any]] = {
    404: _problem("No such thing, or another owner's"),
    422: _problem("The request does not fit"),
    503: _problem("The ledger does not answer; try again after Retry-After"),
}
UNKNOWN: dict[int | str, dict[str, Any]] = {
    504: _problem(
        "The ledger did not say what became of it: ask for the prediction, or send the same again with "
        "the same id or Idempotency-Key",
        Location="The prediction, if it is recorded; 404 there: it is not, and never will be.",
        Retry_After="Seconds.",
        x_should_retry="`false` where the same request again could be a second prediction.",
    )
}
PREDICTION: dict[int | str, dict[str, Any]] = {200: _json("The prediction", PREDICTION_SCHEMA)}
NOT_OVER: dict[int | str, dict[str, Any]] = {409: _problem("It waits or runs; cancel it first")}
PREDICTIONS: dict[int | str, dict[str, Any]] = {
    200: _json(
        "A page, newest first",
        {
            "type": "object",
            "properties": {
                "previous": {"type": ["string", "null"]},
                "next": {"type": ["string", "null"]},
                "results": {"type": "array", "items": PREDICTION_SCHEMA},
            },
        },
    )
}

INSTANT = {"type": ["string", "null"], "format": "date-time"}
STATE_SCHEMA: dict[str, Any] = {
    "type": "object",
    "title": "ModelState",
    "properties": {
        "id": {"type": "string", "description": "owner/name"},
        "state": {
            "enum": ["cold", "starting", "failing", "ready", "busy"],
            "description": "What the next prediction meets: no worker, one on its way, none that can start, a "
            "free one, or none that is free.",
        },
        "failure": {
            "type": ["object", "null"],
            "description": "Why the last worker that could not start did not, until one is ready or for a quarter of "
            "an hour.",
            "properties": {
                "code": {"type": "string"},
                "detail": {"type": "string"},
                "seconds": {"type": "number", "description": "since then"},
            },
        },
        "queue": {
            "type": "object",
            "properties": {
                "queued": {"type": "integer"},
                "running": {"type": "integer"},
                "busy": {"type": "integer", "description": "workers"},
                "oldest_seconds": {"type": "number"},
                "eta_seconds": {"type": ["number", "null"], "description": "for all that waits"},
            },
        },
        "workers": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {
                    "name": {"type": "string"},
                    "state": {"enum": ["starting", "ready", "busy", "draining"]},
                    "state_seconds": {"type": "number"},
                    **{
                        name: {"type": "string"}
                        for name in ("phase", "device", "gpu_name", "gpu_uuid", "version")
                    },
                    "loaded": {
                        "type": "string",
                        "description": "What a ready one has loaded, on what, how fast and in how much memory.",
                    },
                    "model_version": {
                        "type": "string",
                        "description": "Empty where an older worker does not say.",
                    },
                },
            },
        },
    },
}
_BRIEFLY = ("id", "model", "status", "error_code", "progress", "attempt", "metrics")
STATUS: dict[int | str, dict[str, Any]] = {
    200: _json(
        "What the status page shows",
        {
            "type": "object",
            "properties": {
                "version": {"type": "string"},
                "now": {**INSTANT, "description": "The ledger's clock"},
                "models": {"type": "array", "items": STATE_SCHEMA},
                "predictions": {
                    "type": "array",
                    "items": {
                        "type": "object",
                        "properties": {
                            **{name: PREDICTION_SCHEMA["properties"][name] for name in _BRIEFLY},
                            **dict.fromkeys(("created_at", "started_at", "completed_at"), INSTANT),
                        },
                    },
                },
            },
        },
    )
}

HEADERS = [
    (
        "Prefer",
        "`wait` or `wait=n`: hold the request up to n seconds (60 at most) for the outcome.",
    ),
    ("Idempotency-Key", "The same key with the same body gives the same prediction."),
    ("Cancel-After", "Deadline, like `90s` or `1m`: canceled when it is not over by then."),
    ("X-Priority", "`high`, `normal` or `low`."),
]


def _creates(summary: str, path: list[str], required: list[str]) -> dict[str, Any]:
    """The operation of a route that creates a prediction."""
    properties: dict[str, Any] = {
        "input": {"type": "object", "description": "As the model's input schema says."},
        "priority": PRIORITY,
        "stream": {"type": "boolean", "description": "Ignored: every prediction can be streamed."},
    }
    text = "A version id, owner/name, or owner/name:version. No other version than a named one runs it."
    properties["version"] = {"type": "string", "description": text}
    schema = {
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": False,
    }
    parameters: list[dict[str, Any]] = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        for name in path
    ]
    parameters += [
        {"name": name, "in": "header", "schema": {"type": "string"}, "description": text}
        for name, text in HEADERS
    ]
    responses = {
        201: _json("Accepted; finished too, if it was waited for", PREDICTION_SCHEMA),
        200: _json("An earlier request had created it", PREDICTION_SCHEMA),
        400: _problem("The body is not JSON that can be accepted"),
        409: _problem("The id or key was used for another request"),
        413: _problem("The body is too large"),
        415: _problem("The body is not application/json"),
        429: _problem("The model's queue is full; try again after Retry-After"),
        **ERRORS,
        **UNKNOWN,
    }
    return {
        "tags": ["predictions"],
        "summary": summary,
        "parameters": parameters,
        "requestBody": {"required": True, "content": {"application/json": {"schema": schema}}},
        "responses": {str(status): response for status, response in responses.items()},
    }


FAST_PATHS: dict[str, dict[str, Any]] = {
    "/v1/models/{owner}/{name}/predictions": {
        "post": _creates("Predict with a model", ["owner", "name"], ["input"])
    },
    "/v1/predictions": {"post": _creates("Predict with a version", [], ["version", "input"])},
    "/v1/deployments/{owner}/{name}/predictions": {
        "post": _creates("Predict with a model (alias)", ["owner", "name"], ["input"])
    },
    "/v1/predictions/{id}": {
        "put": _creates("Predict under an id of yours", ["id"], ["version", "input"])
    },
}


def describe(document: dict[str, Any]) -> dict[str, Any]:
    """Add the routes that FastAPI does not know to its OpenAPI document."""
    for path, operations in FAST_PATHS.items():
        document["paths"].setdefault(path, {}).update(operations)
    return document
