"""Answers only requests that call this process by a name of its own."""

from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from contract.errors import Misdirected
from contract.hosts import Hosts
from contract.settings import Settings
from service.http.problems import AnswerError, answer_problem

REFUSAL = Misdirected(
    "this process does not answer to the name in `Host`; SOLOIST_ALLOWED_HOSTS names those that it does"
)


class HostCheck:
    """ASGI middleware: 421 (RFC 9110, section 15.5.20) for a `Host` that is not ours."""

    def __init__(
        self, app: ASGIApp, settings: Settings, answer_error: AnswerError = answer_problem
    ) -> None:
        self._app = app
        self._hosts = Hosts(settings)
        self._answer_error = answer_error

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and not self._hosts.allow(Request(scope).headers.get("host")):
            response = self._answer_error(Request(scope), REFUSAL)
            await response(scope, receive, send)
            return
        await self._app(scope, receive, send)
