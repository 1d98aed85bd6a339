"""The ledger fails over: its name leads to another primary, and open connections stay where they were."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest
import redis
from stack import Stack

from contract.ledger.client import Ledger
from contract.settings import Settings
from local.redis import EmbeddedRedis
from tests.support.external_tools import newer_redis
from tests.support.tcp_forwarder import TcpForwarder
from tests.support.waiting import until

pytestmark = pytest.mark.slow

BACK_SECONDS = 10.0
"""Every process is back within seconds."""


class Pair:
    """A stack on a primary with a replica, that knows both by one name; ledger and broker are in it."""

    def __init__(self, folder: Path, around: ExitStack) -> None:
        program = newer_redis()
        self.stack = Stack(folder / "stack", "shared", program=program)
        self.first = self.stack.store
        self.first.start()
        self.second = around.enter_context(EmbeddedRedis(folder / "second", program=program))
        around.callback(self.second.kill)
        self.name = around.enter_context(TcpForwarder(self.first.port))
        url = f"redis://127.0.0.1:{self.name.port}/0"
        self.stack.env |= {"SOLOIST_REDIS_URL": url, "SOLOIST_BROKER_URL": url}
        self.old = around.enter_context(redis.Redis(port=self.first.port))
        self.new = around.enter_context(redis.Redis(port=self.second.port))
        for client in (self.old, self.new):
            client.config_set("repl-diskless-sync-delay", 0)
        self.new.execute_command("REPLICAOF", "127.0.0.1", self.first.port)
        until("it follows", self._follows, 20)
        around.enter_context(self.stack)

    def _follows(self) -> bool:
        return bool(self.new.info("replication")["master_link_status"] == "up")

    def hand_over(self) -> None:
        """As an operator does it: writes wait, and nothing is lost."""
        self.old.execute_command("FAILOVER", "TO", "127.0.0.1", self.second.port)
        self._moved()

    def promote(self) -> None:
        """As Sentinel does it: what was not replicated is lost."""
        self.new.execute_command("REPLICAOF", "NO", "ONE")
        self.old.execute_command("REPLICAOF", "127.0.0.1", self.second.port)
        self._moved()

    def _moved(self) -> None:
        until("it is promoted", lambda: self.new.info("replication")["role"] == "master", 10)
        until("it is demoted", lambda: self.old.info("replication")["role"] == "slave", 10)
        self.name.target = self.second.port
        self.stack.ledger.close()
        self.stack.ledger = Ledger(Settings(redis_url=self.second.url))


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Pair]:
    with ExitStack() as around:
        yield Pair(tmp_path, around)


class Client:
    """Posts and reads without a pause, and keeps every answer."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self.answers: list[tuple[float, int, str]] = []
        """(moment, status, code or id)"""
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        with httpx.Client(base_url=self._stack.http.base_url, timeout=10, trust_env=False) as http:
            while not self._ended.wait(0.02):
                body = {"input": {"do": "echo"}}
                answer = http.post("/v1/models/local/echo/predictions", json=body)
                found = answer.json()
                word = found.get("code") or found["id"]
                self.answers.append((time.monotonic(), answer.status_code, word))
                read = http.get("/v1/predictions")
                self.answers.append((time.monotonic(), read.status_code, ""))

    def end(self) -> None:
        self._ended.set()
        self._thread.join(30)

    def accepted(self, since: float = 0.0) -> list[str]:
        return [word for at, status, word in self.answers if status == 201 and at > since]

    @property
    def statuses(self) -> set[int]:
        return {status for _, status, _ in self.answers}


@pytest.mark.parametrize("how", [Pair.hand_over, Pair.promote])
def test_all_processes_are_back_within_seconds_of_a_failover(
    pair: Pair, how: Callable[[Pair], None]
) -> None:
    stack = pair.stack
    gate = stack.gate()
    busy = stack.worker("single").ready()
    worker = stack.worker().ready()
    running = stack.submit("stubborn", "single", gate=str(gate))
    stack.running(running)
    behind = stack.submit(model="single")
    client = Client(stack)
    until("predictions flow", lambda: len(client.accepted()) > 5, 20)
    how(pair)
    moved = time.monotonic()
    until("it accepts again", lambda: client.accepted(since=moved), BACK_SECONDS)
    until("all are ready again", stack.ready, BACK_SECONDS)
    # The worker's own connection to the broker, and the announcement of its outcome.
    asked = stack.post(headers={"prefer": "wait=30"})
    assert (asked.status_code, asked.json()["status"]) == (201, "succeeded")
    gate.touch()
    (record,) = stack.succeeded([running])
    assert record.attempt == 1, "its leases were renewed at the new primary"
    stack.succeeded([behind])
    client.end()

    assert client.statuses <= {200, 201, 503, 504}
    after = client.accepted(since=moved)
    before = [id for id in client.accepted() if id not in after]
    kept = [id for id in before if pair.new.exists(stack.ledger.key("prediction", id))]
    if how is Pair.hand_over:
        assert kept == before
    stack.succeeded([*kept, *after], 30)
    runs = stack.runs()
    assert {runs[id] for id in [running, behind, *after]} == {1}
    assert worker.alive
    assert busy.alive
    assert pair.old.client_list(_type="pubsub") == []
