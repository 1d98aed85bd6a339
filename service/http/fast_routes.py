"""Answers the routes that carry the load before FastAPI's router and its wrappers run."""

from collections.abc import Sequence

from starlette.requests import Request
from starlette.routing import Match, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from contract.errors import SoloistError
from service.http.problems import AnswerError, answer_problem


class FastRoutes:
    """ASGI middleware. What FastAPI does for a route costs more than all that these routes do."""

    def __init__(
        self, app: ASGIApp, routes: Sequence[Route], answer_error: AnswerError = answer_problem
    ) -> None:
        self._app = app
        self._routes = tuple(routes)
        self._answer_error = answer_error

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["method"] != "GET":
            for route in self._routes:
                match, found = route.matches(scope)
                if match is Match.FULL:
                    scope.update(found)
                    scope["route"] = route
                    await self._answer(route, scope, receive, send)
                    return
        await self._app(scope, receive, send)

    async def _answer(self, route: Route, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive, send)
        try:
            response = await route.endpoint(request)
        except SoloistError as error:
            response = self._answer_error(request, error)
        await response(scope, receive, send)
