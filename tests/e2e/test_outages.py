"""An outage of the ledger that is longer than leases and limits: nothing is blamed for it, nothing runs twice."""

import time
from collections.abc import Callable

import pytest
from stack import Stack, Worker

from contract.prediction import Status
from local.processes import free_port
from tests.support.waiting import until

pytestmark = pytest.mark.slow
LEDGERS = pytest.mark.brokers("shared", "redis", "rabbitmq")

LEASE_SECONDS = 3.0
OUTAGE_SECONDS = 9.0
"""Three leases, and twice the hard limit of the model `limited`."""


def freeze(stack: Stack) -> Callable[[], None]:
    stack.store.pause()
    return stack.store.resume


def kill(stack: Stack) -> Callable[[], None]:
    stack.store.kill()
    return stack.store.start


FAULTS = pytest.mark.parametrize("fault", [freeze, kill])


def outlast(worker: Worker, since: float, seconds: float = OUTAGE_SECONDS) -> None:
    """Let the outage be this long, and the worker alive in all of it."""

    def over() -> bool:
        assert worker.alive, worker.tail()
        return time.monotonic() - since > seconds

    until("the outage is long enough", over, seconds + 5)


def kept_back(
    stack: Stack, fault: Callable[[Stack], Callable[[], None]], workers: int = 1, **settings: object
):
    """A worker that has computed and cannot write: (worker, prediction, since when, how to heal)."""
    gate = stack.gate()
    started = [stack.worker("limited", **settings).ready() for _ in range(workers)]
    id = stack.submit("stubborn", "limited", gate=str(gate))
    stack.running(id)
    name = stack.record(id).worker
    worker = next(worker for worker in started if worker.called == name)
    heal, since = fault(stack), time.monotonic()
    gate.touch()
    until("it keeps its outcome", lambda: "outcomes are kept back" in worker.output, 15)
    return worker, id, since, heal


@LEDGERS
@FAULTS
def test_what_was_computed_is_written_after_an_outage_longer_than_lease_and_limit(
    stack: Stack, fault: Callable[[Stack], Callable[[], None]]
) -> None:
    stack.serve("keeper", KEEPER_PORT=free_port())  # a second one: what one finds out, both know
    # The other worker would take at once what is given back.
    worker, id, since, heal = kept_back(stack, fault, workers=2)
    outlast(worker, since)
    assert worker.probe("/livez") == {"alive": True}
    heal()
    (record,) = stack.succeeded([id])
    assert record.attempt == 1
    assert stack.runs() == {id: 1}
    assert worker.alive


@FAULTS
def test_what_still_computes_in_an_outage_goes_on_and_is_not_given_to_another(
    stack: Stack, fault: Callable[[Stack], Callable[[], None]]
) -> None:
    gate = stack.gate()
    ids = [stack.submit("stubborn", gate=str(gate)) for _ in range(3)]
    worker = stack.worker().ready()
    stack.running(ids)
    stack.worker().ready()  # would take at once what is given back
    heal, since = fault(stack), time.monotonic()
    outlast(worker, since)
    heal()
    outlast(worker, time.monotonic(), 1.5 * LEASE_SECONDS)
    gate.touch()
    assert {p.attempt for p in stack.succeeded(ids)} == {1}
    assert stack.runs() == dict.fromkeys(ids, 1)


@pytest.mark.brokers("redis", "rabbitmq")
def test_a_claim_whose_answer_comes_after_an_outage_is_run_once(stack: Stack) -> None:
    worker = stack.worker().ready()
    stack.succeeded([stack.submit()])  # the ledger has the claim's script
    worker.pause()
    ids = [stack.submit(text=str(n)) for n in range(3)]
    stack.store.pause()
    since = time.monotonic()
    worker.resume()
    until("it claims in vain", lambda: "nothing claimed" in worker.output, 20)
    outlast(worker, since)
    stack.store.resume()
    assert {p.attempt for p in stack.succeeded(ids)} == {1}
    assert set(stack.runs().values()) == {1}


@FAULTS
def test_a_worker_that_is_told_to_end_in_an_outage_uses_its_grace_to_write(
    stack: Stack, fault: Callable[[Stack], Callable[[], None]]
) -> None:
    worker, id, since, heal = kept_back(stack, fault, GRACE_SECONDS=60)
    worker.ask_to_end()
    outlast(worker, since)
    heal()
    assert stack.succeeded([id])[0].attempt == 1
    assert worker.code() == 0


def test_a_worker_whose_grace_ends_in_an_outage_says_what_it_gives_up(stack: Stack) -> None:
    worker, id, _, heal = kept_back(stack, kill, GRACE_SECONDS=1)
    worker.ask_to_end()
    assert worker.code() == 0
    (line,) = [row for row in worker.output.splitlines() if "outcomes are given up" in row]
    assert id in line
    heal()
    stack.worker("limited")
    assert stack.succeeded([id])[0].attempt == 2


def test_a_device_that_is_lost_in_an_outage_is_told_of_when_the_ledger_is_back(
    stack: Stack,
) -> None:
    gate = stack.gate()
    worker = stack.worker().ready()
    ids = [stack.submit("lose_device", gate=str(gate)), stack.submit()]
    stack.running(ids[0])
    stack.store.kill()
    since = time.monotonic()
    gate.touch()
    until("it lost its device", lambda: "the device is lost" in worker.output, 15)
    outlast(worker, since)
    stack.store.start()
    assert worker.code() == 70
    assert {p.status for p in stack.records(ids)} == {Status.STARTING}
    key = stack.ledger.key("counts", "echo")
    counts = stack.store_client(lambda client: client.hgetall(key))
    assert int(counts[b"handed_back:device_lost"]) >= 1


def test_a_keeper_that_dies_with_a_worker_gives_its_predictions_back_within_30_seconds(
    stack: Stack,
) -> None:
    defaults = {"LEASE_SECONDS": 15, "RENEW_SECONDS": 1}
    gate = stack.gate()
    id = stack.submit("stubborn", gate=str(gate))
    worker = stack.worker(**defaults).ready()
    stack.running(id)
    gate.touch()
    worker.kill()
    stack.keeper.kill()
    stack.heal()
    stack.worker(**defaults)
    (record,) = stack.succeeded([id], 30)
    assert record.attempt == 2
