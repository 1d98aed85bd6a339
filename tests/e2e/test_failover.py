"""A primary that is killed and replaced: what was answered is kept, and every process follows the new one."""

import contextlib
import functools
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
import redis
from stack import Stack

from contract.prediction import Status, new_id
from tests.support.sentinels import Guarded
from tests.support.waiting import until

pytestmark = pytest.mark.slow

CLIENTS = 4
FOLLOWED_SECONDS = 8.0
ANSWER_SECONDS = 3.0
"""From the kill to the first answer: the sentinels take about two seconds of it."""
SERVED_SECONDS = 15.0
"""From the moment when a primary is gone until workers hear of new predictions. One that is frozen says nothing on
the connections that it has, and each of them is given up after a silence of seconds.
"""


class GuardedStack(Stack):
    """One Soloist on a Redis behind Sentinel, which is ledger and broker."""

    def __init__(self, folder: Path, replicas: int, wanted: int) -> None:
        super().__init__(folder, "shared")
        self.store = self.broker = self.guarded = Guarded(folder / "guarded", replicas=replicas)
        self.env |= {
            "SOLOIST_REDIS_URL": self.guarded.url,
            "SOLOIST_BROKER_URL": self.guarded.url,
            "SOLOIST_LEDGER_REPLICAS": str(wanted),
        }

    def store_client(self, act: Callable[["redis.Redis[bytes]"], Any]) -> Any:
        with self.guarded.primary.client() as client:
            return act(client)

    def replace(self, how: str = "killed") -> float:
        """Kill the primary, or freeze it, until another is the primary; the moment of it."""
        first = self.guarded.primary
        first.kill() if how == "killed" else first.pause()
        gone = time.monotonic()
        self.guarded.promoted(first)
        self.ledger.connections.renew()  # the test's own
        return gone


@dataclass
class ClientLog:
    """What clients were answered: each asks for one prediction until it is accepted."""

    address: str
    answered: dict[str, dict[str, Any]] = field(default_factory=dict)
    """The prediction that came with a 200 or 201, by id."""
    statuses: "Counter[int]" = field(default_factory=Counter)
    accepted_at: list[float] = field(default_factory=list)
    unanswered: int = 0
    """Those who did not want to wait for an outcome, and got no answer in time."""
    _over: threading.Event = field(default_factory=threading.Event)

    @contextlib.contextmanager
    def kept(self) -> Iterator[None]:
        """Clients ask all the while."""
        threads = [threading.Thread(target=self._ask, args=(n,)) for n in range(CLIENTS)]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self._over.set()
            for thread in threads:
                thread.join(30)

    def _ask(self, number: int) -> None:
        headers = {"Prefer": "wait=2"} if number % 2 else {}
        with httpx.Client(base_url=self.address, timeout=20, trust_env=False) as http:
            while not self._over.is_set():
                id = new_id()
                while not self._accepted(http, id, headers) and not self._over.wait(0.05):
                    pass

    def _accepted(self, http: httpx.Client, id: str, headers: dict[str, str]) -> bool:
        body = {"version": "local/echo", "input": {"text": id}}
        patience = 20.0 if headers else ANSWER_SECONDS
        try:
            answer = http.put(f"/v1/predictions/{id}", json=body, headers=headers, timeout=patience)
        except httpx.ReadTimeout:
            self.unanswered += 1
            return False
        self.statuses[answer.status_code] += 1
        if answer.is_success:
            self.answered[id] = answer.json()
            self.accepted_at.append(time.monotonic())
        return answer.is_success

    def accepted_since(self, moment: float) -> int:
        return sum(at > moment for at in self.accepted_at)


def ended_once(stack: Stack, clients: ClientLog) -> None:
    """All that was answered is there and ended once, as the client was told if it was told."""
    records = {p.id: p for p in stack.succeeded(clients.answered, 40)}
    for id, told in clients.answered.items():
        assert records[id].output is not None
        assert id in records[id].output
        if told["status"] in ("succeeded", "failed", "canceled"):
            assert stack.get(id).json() == told, "an ending that was told stays as it was"
    again = {p.id: p for p in stack.records(clients.answered)}
    assert all(again[id].completed_at == records[id].completed_at for id in records)


def tell(what: str, clients: ClientLog, killed: float, **seconds: float) -> None:
    """For the docs: pytest -s."""
    since = [at - killed for at in clients.accepted_at if at > killed]
    gap = f"{min(since):.1f}" if since else "-"
    print(
        f"\n{what}: {len(clients.answered)} accepted, statuses {dict(clients.statuses)}, "
        f"first accepted again after {gap} s, "
        + ", ".join(f"{name} {value:.1f} s" for name, value in seconds.items())
    )


def test_with_one_replica_nothing_that_was_answered_is_lost_when_the_primary_is_killed(
    tmp_path: Path,
) -> None:
    with GuardedStack(tmp_path, replicas=1, wanted=1) as stack:
        for _ in range(2):
            stack.worker().ready()
        clients = ClientLog(f"http://127.0.0.1:{stack.port}")
        first = stack.guarded.primary
        with clients.kept():
            until("many are accepted", lambda: len(clients.answered) > 100, 30)
            killed = stack.replace()
            known = next(iter(clients.answered))
            until("reads are answered", lambda: stack.get(known).is_success, FOLLOWED_SECONDS)
            read_after = time.monotonic() - killed
            assert clients.accepted_since(time.monotonic()) == 0
            first.start()  # the only other one: until it follows, nothing can be promised
            until("it follows", lambda: first.role() == "slave" and first.in_step(), 40)
            followed = time.monotonic()
            until("many more", lambda: clients.accepted_since(followed) > 50, 30)

        assert not {500, 502} & set(clients.statuses)
        assert clients.unanswered == 0
        ended_once(stack, clients)
        tell("one replica", clients, killed, read=read_after, replica_back=followed - killed)


def test_a_second_replica_takes_the_place_of_the_first(tmp_path: Path) -> None:
    with GuardedStack(tmp_path, replicas=2, wanted=1) as stack:
        for _ in range(2):
            stack.worker().ready()
        clients = ClientLog(f"http://127.0.0.1:{stack.port}")
        with clients.kept():
            until("many are accepted", lambda: len(clients.answered) > 100, 30)
            killed = stack.replace()
            new = functools.partial(clients.accepted_since, killed + 1)
            until("creates are accepted again", new, FOLLOWED_SECONDS)
            until("many more", lambda: new() > 50, 30)
            again = min(at for at in clients.accepted_at if at > killed + 1) - killed

        assert not {500, 502} & set(clients.statuses)
        ended_once(stack, clients)
        tell("two replicas", clients, killed, again=again)


@pytest.mark.parametrize("how", ["killed", "frozen"])
def test_without_asking_for_replicas_every_process_follows_the_new_primary(
    tmp_path: Path, how: str
) -> None:
    with GuardedStack(tmp_path, replicas=1, wanted=0) as stack:
        worker = stack.worker(LEASE_SECONDS=15).ready()
        before = [stack.submit(text=str(n)) for n in range(10)]
        stack.succeeded(before)
        gate = stack.gate()
        running = stack.submit("wait", gate=str(gate))
        stack.running(running)
        _, replica = stack.guarded.nodes
        until("the replica has all", lambda: holds(replica, stack, running), 10)
        gone = stack.replace(how)

        gate.touch()
        assert [p.attempt for p in stack.succeeded([running], FOLLOWED_SECONDS)] == [1]
        kept = time.monotonic() - gone
        until("creates are answered", lambda: stack.post(text="first").is_success, 5)
        stack.succeeded([stack.submit(text="after")], SERVED_SECONDS - FOLLOWED_SECONDS)
        served = time.monotonic() - gone
        answer = stack.post(text="waited for", headers={"Prefer": "wait=5"})
        assert (answer.status_code, answer.json()["status"]) == (201, "succeeded")
        print(f"\n{how}: outcome kept after {kept:.1f} s, served after {served:.1f} s")
        assert {p.status for p in stack.records(before)} == {Status.SUCCEEDED}
        assert worker.alive
        assert stack.keeper.alive
        ready = f"http://127.0.0.1:{stack.keeper_port}/readyz"
        until("the keeper is ready again", lambda: httpx.get(ready).is_success, 10)


def holds(replica: Any, stack: Stack, id: str) -> bool:
    """Whether the replica has the start of this prediction."""
    with replica.client() as client:
        return client.hget(stack.ledger.key("prediction", id), "status") == b"processing"
