"""A gateway with the models of these tests, a client of it, and a worker that does as it is told."""

import ssl
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import httpx
import pytest

from contract.catalog import Catalog, ModelSpec
from contract.ledger.client import Ledger
from contract.settings import Settings
from tests.support.fake_worker import FakeWorker
from tests.support.gateway_thread import GatewayThread

NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
"""Saves each client the reading of every root certificate."""

StartGateway = Callable[..., GatewayThread]
MakeClient = Callable[[GatewayThread], httpx.Client]


def model(name: str, **more: Any) -> ModelSpec:
    return ModelSpec(**{"name": name, "python": "nowhere:Nothing", **more})


@pytest.fixture(scope="session")
def catalog() -> Catalog:
    return Catalog(
        [
            model("echo", max_batch_size=8, output_schema={"type": "string"}),
            model("small", max_queue=2),
            model(
                "strict",
                options={"strict": True},
                input_schema={
                    "type": "object",
                    "properties": {"number": {"type": "integer", "minimum": 0}},
                    "additionalProperties": {"type": "string"},
                },
            ),
            ModelSpec(
                name="sentiment",
                id="acme/sentiment",
                source="acme/sentiment",
                task="text-classification",
                description="What people feel",
            ),
        ]
    )


@pytest.fixture
def start_gateway(settings: Settings, catalog: Catalog) -> Iterator[StartGateway]:
    """Start a gateway on this test's ledger, with settings of its own."""
    with ExitStack() as stack:

        def start(**changed: Any) -> GatewayThread:
            own = settings.model_copy(update=changed)
            return stack.enter_context(GatewayThread(own, catalog))

        yield start


@pytest.fixture
def gateway(start_gateway: StartGateway) -> GatewayThread:
    return start_gateway()


@pytest.fixture
def client_of() -> Iterator[MakeClient]:
    with ExitStack() as stack:

        def make(gateway: GatewayThread) -> httpx.Client:
            return stack.enter_context(
                httpx.Client(base_url=gateway.url, timeout=10, trust_env=False, verify=NO_TLS)
            )

        yield make


@pytest.fixture
def http(gateway: GatewayThread, client_of: MakeClient) -> httpx.Client:
    return client_of(gateway)


@pytest.fixture
def worker(ledger: Ledger, catalog: Catalog) -> FakeWorker:
    return FakeWorker(ledger, catalog)
