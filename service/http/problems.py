"""Errors as the client sees them: one table from error to HTTP status, one shape (RFC 9457)."""

import math
from collections.abc import Callable

import orjson
from starlette.requests import Request
from starlette.responses import Response

from contract import errors
from contract.errors import OutcomeUnknown, Refused, RequestError, SoloistError
from service.http.schemas import Problem

STATUS: dict[type[SoloistError], int] = {
    errors.MalformedRequest: 400,
    errors.InvalidJson: 400,
    errors.NotFound: 404,
    errors.ModelNotFound: 404,
    errors.PredictionNotFound: 404,
    errors.MethodNotAllowed: 405,
    errors.RequestTimeout: 408,
    errors.Conflict: 409,
    errors.NotOver: 409,
    errors.TooLarge: 413,
    errors.UnsupportedMediaType: 415,
    errors.Misdirected: 421,
    errors.InvalidRequest: 422,
    errors.InvalidInput: 422,
    errors.QueueFull: 429,
    errors.HeadersTooLarge: 431,
    errors.SoloistError: 500,
    errors.LedgerUnavailable: 503,
    errors.LedgerFull: 503,
    errors.OutcomeUnknown: 504,
}
MEDIA_TYPE = "application/problem+json"
AnswerError = Callable[[Request, SoloistError], Response]
INTERNAL_ERROR = SoloistError("this is a fault of ours")


def status_of(error: SoloistError) -> int:
    """The HTTP status of an error; 500 of one that should not reach a client."""
    return STATUS.get(type(error), STATUS[SoloistError])


def describe_problem(error: SoloistError, instance: str) -> Problem:
    """The body of the answer. `instance` is the path of the request."""
    problem: Problem = {
        "type": f"urn:soloist:error:{error.code}",
        "title": error.title,
        "status": status_of(error),
        "detail": error.detail,
        "instance": instance,
        "code": error.code,
    }
    if isinstance(error, RequestError) and error.pointer is not None:
        problem["pointer"] = error.pointer
    if isinstance(error, OutcomeUnknown):
        problem["prediction"] = error.prediction
    return problem


def answer_problem(request: Request, error: SoloistError) -> Response:
    """The answer to a request that ended in an error."""
    problem = describe_problem(error, request.scope["path"])
    response = Response(orjson.dumps(problem), problem["status"], media_type=MEDIA_TYPE)
    if isinstance(error, Refused | OutcomeUnknown):
        response.headers["retry-after"] = str(max(1, math.ceil(error.retry_after_seconds)))
    return response
