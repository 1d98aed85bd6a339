"""What FastAPI does not know for the OpenAPI document: the fast routes, and the schemas of all bodies."""

from typing import Any

from pydantic import TypeAdapter

from service.http import schemas
from service.http.problems import MEDIA_TYPE

REFERENCE = "#/components/schemas/{model}"
TYPES: tuple[Any, ...] = (
    schemas.Account,
    schemas.ModelList,
    schemas.PredictionPage,
    schemas.Problem,
    schemas.StatusReport,
    schemas.VersionList,
)
"""All others belong to these."""

Responses = dict[int | str, dict[str, Any]]


def _json(description: str, body: type) -> dict[str, Any]:
    schema = {"$ref": REFERENCE.format(model=body.__name__)}
    return {"description": description, "content": {"application/json": {"schema": schema}}}


def _problem(description: str, **headers: str) -> dict[str, Any]:
    schema = {"$ref": REFERENCE.format(model=schemas.Problem.__name__)}
    answer: dict[str, Any] = {
        "description": description,
        "content": {MEDIA_TYPE: {"schema": schema}},
    }
    if headers:
        answer["headers"] = {
            name.replace("_", "-"): {"description": text, "schema": {"type": "string"}}
            for name, text in headers.items()
        }
    return answer


ERRORS: Responses = {
    404: _problem("No such thing, or another owner's"),
    422: _problem("The request does not fit"),
    503: _problem("The ledger does not answer; try again after Retry-After"),
}
UNKNOWN: Responses = {
    504: _problem(
        "The ledger did not say what became of it: ask for the prediction, or send the same again with "
        "the same id or Idempotency-Key",
        Location="The prediction, if it is recorded; 404 there: it is not, and never will be.",
        Retry_After="Seconds.",
        x_should_retry="`false` where the same request again could be a second prediction.",
    )
}
NOT_OVER: Responses = {409: _problem("It waits or runs; cancel it first")}
PREDICTION: Responses = {200: _json("The prediction", schemas.Prediction)}
PREDICTIONS: Responses = {200: _json("A page, newest first", schemas.PredictionPage)}
STATUS: Responses = {200: _json("What the status page shows", schemas.StatusReport)}
MODEL: Responses = {200: _json("The model", schemas.Model)}
MODELS: Responses = {200: _json("All models", schemas.ModelList)}
VERSION: Responses = {200: _json("The version", schemas.ModelVersion)}
VERSIONS: Responses = {200: _json("The current one first", schemas.VersionList)}
ACCOUNT: Responses = {200: _json("Who asks", schemas.Account)}

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
    schema = schemas.PredictionRequest.model_json_schema(ref_template=REFERENCE)
    del schema["$defs"]
    schema["required"] = required
    parameters: list[dict[str, Any]] = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        for name in path
    ]
    parameters += [
        {"name": name, "in": "header", "schema": {"type": "string"}, "description": text}
        for name, text in HEADERS
    ]
    responses = {
        201: _json("Accepted; finished too, if it was waited for", schemas.Prediction),
        200: _json("An earlier request had created it", schemas.Prediction),
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


def complete_document(document: dict[str, Any]) -> dict[str, Any]:
    """Add the schemas of all bodies, and the routes that FastAPI does not know, to its OpenAPI document."""
    adapters = [(body.__name__, "serialization", TypeAdapter(body)) for body in TYPES]
    _, definitions = TypeAdapter.json_schemas(adapters, ref_template=REFERENCE)  # type: ignore[arg-type]
    components = document.setdefault("components", {}).setdefault("schemas", {})
    components.update(definitions["$defs"])
    for path, operations in FAST_PATHS.items():
        document["paths"].setdefault(path, {}).update(operations)
    return document
