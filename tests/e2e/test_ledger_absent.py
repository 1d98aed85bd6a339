"""Gateway, keeper and worker that start before their ledger or their broker: they wait, and then all is as ever."""

import subprocess
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import httpx
import pytest
from stack import Stack, Worker

from contract.broker import queue_name
from local.processes import free_port
from tests.support.external_tools import program
from tests.support.programs import START_SECONDS, Program
from tests.support.unavailable_ledgers import away, blackholed, nameless, refused, silent, unelected
from tests.support.waiting import until

pytestmark = pytest.mark.slow

SLOW_RESOLVER = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <netdb.h>
#include <string.h>
#include <time.h>
int getaddrinfo(const char *name, const char *service, const struct addrinfo *hints, struct addrinfo **found) {
  int (*real)(const char *, const char *, const struct addrinfo *, struct addrinfo **) = dlsym(RTLD_NEXT, "getaddrinfo");
  if (!name || !strstr(name, ".invalid")) return real(name, service, hints, found);
  struct timespec left = {60, 0};
  while (nanosleep(&left, &left)) {}
  return EAI_AGAIN;
}
"""


class Three:
    """A gateway, a keeper and a worker that know a ledger, or a broker, by an address of their own."""

    def __init__(self, stack: Stack, **settings: object) -> None:
        self.ports = {"gateway": free_port(), "keeper": free_port()}
        given = {"PORT": self.ports["gateway"], "KEEPER_PORT": self.ports["keeper"], **settings}
        self.gateway = stack.serve("gateway", **given)
        self.keeper = stack.serve("keeper", **given)
        self.worker: Worker = stack.worker(**settings)
        self.ports["worker"] = self.worker.port
        self.all: list[Program] = [self.gateway, self.keeper, self.worker]
        self.http = httpx.Client(
            base_url=f"http://127.0.0.1:{self.ports['gateway']}", timeout=10, trust_env=False
        )

    def probes(self, path: str) -> list[int]:
        """The status of a probe of each; 0 while one does not answer."""
        return [self._probe(port, path) for port in self.ports.values()]

    def _probe(self, port: int, path: str) -> int:
        with suppress(httpx.HTTPError):
            url = f"http://127.0.0.1:{port}{path}"
            return httpx.get(url, timeout=5, trust_env=False).status_code
        return 0

    def live(self) -> None:
        until("all live", lambda: self.probes("/livez") == [200] * 3, START_SECONDS)

    def wait(self) -> None:
        """Return when each says that it waits."""
        self.live()
        for one in self.all:
            one.says("waiting for the ledger", 0)
        assert self.probes("/readyz") == [503] * 3

    def ready(self) -> None:
        until("all are ready", lambda: self.probes("/readyz") == [200] * 3, START_SECONDS)

    def post(self) -> httpx.Response:
        return self.http.post("/v1/models/local/echo/predictions", json={"input": {"text": "a"}})

    def answer(self, id: str) -> dict[str, object]:
        """A prediction that was accepted here, once it is over."""

        def over() -> dict[str, object]:
            found = self.http.get(f"/v1/predictions/{id}").json()
            return found if found["status"] in ("succeeded", "failed", "canceled") else {}

        return until("it is over", over, 20)


@pytest.fixture
def three(stack: Stack) -> Iterator[Callable[..., Three]]:
    """Start three; they end with the test."""
    started: list[Three] = []

    def start(**settings: object) -> Three:
        started.append(Three(stack, **settings))
        return started[-1]

    yield start
    for some in started:
        some.http.close()
        for one in some.all:
            one.kill()


@pytest.mark.parametrize("kind", [refused, blackholed, silent, unelected])
def test_what_starts_before_its_ledger_waits_and_heals(
    three: Callable[..., Three], tmp_path: Path, kind: Callable
) -> None:
    with away(kind, tmp_path) as (url, heal):
        some = three(REDIS_URL=url, BROKER_URL=url)
        some.wait()
        answer = some.post()
        assert (answer.status_code, answer.json()["code"]) == (503, "ledger_unavailable")
        assert int(answer.headers["retry-after"]) >= 1
        heal()
        some.ready()
        created = some.post()
        assert created.status_code == 201, created.text
        assert some.answer(created.json()["id"])["status"] == "succeeded"
        for one in some.all:
            troubles = [row for row in one.output.splitlines() if "waiting for the ledger" in row]
            assert len(troubles) <= 2, "a line for each trouble, not for each try"
            assert one.output.count("the ledger is there") == 1
        assert [one.end() for one in some.all] == [0, 0, 0]


@pytest.mark.parametrize("kind", [refused, blackholed, nameless])
def test_what_waits_for_its_ledger_ends_when_it_is_told_to(
    three: Callable[..., Three], tmp_path: Path, kind: Callable
) -> None:
    with away(kind, tmp_path) as (url, _):
        some = three(REDIS_URL=url, BROKER_URL=url)
        some.wait()
        assert [one.end(10) for one in some.all] == [0, 0, 0]


def test_a_resolver_that_keeps_silent_holds_up_neither_a_probe_nor_the_end(
    three: Callable[..., Three], tmp_path: Path
) -> None:
    """As where the cluster's DNS is away: each look-up takes its time, here a minute."""
    compiler, source, library = program("cc", "apt-get install gcc"), "slow.c", tmp_path / "slow.so"
    (tmp_path / source).write_text(SLOW_RESOLVER)
    command = [compiler, "-shared", "-fPIC", "-o", library, source, "-ldl"]
    subprocess.run(command, cwd=tmp_path, check=True)
    with pytest.MonkeyPatch.context() as around:
        around.setenv("LD_PRELOAD", str(library))
        url = "redis://soloist-ledger.invalid:6379/0"
        some = three(REDIS_URL=url, BROKER_URL=url)
    some.live()
    for one in (some.gateway, some.keeper):
        one.says("waiting for the ledger", 0)
    until("its model is loaded", lambda: some.worker.phase() == "connecting", START_SECONDS)
    assert some.probes("/readyz") == [503] * 3
    assert some.post().status_code == 503
    assert [one.end(15) for one in some.all] == [0, 0, 0]


@pytest.mark.brokers("redis", "rabbitmq")
def test_what_starts_before_its_broker_accepts_and_delivers_when_it_comes(
    stack: Stack, three: Callable[..., Three]
) -> None:
    if stack.kind == "rabbitmq":
        with stack.amqp() as channel:
            channel.queue_delete(queue_name("echo"))
    stack.broker.kill()
    some = three(REDIS_URL=stack.store.url, BROKER_URL=stack.broker.url)
    some.live()
    until("the gateway is ready", lambda: some.probes("/readyz") == [200, 200, 503], 60)
    until("it says for what it waits", lambda: "broker" in some.worker.probe()["detail"], 20)
    id = some.post().json()["id"]
    assert all(one.alive for one in some.all)
    stack.broker.start()
    some.ready()
    (record,) = stack.succeeded([id], 30)
    assert record.attempt == 1
