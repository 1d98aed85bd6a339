"""Connections between gateway and ledger are cut under load: every answer is one that we meant."""

from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Event

import httpx
import pytest
import redis
from pydantic import SecretStr

from contract.catalog import Catalog
from contract.settings import Settings
from tests.support.gateway_thread import GatewayThread
from tests.support.tcp_forwarder import TcpForwarder

CUTS = 25
CLIENTS = 12


@pytest.fixture
def forwarder(redis_url: str) -> Iterator[TcpForwarder]:
    with redis.Redis.from_url(redis_url) as client:
        port = client.connection_pool.connection_kwargs["port"]
    with TcpForwarder(port) as opened:
        yield opened


def test_a_cut_connection_is_never_an_error_of_ours(
    settings: Settings, catalog: Catalog, forwarder: TcpForwarder
) -> None:
    url = SecretStr(f"redis://127.0.0.1:{forwarder.port}/0")
    own = settings.model_copy(update={"redis_url": url})
    over, answered = Event(), [Event() for _ in range(CLIENTS)]
    seen: Counter[tuple[str, int, str]] = Counter()

    def use(number: int, base: str) -> None:
        with httpx.Client(base_url=base, timeout=20, trust_env=False) as http:
            while not over.is_set():
                created = http.post("/v1/models/local/echo/predictions", json={"input": {}})
                answers = [("create", created)]
                if created.status_code == 201:
                    place = f"/v1/predictions/{created.json()['id']}"
                    answers += [("read", http.get(place)), ("cancel", http.post(f"{place}/cancel"))]
                answers.append(("list", http.get("/v1/predictions")))
                for what, answer in answers:
                    seen[what, answer.status_code, answer.json().get("code", "")] += 1
                answered[number].set()

    with GatewayThread(own, catalog) as gateway, ThreadPoolExecutor(CLIENTS) as threads:
        assert type(gateway._loop).__module__ == "uvloop", (
            "whose closed transports raise RuntimeError"
        )
        asked = [threads.submit(use, number, gateway.url) for number in range(CLIENTS)]
        cut = 0
        for turn in range(CUTS):
            # Each cut hits while others are on their way.
            moment = answered[turn % CLIENTS]
            moment.clear()
            assert moment.wait(20)
            cut += forwarder.cut()
        over.set()
        for one in asked:
            one.result(30)
    assert cut >= CUTS
    allowed = {200, 201, 503, 504}
    assert {status for _, status, _ in seen} <= allowed, seen
    for what in ("create", "read", "cancel", "list"):
        good = sum(n for (kind, status, _), n in seen.items() if kind == what and status < 300)
        assert good > CUTS / 2, seen
