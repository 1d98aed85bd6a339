"""Accounts for every request: metrics, one log line, and an answer to what nobody caught."""

import logging
import time

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service import metrics
from service.problems import problem

logger = logging.getLogger(__name__)

PROBES = ("/livez", "/readyz", "/metrics")


class Account:
    """ASGI middleware around the whole application."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._in_progress = 0
        # Asked when the metrics are, because a gauge's lock twice a request costs more than a count.
        metrics.HTTP_IN_PROGRESS.set_function(lambda: self._in_progress)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] in PROBES:
            return await self._app(scope, receive, send)
        started = time.monotonic()
        status = 0

        async def send_and_note(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        self._in_progress += 1
        try:
            await self._app(scope, receive, send_and_note)
        except Exception:
            logger.exception("unexpected", extra={"path": scope["path"]})
            if status:  # the answer had begun
                raise
            answer = problem(
                500, "internal_error", "Internal error", "this is a fault of ours", scope["path"]
            )
            await answer(scope, receive, send_and_note)
        finally:
            self._in_progress -= 1
            self._note(scope, status, time.monotonic() - started)

    def _note(self, scope: Scope, status: int, seconds: float) -> None:
        route = getattr(scope.get("route"), "path", "none")
        metrics.HTTP_REQUESTS.labels(scope["method"], route, status).inc()
        metrics.HTTP_SECONDS.labels(route).observe(seconds)
        if logger.isEnabledFor(logging.INFO):
            logger.info(
                "request",
                extra={
                    "method": scope["method"],
                    "path": scope["path"],
                    "status": status,
                    "seconds": round(seconds, 6),
                    "prediction": scope.get("state", {}).get("prediction"),
                },
            )
