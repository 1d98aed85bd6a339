"""What routes find in the context: models by any of their names, and the beginning of URLs."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from starlette.requests import Request

from contract.catalog import Catalog
from contract.errors import LedgerUnavailable, ModelNotFound
from contract.ledger.transitions import ModelSnapshot
from contract.ledger.workers import Worker
from contract.prediction import Prediction
from contract.settings import Settings
from service.gateway.context import Context


def context(catalog: Catalog, states: Any = None, **settings: Any) -> Context:
    """A context whose ledger says this of every model."""

    async def run_transition(transition: Any) -> Any:
        if isinstance(states, Exception):
            raise states
        return dict.fromkeys(transition.args["models"], states)

    predictions: Any = SimpleNamespace(run_transition=run_transition)
    return Context(Settings(**settings), catalog, predictions, "2026-01-01T00:00:00Z")


def request(host: str | None = None, scheme: str = "http") -> Request:
    headers = [(b"host", host.encode())] if host else []
    return Request({"type": "http", "scheme": scheme, "headers": headers})


def test_a_model_of_the_catalog_is_found_without_the_ledger(catalog: Catalog) -> None:
    known = context(catalog, LedgerUnavailable())
    spec = catalog["echo"]
    for name in ("local/echo", f"local/echo:{spec.version()}", spec.version()):
        assert asyncio.run(known.find_model(name)) is spec


def test_a_name_that_is_no_version_is_not_asked_about(catalog: Catalog) -> None:
    with pytest.raises(ModelNotFound):
        asyncio.run(context(catalog, LedgerUnavailable()).find_model("local/nobody"))


def test_a_version_of_another_catalog_is_known_by_its_workers(catalog: Catalog) -> None:
    version = catalog["echo"].version()
    strange = version.translate(str.maketrans("0123456789abcdef", "123456789abcdef0"))
    state = ModelSnapshot(0, 0, 0, 0.0, workers=[Worker("w", "ready", model_version=strange)])
    found = asyncio.run(context(catalog, state).find_model(strange))
    assert found in catalog.values()
    with pytest.raises(ModelNotFound):
        asyncio.run(context(catalog, ModelSnapshot(0, 0, 0, 0.0)).find_model(strange))
    with pytest.raises(LedgerUnavailable):
        asyncio.run(context(catalog, LedgerUnavailable()).find_model(strange))


def test_a_model_that_left_the_catalog_keeps_its_name(catalog: Catalog) -> None:
    known = context(catalog)
    assert known.model_id(Prediction("1", "sentiment")) == "acme/sentiment"
    assert known.model_id(Prediction("1", "gone")) == "local/gone"


def test_urls_begin_with_what_was_asked_unless_a_setting_says_otherwise(catalog: Catalog) -> None:
    assert context(catalog).base_url(request("a.example:8000", "https")) == "https://a.example:8000"
    assert context(catalog).base_url(request()) == "http://localhost"
    public = context(catalog, public_url="https://public.example")
    assert public.base_url(request("a.example")) == "https://public.example"
