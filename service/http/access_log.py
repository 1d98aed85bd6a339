"""The log line, the metrics and the span of every request, and a 500 for what nobody caught."""

import logging
import time

from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from contract.telemetry.tracing import OFF, Span, TraceContext, Tracing, read_request_context
from service.gateway import metrics
from service.http.problems import INTERNAL_ERROR, answer_problem

logger = logging.getLogger(__name__)

PROBES = ("/livez", "/readyz", "/metrics")
METHODS = {"DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"}
OTHER = "_OTHER"


class AccessLog:
    """ASGI middleware around the whole application."""

    def __init__(self, app: ASGIApp, tracing: Tracing = OFF) -> None:
        self._app = app
        self._tracing = tracing
        self._in_progress = 0
        # Read with the metrics, because a gauge's lock twice a request costs more than a count.
        metrics.HTTP_IN_PROGRESS.set_function(lambda: self._in_progress)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] in PROBES:
            return await self._app(scope, receive, send)
        started = time.monotonic()
        status = 0
        sent = read_request_context(scope["headers"])
        span = self._tracing.start(scope["method"], sent, kind="server")
        scope["trace"] = span.context or sent

        async def send_and_note(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        self._in_progress += 1
        try:
            await self._app(scope, receive, send_and_note)
        except Exception:
            where = {"path": scope["path"], "trace_id": _trace_id(scope)}
            logger.exception("unexpected", extra=where)
            if status:  # the answer had begun
                raise
            answer = answer_problem(Request(scope), INTERNAL_ERROR)
            if scope["method"] == "POST":
                answer.headers["x-should-retry"] = "false"  # how far it got is unknown
            await answer(scope, receive, send_and_note)
        finally:
            self._in_progress -= 1
            self._record_request(scope, status, time.monotonic() - started)
            if self._tracing.on:
                _end(span, scope, status)

    def _record_request(self, scope: Scope, status: int, seconds: float) -> None:
        route = getattr(scope.get("route"), "path", "none")
        metrics.http_requests(_method(scope), route, status).inc()
        metrics.http_seconds(route).observe(seconds)
        if logger.isEnabledFor(logging.INFO):
            logger.info(
                "request",
                extra={
                    "method": scope["method"],
                    "path": scope["path"],
                    "status": status,
                    "seconds": round(seconds, 6),
                    "prediction": scope.get("state", {}).get("prediction"),
                    "model": scope.get("state", {}).get("model"),
                    "trace_id": _trace_id(scope),
                },
            )


def _method(scope: Scope) -> str:
    """One of a known few, whatever a client sends."""
    return scope["method"] if scope["method"] in METHODS else OTHER


def _trace_id(scope: Scope) -> str | None:
    trace: TraceContext | None = scope["trace"]
    return trace.trace_id if trace else None


def _end(span: Span, scope: Scope, status: int) -> None:
    """End a server's span: https://opentelemetry.io/docs/specs/semconv/http/http-spans/"""
    method = _method(scope)
    attributes: dict[str, str | int] = {
        "http.request.method": method,
        "network.protocol.version": scope["http_version"],
        "url.path": scope["path"],
        "url.scheme": scope["scheme"],
    }
    route = getattr(scope.get("route"), "path", None)
    if route:
        attributes["http.route"] = route
    if status:  # 0: nobody was there any more
        attributes["http.response.status_code"] = status
    for name in ("prediction", "model"):
        if value := scope.get("state", {}).get(name):
            attributes[f"soloist.{name}"] = value
    word = "HTTP" if method == OTHER else method
    span.end(
        attributes,
        name=f"{word} {route}" if route else word,
        error=str(status) if status >= 500 else None,
    )
