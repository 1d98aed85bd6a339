"""A ledger that records what it is asked for and does not say so: each client's call is one prediction."""

import sys
from collections.abc import Callable, Iterator
from urllib.parse import urlsplit

import httpx
import pytest
import replicate
from official_clients import HERE, javascript, python_2, run_client
from pydantic import SecretStr
from replicate.exceptions import ReplicateError

from contract.catalog import Catalog
from contract.settings import Settings
from tests.support.fake_worker import CONTENT
from tests.support.gateway_thread import GatewayThread
from tests.support.lossy_forwarder import LossyForwarder

CREATE = "/v1/models/local/echo/predictions"
INPUT = {"text": "hello"}


class ClientHarness:
    """A gateway that hears no answer to its creates, and its predictions."""

    def __init__(self, url: str) -> None:
        self.url = url

    def predictions(self) -> int:
        """How many the ledger has, but for the first."""
        return len(httpx.get(f"{self.url}/v1/predictions", trust_env=False).json()["results"]) - 1


@pytest.fixture
def harness(settings: Settings, catalog: Catalog) -> Iterator[ClientHarness]:
    port = urlsplit(settings.redis_url.get_secret_value()).port
    assert port is not None
    with LossyForwarder(port) as wire:
        own = settings.model_copy(update={"redis_url": SecretStr(wire.url)})
        with GatewayThread(own, catalog) as gateway:
            # Redis knows the script from now on.
            httpx.post(gateway.url + CREATE, json={"input": INPUT}, trust_env=False)
            wire.lose("create")
            yield ClientHarness(gateway.url)


@pytest.mark.slow
def test_the_python_client_calls_once(harness: ClientHarness, catalog: Catalog) -> None:
    client = replicate.Client("x", base_url=harness.url)
    calls: list[Callable[[], object]] = [
        lambda: client.predictions.create(model="local/echo", input=INPUT),
        lambda: client.predictions.create(
            version=catalog["echo"].version(CONTENT), input=INPUT, wait=5
        ),
        lambda: client.run("local/echo", input=INPUT),
    ]
    for number, call in enumerate(calls, 1):
        with pytest.raises(ReplicateError) as caught:
            call()
        assert caught.value.status == 504
        assert harness.predictions() == number
    client._client.close()


@pytest.mark.slow
def test_the_python_client_of_the_next_generation_calls_once(
    harness: ClientHarness, catalog: Catalog
) -> None:
    folder = python_2()
    command = [
        sys.executable,
        str(HERE / "unknown_2.py"),
        harness.url,
        catalog["echo"].version(CONTENT),
    ]
    assert run_client(command, PYTHONPATH=str(folder)) == [504, 504, 504]
    assert harness.predictions() == 3


@pytest.mark.slow
def test_the_javascript_client_calls_once(harness: ClientHarness, catalog: Catalog) -> None:
    node, folder = javascript()
    command = [
        node,
        str(HERE / "unknown.mjs"),
        harness.url,
        str(folder),
        catalog["echo"].version(CONTENT),
    ]
    assert run_client(command) == [504, 504, 504]
    assert harness.predictions() == 3
