"""What KEDA would read from a live ledger, and the replicas that follow, in each state of real workers."""

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import redis

from tests.charts.objects import scaled_object
from tests.charts.rendering import Object, render
from tests.e2e.stack import BATCH, Stack, Worker
from tests.support.waiting import until

pytestmark = pytest.mark.slow

COUNT = """
local kind = redis.call('TYPE', KEYS[1]).ok
if kind == 'zset' then return redis.call('ZCARD', KEYS[1]) end
if kind == 'set' then return redis.call('SCARD', KEYS[1]) end
if kind == 'hash' then return redis.call('HLEN', KEYS[1]) end
return redis.call('LLEN', KEYS[1])
"""
"""How KEDA's redis scaler counts: by the key's type; a key that is not there is an empty list."""


@dataclass(frozen=True)
class Keda:
    """A rendered ScaledObject, evaluated as KEDA and the HPA do."""

    store: redis.Redis
    scaled: Object

    def counts(self) -> dict[str, int]:
        """The value of each trigger."""
        return {
            trigger["name"]: self.store.eval(COUNT, 1, trigger["metadata"]["listName"])
            for trigger in self.scaled["spec"]["triggers"]
        }

    def replicas(self) -> int:
        """Before the limits of the ScaledObject and the HPA's stabilization."""
        modifiers = self.scaled["spec"]["advanced"]["scalingModifiers"]
        value = evaluate(modifiers["formula"], self.counts())
        if value <= int(modifiers["activationTarget"]):
            return 0
        return max(1, math.ceil(value / int(modifiers["target"])))


def evaluate(formula: str, values: dict[str, int]) -> float:
    """A formula of names, numbers, `max`, + and *."""
    assert re.fullmatch(r"[\w\s,()+*.]+", formula)
    return float(eval(formula, {"__builtins__": {}, "max": max}, dict(values)))  # noqa: S307


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with Stack(tmp_path_factory.mktemp("keda"), "shared") as running:
        yield running


@pytest.fixture
def keda(stack: Stack) -> Iterator[dict[int, Keda]]:
    """By target: that of the model's batch size, and one prediction a worker."""
    stack.clear()

    def of(client: redis.Redis, **scaling: int) -> Keda:
        catalog = {"python": "tests.e2e.models:Echo", "max_batch_size": BATCH}
        values: dict[str, Any] = {"models": {"echo": {"catalog": catalog, "scaling": scaling}}}
        return Keda(client, scaled_object(render(values), "echo"))

    with redis.Redis.from_url(stack.store.url) as client:
        yield {BATCH: of(client), 1: of(client, target=1)}
    stack.clear()


def says(keda: dict[int, Keda], state: tuple[int, int, int], replicas: tuple[int, int]) -> None:
    """Return when KEDA counts these queued, running and busy; the replicas follow."""
    wanted = dict(zip(("queued", "running", "busy"), state, strict=True))
    until(f"KEDA reads {wanted}", lambda: keda[1].counts() == wanted, 30)
    assert (keda[BATCH].replicas(), keda[1].replicas()) == replicas


def worker(stack: Stack) -> Worker:
    return stack.worker("echo").ready()


def test_nothing_to_do_needs_no_worker(stack: Stack, keda: dict[int, Keda]) -> None:
    says(keda, (0, 0, 0), (0, 0))
    worker(stack)
    says(keda, (0, 0, 0), (0, 0))


def test_what_waits_wakes_as_many_workers_as_it_fills(stack: Stack, keda: dict[int, Keda]) -> None:
    stack.submit()
    says(keda, (1, 0, 0), (1, 1))
    for _ in range(2 * BATCH):
        stack.submit()
    says(keda, (2 * BATCH + 1, 0, 0), (3, 2 * BATCH + 1))


def test_a_busy_worker_is_kept_whatever_the_size_of_its_batch(
    stack: Stack, keda: dict[int, Keda]
) -> None:
    first, second = stack.gate(), stack.gate()
    one = worker(stack)
    held = stack.submit("wait", gate=str(first))
    says(keda, (0, 1, 1), (1, 1))
    waiting = [stack.submit("wait", gate=str(second)) for _ in range(8)]
    says(keda, (8, 1, 1), (1, 9))
    first.touch()
    stack.succeeded([held])
    says(keda, (0, 8, 1), (1, 8))

    # SIGTERM: it takes no more, and counts until its batch is done.
    one.ask_to_end()
    later = stack.submit()
    says(keda, (1, 8, 1), (1, 9))
    second.touch()
    stack.succeeded(waiting)
    assert one.code() == 0
    says(keda, (1, 0, 0), (1, 1))
    worker(stack)
    stack.succeeded([later])
    says(keda, (0, 0, 0), (0, 0))


def test_two_busy_workers_are_both_kept_for_one_prediction_each(
    stack: Stack, keda: dict[int, Keda]
) -> None:
    gate = stack.gate()
    ids = []
    for number in (1, 2):
        worker(stack)
        ids.append(stack.submit("wait", gate=str(gate)))
        says(keda, (0, number, number), (number, number))
    gate.touch()
    stack.succeeded(ids)
    says(keda, (0, 0, 0), (0, 0))


def test_what_a_killed_worker_held_counts_all_the_time(stack: Stack, keda: dict[int, Keda]) -> None:
    gate = stack.gate()
    ids = [stack.submit("wait", gate=str(gate)) for _ in range(8)]
    killed = worker(stack)
    says(keda, (0, 8, 1), (1, 8))
    killed.kill()
    assert keda[1].replicas() == 8
    # The keeper takes its leases back; nobody is busy any more, and the eight wait again.
    says(keda, (8, 0, 0), (1, 8))
    gate.touch()
    worker(stack)
    stack.succeeded(ids)
    says(keda, (0, 0, 0), (0, 0))


def test_a_formula_is_evaluated_as_keda_does() -> None:
    assert evaluate("max(queued + running, busy * 4)", {"queued": 3, "running": 2, "busy": 1}) == 5
    assert evaluate("max(queued + running, busy * 4)", {"queued": 0, "running": 2, "busy": 1}) == 4
