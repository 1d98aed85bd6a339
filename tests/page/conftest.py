"""A real browser in front of a real gateway; the worker does as the test tells it."""

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, Request, expect, sync_playwright

from contract.catalog import Catalog, ModelSpec
from contract.ledger.client import Ledger
from contract.settings import Settings
from tests.support.external_tools import missing
from tests.support.fake_worker import FakeWorker
from tests.support.gateway_thread import GatewayThread

CHROMIUM = Path("/usr/bin/chromium")
expect.set_options(timeout=10_000)
HURRY = "{ const set = setTimeout; setTimeout = (act, ms) => set(act, ms / 20); }"
"""The page asks every two seconds; its tests have less patience."""

OpenPage = Callable[..., Page]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.slow)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """For a module only: while it is open its event loop runs in this thread, and no other one can."""
    if not CHROMIUM.exists():
        missing("Chromium is not installed: apt-get install chromium")
    with sync_playwright() as playwright:
        # Chromium's sandbox refuses root, as whom containers run their tests.
        sandbox = [] if os.geteuid() else ["--no-sandbox"]
        launched = playwright.chromium.launch(executable_path=CHROMIUM, args=sandbox)
        yield launched
        launched.close()


@pytest.fixture(scope="session")
def catalog() -> Catalog:
    return Catalog(
        [
            ModelSpec(
                name="echo",
                python="nowhere:Nothing",
                description="Says what it is told.",
                input_schema={
                    "type": "object",
                    "properties": {"text": {"type": "string"}, "n": {"type": "integer"}},
                    "required": ["text"],
                },
            ),
            ModelSpec(
                name="feelings",
                id="acme/feelings",
                source="acme/feelings",
                task="text-classification",
                description="<b>bold</b> <img src=x onerror=alert(1)>",
            ),
        ]
    )


@pytest.fixture
def gateway(settings: Settings, catalog: Catalog) -> Iterator[GatewayThread]:
    with GatewayThread(settings, catalog) as running:
        yield running


@pytest.fixture
def worker(ledger: Ledger, catalog: Catalog) -> FakeWorker:
    return FakeWorker(ledger, catalog)


@pytest.fixture
def faults() -> list[str]:
    """What a page must never do: an error, a line on the console, a request to elsewhere. A test that
    provokes some clears the list.
    """
    return []


@pytest.fixture
def open_page(browser: Browser, gateway: GatewayThread, faults: list[str]) -> Iterator[OpenPage]:
    """Open a page, the status page if not told, in a window of its own."""

    def watch(request: Request) -> None:
        if not request.url.startswith((f"{gateway.url}/", "data:")):
            faults.append(f"a request to {request.url}")

    with ExitStack() as stack:

        def open_(path: str = "/", *, hurry: bool = True, **window: Any) -> Page:
            context = stack.enter_context(browser.new_context(**window))
            if hurry:
                context.add_init_script(HURRY)
            page = context.new_page()
            page.on("console", lambda line: faults.append(f"{line.type}: {line.text}"))
            page.on("pageerror", lambda error: faults.append(str(error)))
            page.on("request", watch)
            page.on("dialog", lambda dialog: faults.append(f"a dialog: {dialog.message}"))
            page.goto(f"{gateway.url}{path}")
            return page

        yield open_
        for context in browser.contexts:
            for page in context.pages:
                page.goto("about:blank")  # ends its polling before the gateway ends
    assert faults == []


@pytest.fixture
def page(open_page: OpenPage) -> Page:
    return open_page(viewport={"width": 1200, "height": 900})
