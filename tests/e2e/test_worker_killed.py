"""A worker that dies or freezes: its predictions are another's, nothing is lost, nothing doubled."""

import random
import time
from collections import Counter
from pathlib import Path

import pytest
from stack import BATCH, Stack, Worker

from contract.ledger.transitions import replay
from contract.prediction import Status
from tests.support.waiting import until

pytestmark = [pytest.mark.slow, pytest.mark.brokers("shared", "rabbitmq")]


def busy_worker(stack: Stack, number: int = 4) -> tuple[Worker, Path, list[str]]:
    """A worker in the middle of a batch of `number`, the gate that the batch waits for, and its ids."""
    gate = stack.gate()
    ids = [stack.submit("stubborn", gate=str(gate)) for _ in range(number)]
    worker = stack.worker().ready()
    stack.running(ids)
    return worker, gate, ids


def test_a_worker_killed_in_mid_batch_loses_nothing(stack: Stack) -> None:
    worker, gate, ids = busy_worker(stack)
    worker.kill()
    gate.touch()
    stack.worker()
    records = stack.succeeded(ids)
    assert {p.attempt for p in records} == {2}
    assert stack.runs() == dict.fromkeys(ids, 2)


def test_with_the_default_lease_another_worker_has_them_within_30_seconds(stack: Stack) -> None:
    gate = stack.gate()
    id = stack.submit("stubborn", gate=str(gate))
    first = stack.worker(LEASE_SECONDS=15, RENEW_SECONDS=1).ready()
    stack.running(id)
    stack.worker(LEASE_SECONDS=15, RENEW_SECONDS=1).ready()
    gate.touch()
    first.kill()
    (record,) = stack.succeeded([id], 30)
    assert record.attempt == 2


def test_killing_idle_workers_loses_nothing(stack: Stack) -> None:
    ids = []
    worker = stack.worker().ready()
    for _ in range(4):
        ids += [stack.submit(text=str(n)) for n in range(3)]
        worker.kill()
        ids += [stack.submit(text=str(n)) for n in range(3)]
        worker = stack.worker().ready()
        records = stack.succeeded(ids, 30)  # so that no prediction meets a second kill
        assert max(p.attempt for p in records) <= 2
    assert all(stack.runs()[p.id] <= p.attempt for p in records)


def test_an_idle_worker_frozen_and_then_killed_loses_nothing(stack: Stack) -> None:
    worker = stack.worker().ready()
    worker.pause()
    ids = [stack.submit(text=str(n)) for n in range(3)]
    worker.kill()
    stack.worker()
    records = stack.succeeded(ids, 30)
    assert {p.attempt for p in records} == {1}
    assert stack.runs() == dict.fromkeys(ids, 1)


def test_a_frozen_worker_does_not_hold_up_the_others(stack: Stack) -> None:
    frozen = stack.worker().ready()
    stack.worker().ready()
    frozen.pause()
    ids = [stack.submit(text=str(n)) for n in range(6)]
    stack.succeeded(ids, 30)
    assert stack.runs() == dict.fromkeys(ids, 1)


def test_a_worker_frozen_in_mid_batch_and_then_killed_loses_nothing(stack: Stack) -> None:
    worker, gate, ids = busy_worker(stack)
    worker.pause()
    gate.touch()
    stack.worker()
    records = stack.succeeded(ids)
    worker.kill()
    assert {p.attempt for p in records} == {2}


def test_the_late_result_of_a_woken_worker_is_fenced_off(stack: Stack) -> None:
    frozen, gate, ids = busy_worker(stack)
    frozen.pause()
    other = stack.worker().ready()
    until("the other runs one", lambda: 2 in stack.runs().values(), 20)
    gate.touch()
    before = stack.succeeded(ids)
    frozen.resume()
    until("the woken one is told", lambda: '"fenced":4' in frozen.output, 20)
    assert stack.records(ids) == before
    assert {p.worker for p in before} == {other.called}
    assert frozen.alive
    fresh = stack.submit()
    other.kill()
    stack.succeeded([fresh])  # and it goes on working


def test_under_load_with_several_kills_each_ends_in_one_terminal_state(stack: Stack) -> None:
    dice = random.Random(7)
    workers = [stack.worker().ready() for _ in range(2)]
    ids = []
    for number in range(240):
        ids.append(stack.submit("compute" if number % 4 == 0 else "echo", seconds=0.05))
        if number % 40 == 20:
            victim = workers.pop(dice.randrange(len(workers)))
            victim.kill()
            workers.append(stack.worker())
    records = stack.finished(ids, 60)
    # With six kills a prediction may be unlucky three times; anything else must have succeeded.
    unlucky = [p for p in records if p.status is not Status.SUCCEEDED]
    assert {p.error_code for p in unlucky} <= {"worker_lost"}
    assert len(unlucky) <= 2
    for p in records:
        assert 1 <= p.attempt <= 3
        assert stack.runs()[p.id] <= p.attempt
    waiting = [stack.ledger.key(kind, "echo") for kind in ("queued", "running")]
    assert stack.store_client(lambda client: [client.zcard(key) for key in waiting]) == [0, 0]
    # What a reader sees now is what it will see.
    assert stack.records(ids) == records


def test_a_poison_stops_after_three_workers_and_its_batch_mates_succeed(stack: Stack) -> None:
    innocents = [stack.submit(text=str(n)) for n in range(5)]
    poison = stack.submit("kill")
    innocents += [stack.submit(text=str(n)) for n in range(5)]
    worker = stack.worker()
    ended = Counter()
    deadline = time.monotonic() + 60

    def over() -> bool:
        nonlocal worker
        if not worker.alive:
            ended[worker.code()] += 1
            worker = stack.worker()
        return all(p.status.terminal for p in stack.records([poison, *innocents]))

    until("all are over", over, deadline - time.monotonic())
    record = stack.record(poison)
    assert (record.status, record.error_code, record.attempt) == (Status.FAILED, "worker_lost", 3)
    assert stack.runs()[poison] == 3
    assert ended == {-9: 3}
    assert {p.status for p in stack.records(innocents)} == {Status.SUCCEEDED}
    assert max(stack.runs()[id] for id in innocents) <= 2
    assert stack.dead() == [poison]

    again = stack.ask(replay(poison, "another-life", BATCH))
    assert again is not None
    assert stack.dead() == []
    assert stack.record("another-life").replay_of == poison
