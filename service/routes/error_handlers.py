"""How the gateway answers a request that ended in an error, ours or the framework's."""

from collections.abc import Callable, Coroutine
from itertools import chain
from typing import Any

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import Match, Route

from contract.errors import (
    InvalidRequest,
    MalformedRequest,
    MethodNotAllowed,
    NotFound,
    OutcomeUnknown,
    SoloistError,
)
from service.gateway import metrics
from service.gateway.context import context_of
from service.http.problems import answer_problem
from service.http.representation import PREDICTION_PATH
from service.routes import ROUTERS

NO_FILES = (
    "files are not kept here: send them inside the input, as base64 or a data: URL; Replicate's Python "
    'client does so by itself with file_encoding_strategy="base64"'
)
"""Where Replicate's clients send an open file of an input first."""


def answer_error(request: Request, error: SoloistError) -> Response:
    """Answer with one of our errors, and count it."""
    metrics.REJECTED.labels(error.code).inc()
    response = answer_problem(request, error)
    if isinstance(error, OutcomeUnknown):
        base = context_of(request).base_url(request)
        response.headers["location"] = f"{base}{PREDICTION_PATH}{error.prediction}"
        if not error.repeatable:
            # A client of Replicate's repeats a POST by itself after a 5xx, but not against this word.
            response.headers["x-should-retry"] = "false"
    return response


async def handle_error(request: Request, error: SoloistError) -> Response:
    """As `answer_error`, for FastAPI."""
    return answer_error(request, error)


async def handle_http_error(request: Request, error: HTTPException) -> Response:
    """Answer what Starlette refuses."""
    detail = str(error.detail)
    found: SoloistError = MalformedRequest(detail)
    if error.status_code == 404:
        no_files = request.scope["path"].rstrip("/") == "/v1/files"
        found = NotFound(NO_FILES if no_files else detail)
    elif error.status_code == 405:
        found = MethodNotAllowed(detail)
    response = answer_problem(request, found)
    response.headers.update(error.headers or {})
    if error.status_code == 405:
        response.headers["allow"] = _allowed(request)
    return response


async def handle_validation_error(request: Request, error: RequestValidationError) -> Response:
    """Answer what FastAPI finds wrong with a parameter."""
    first = error.errors()[0]
    place = ".".join(str(part) for part in first["loc"][1:])
    return answer_problem(request, InvalidRequest(f"{place}: {first['msg']}"))


EXCEPTION_HANDLERS: dict[Any, Callable[[Request, Any], Coroutine[Any, Any, Response]]] = {
    SoloistError: handle_error,
    HTTPException: handle_http_error,
    RequestValidationError: handle_validation_error,
}


def _allowed(request: Request) -> str:
    """The methods of this path. Starlette names those of its first route only."""
    methods: set[str] = set()
    for route in chain(request.app.routes, *(router.routes for router in ROUTERS)):
        if isinstance(route, Route) and route.matches(request.scope)[0] is Match.PARTIAL:
            methods |= route.methods or set()
    return ", ".join(sorted(methods))
