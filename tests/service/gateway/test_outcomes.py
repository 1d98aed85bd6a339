"""The subscription to outcomes: whatever happens to it, who waits is answered."""

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest
import redis
from prometheus_client import REGISTRY
from pydantic import SecretStr

from contract.catalog import Catalog
from contract.ledger.client import Ledger
from contract.settings import Settings
from local.redis import EmbeddedRedis
from tests.support.fake_worker import FakeWorker
from tests.support.gateway_thread import GatewayThread
from tests.support.tcp_forwarder import TcpForwarder
from tests.support.waiting import until

SECONDS = 10.0
"""Longer than it takes to find out that nothing is heard any more."""


def faults(reason: str) -> float:
    return REGISTRY.get_sample_value("soloist_outcomes_faults_total", {"reason": reason}) or 0.0


def subscription(gateway: GatewayThread) -> Any:
    return gateway.app.state.context.predictions._outcomes


class SubscriptionHarness:
    """A gateway that knows its ledger by a name, and a worker who always finds it."""

    def __init__(self, settings: Settings, catalog: Catalog, store: EmbeddedRedis) -> None:
        self._around = ExitStack()
        self.catalog = catalog
        self.settings = settings
        self.name = self._around.enter_context(TcpForwarder(store.port))
        url = SecretStr(f"redis://127.0.0.1:{self.name.port}/0")
        own = settings.model_copy(update={"redis_url": url})
        self.gateway = self._around.enter_context(GatewayThread(own, catalog))
        self.http = self._around.enter_context(
            httpx.Client(base_url=self.gateway.url, timeout=40, trust_env=False)
        )
        self._threads = self._around.enter_context(ThreadPoolExecutor(4))
        self.worker = self.worker_at(store)

    def worker_at(self, store: EmbeddedRedis) -> FakeWorker:
        ledger = Ledger(self.settings.model_copy(update={"redis_url": SecretStr(store.url)}))
        self._around.callback(ledger.close)
        return FakeWorker(ledger, self.catalog)

    def ask(self) -> "Future[httpx.Response]":
        """A request that waits, once it does."""
        waiting = subscription(self.gateway).waiting
        body = {"input": {}}
        asked = self._threads.submit(
            self.http.post,
            "/v1/models/local/echo/predictions",
            json=body,
            headers={"prefer": "wait=30"},
        )
        until("it waits", lambda: subscription(self.gateway).waiting > waiting)
        return asked

    def ready(self) -> bool:
        return self.http.get("/readyz").is_success

    def close(self) -> None:
        self._around.close()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[EmbeddedRedis]:
    with EmbeddedRedis(tmp_path / "one", appendfsync="no") as opened:
        yield opened


@pytest.fixture
def harness(
    settings: Settings, catalog: Catalog, store: EmbeddedRedis
) -> Iterator[SubscriptionHarness]:
    opened = SubscriptionHarness(settings, catalog, store)
    yield opened
    opened.close()


def succeeded(asked: "Future[httpx.Response]") -> None:
    assert asked.result(SECONDS).json()["status"] == "succeeded"


@pytest.mark.parametrize("garbage", [b"\xc1", b"\x93\x01\x02\x03", b"\x91\x91\x01"])
def test_an_announcement_that_cannot_be_read_is_counted_and_the_next_one_is_heard(
    harness: SubscriptionHarness, store: EmbeddedRedis, garbage: bytes
) -> None:
    before = faults("unreadable")
    asked = harness.ask()
    with redis.Redis(port=store.port) as client:
        heard = client.publish(subscription(harness.gateway)._channel, garbage)
    assert heard == 1
    until("it is counted", lambda: faults("unreadable") == before + 1)
    harness.worker.succeed(harness.worker.take())
    succeeded(asked)
    assert harness.ready()


def test_what_was_announced_unreadably_is_read_from_the_record(
    harness: SubscriptionHarness, store: EmbeddedRedis
) -> None:
    asked = harness.ask()
    claimed = harness.worker.take()
    with redis.Redis(port=store.port) as client:
        # The worker's own announcement is lost, and this one takes its place.
        channel = subscription(harness.gateway)._channel
        harness.worker.ledger.redis.hdel(
            harness.worker.ledger.key("prediction", claimed.id), "watchers"
        )
        client.hset(harness.worker.ledger.key("prediction", claimed.id), "watchers", "")
        harness.worker.succeed(claimed)
        client.publish(channel, b"\xc1")
    succeeded(asked)


def test_a_listener_that_fails_does_not_keep_the_others_from_hearing(
    harness: SubscriptionHarness,
) -> None:
    def fail(kind: str, fields: dict[str, Any]) -> None:
        raise ValueError("nobody expected this")

    asked = harness.ask()
    claimed = harness.worker.take()
    subscription(harness.gateway)._listeners[claimed.id].insert(0, fail)
    harness.worker.succeed(claimed)
    succeeded(asked)


def test_the_probe_says_when_nothing_is_heard(
    harness: SubscriptionHarness, store: EmbeddedRedis
) -> None:
    assert harness.ready()
    with redis.Redis(port=store.port) as client:
        client.execute_command("ACL", "SETUSER", "default", "-subscribe")
        client.execute_command("CLIENT", "KILL", "TYPE", "pubsub")
        until("the gateway is not ready", lambda: not harness.ready(), SECONDS)
        answer = harness.http.get("/readyz")
        assert (answer.status_code, answer.json()["state"]) == (503, "waiting")
        assert "subscription" in answer.json()["detail"]
        assert REGISTRY.get_sample_value("soloist_outcomes_subscribed") == 0
        created = harness.http.post("/v1/models/local/echo/predictions", json={"input": {}})
        assert created.status_code == 201, "what is accepted is accepted all the same"
        client.execute_command("ACL", "SETUSER", "default", "+subscribe")
    until("it is back", harness.ready, SECONDS)
    assert REGISTRY.get_sample_value("soloist_outcomes_subscribed") == 1


def test_a_subscription_that_is_half_open_is_found_out(harness: SubscriptionHarness) -> None:
    asked = harness.ask()
    harness.name.stall()
    harness.worker.succeed(harness.worker.take())
    succeeded(asked)


def demoted(one: redis.Redis, two: redis.Redis, port: int) -> None:
    """The old primary follows the new one."""
    one.execute_command("REPLICAOF", "127.0.0.1", str(port))


def alone(one: redis.Redis, two: redis.Redis, port: int) -> None:
    """The old primary is a replica of nobody who could be reached."""
    one.execute_command("REPLICAOF", "127.0.0.1", "1")


@pytest.mark.parametrize("old", [demoted, alone])
def test_the_subscription_follows_the_ledger_to_its_new_primary(
    harness: SubscriptionHarness,
    store: EmbeddedRedis,
    tmp_path: Path,
    old: Callable[[redis.Redis, redis.Redis, int], None],
) -> None:
    with (
        EmbeddedRedis(tmp_path / "two", appendfsync="no") as second,
        redis.Redis(port=store.port) as one,
        redis.Redis(port=second.port) as two,
    ):
        two.execute_command("REPLICAOF", "127.0.0.1", str(store.port))
        until("it follows", lambda: two.info("replication")["master_link_status"] == "up")
        asked = harness.ask()
        claimed = harness.worker.take()
        one.wait(1, 5000)
        two.execute_command("REPLICAOF", "NO", "ONE")
        old(one, two, second.port)
        harness.name.target = second.port
        harness.worker_at(second).succeed(claimed)
        succeeded(asked)
        channel = subscription(harness.gateway)._channel
        until("it listens there", lambda: two.pubsub_numsub(channel)[0][1] == 1, SECONDS)
        assert one.pubsub_numsub(channel)[0][1] == 0
        assert harness.ready()
