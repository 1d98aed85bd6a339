"""The gateway's application as it is put together."""

import asyncio
import inspect

import pytest

from contract.catalog import Catalog
from contract.settings import Settings
from service.app import create_gateway
from service.http.access_log import AccessLog
from service.http.fast_routes import FastRoutes
from service.http.host_check import HostCheck
from service.routes.error_handlers import EXCEPTION_HANDLERS


def test_every_request_passes_the_log_then_the_check_of_its_host_then_the_fast_routes(
    settings: Settings, catalog: Catalog
) -> None:
    app = create_gateway(settings, catalog)
    assert [one.cls for one in app.user_middleware] == [AccessLog, HostCheck, FastRoutes]


@pytest.mark.parametrize("error", EXCEPTION_HANDLERS, ids=lambda error: error.__name__)
def test_no_error_is_answered_in_a_thread(error: type[Exception]) -> None:
    """Starlette calls a handler that is no coroutine in one of few threads."""
    assert inspect.iscoroutinefunction(EXCEPTION_HANDLERS[error])


def test_nothing_is_connected_before_the_application_starts_nor_after_it_ended(
    settings: Settings, catalog: Catalog
) -> None:
    app = create_gateway(settings, catalog)
    assert not hasattr(app.state, "context")

    async def start_and_end() -> int:
        before = asyncio.all_tasks()
        async with app.router.lifespan_context(app):
            assert app.state.context.predictions.hears_outcomes
            assert asyncio.all_tasks() > before
        return len(asyncio.all_tasks() - before)

    assert asyncio.run(start_and_end()) == 0
    assert not app.state.context.predictions.hears_outcomes
