"""Errors as the client sees them: one table from error code to HTTP status, one shape (RFC 9457)."""

import math
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response

from contract.errors import OutcomeUnknown, Refused, RequestError, SoloistError
from service.gateway import metrics
from service.gateway.context import context_of
from service.http.representation import PREDICTION_PATH

STATUS = {
    "invalid_request": 422,
    "invalid_json": 400,
    "invalid_input": 422,
    "too_large": 413,
    "unsupported_media_type": 415,
    "not_found": 404,
    "model_not_found": 404,
    "prediction_not_found": 404,
    "conflict": 409,
    "not_over": 409,
    "misdirected_request": 421,
    "queue_full": 429,
    "ledger_unavailable": 503,
    "ledger_full": 503,
    "outcome_unknown": 504,
    "method_not_allowed": 405,
    "internal_error": 500,
}


def problem(
    status: int, code: str, title: str, detail: str, instance: str, **more: Any
) -> Response:
    """An `application/problem+json` answer."""
    body = {
        "type": f"urn:soloist:error:{code}",
        "title": title,
        "status": status,
        "detail": detail,
        "instance": instance,
        "code": code,
        **more,
    }
    return Response(orjson.dumps(body), status, media_type="application/problem+json")


def refuse(error: SoloistError, request: Request) -> Response:
    """The answer to a request that ended in one of our errors, which is counted."""
    metrics.REJECTED.labels(error.code).inc()
    more: dict[str, Any] = {}
    if isinstance(error, RequestError) and error.pointer is not None:
        more["pointer"] = error.pointer
    if isinstance(error, OutcomeUnknown):
        more["prediction"] = error.prediction
    status = STATUS.get(error.code, 500)
    path = request.scope["path"]
    response = problem(status, error.code, error.title, error.detail, path, **more)
    if isinstance(error, Refused | OutcomeUnknown):
        response.headers["retry-after"] = str(max(1, math.ceil(error.retry_after_seconds)))
    if isinstance(error, OutcomeUnknown):
        base = context_of(request).base(request)
        response.headers["location"] = f"{base}{PREDICTION_PATH}{error.prediction}"
        if not error.repeatable:
            # A client of Replicate's repeats a POST by itself after a 5xx, but not against this word.
            response.headers["x-should-retry"] = "false"
    return response
