"""Messages may be doubled, dropped or slow: each prediction runs once."""

import re

import pytest
from stack import Stack

from contract.broker import Notifier, queue_name
from contract.settings import Settings
from tests.support.waiting import until

pytestmark = pytest.mark.slow
BOTH = pytest.mark.brokers("shared", "rabbitmq")


def wakeups(stack: Stack) -> list[int]:
    """The wake-ups that the ledger believes to be on their way."""
    key = stack.ledger.key("wakeups", "echo")
    return [int(wakeup) for wakeup in stack.store_client(lambda client: client.zrange(key, 0, -1))]


@BOTH
def test_every_message_doubled_runs_each_prediction_once(stack: Stack) -> None:
    settings = Settings(redis_url=stack.store.url, broker_url=stack.broker.url)
    notifier = Notifier(settings)
    workers = [stack.worker().ready() for _ in range(2)]
    ids = []
    try:
        for _ in range(30):
            ids.append(stack.submit("compute", seconds=0.02))
            notifier.send_wakeups("echo", [*wakeups(stack), *wakeups(stack), 1])
            notifier.send_wakeups("echo", list(range(1, 4)))
    finally:
        notifier.close(wait=True)
    records = stack.succeeded(ids)
    assert {p.attempt for p in records} == {1}
    assert stack.runs() == dict.fromkeys(ids, 1)
    assert all(worker.alive for worker in workers)


@BOTH
def test_every_second_message_dropped_loses_no_prediction(stack: Stack) -> None:
    ids = []
    dropped = 0
    for n in range(20):
        ids += [stack.submit(text=str(n)) for _ in range(4)]
        if n % 2:
            dropped += stack.drop_message("echo")
    assert dropped > 0
    stack.worker()
    later = [stack.submit(text=str(n)) for n in range(10)]
    stack.drop_message("echo")
    records = stack.succeeded([*ids, *later], 30)
    assert {p.attempt for p in records} == {1}
    assert stack.runs() == dict.fromkeys([*ids, *later], 1)


@BOTH
def test_without_any_message_the_keeper_sends_wakeups(stack: Stack) -> None:
    ids = [stack.submit(text=str(n)) for n in range(3)]
    until("the messages are dropped", lambda: not stack.drop_message("echo"), 5)
    stack.worker()
    stack.succeeded(ids)
    assert stack.runs() == dict.fromkeys(ids, 1)


@BOTH
def test_a_message_that_is_not_ours_harms_no_worker(stack: Stack) -> None:
    worker = stack.worker().ready()
    for body in (b"no JSON", b'{"task": 1}', b"[[], {}, {}]", b"\x80\x04N."):
        stack.put_message("echo", body)
    stack.succeeded([stack.submit()])
    assert worker.alive


@pytest.mark.brokers("rabbitmq")
def test_a_batch_longer_than_the_heartbeat_runs_once_on_one_connection(stack: Stack) -> None:
    worker = stack.worker("single", AMQP_HEARTBEAT_SECONDS=2).ready()
    other = stack.worker("single", AMQP_HEARTBEAT_SECONDS=2).ready()
    long = stack.submit("compute", "single", seconds=8)
    second = stack.submit("sleep", "single", seconds=8)
    records = stack.succeeded([long, second], 30)
    after = stack.submit(model="single")
    stack.succeeded([after])
    assert {p.attempt for p in records} == {1}
    assert stack.runs() == dict.fromkeys([long, second, after], 1)
    for one in (worker, other):
        since_ready = one.output.partition('"message":"ready"')[2].partition("\n")[2]
        assert "batch" in since_ready
        assert not re.search("connect|heartbeat", since_ready, re.IGNORECASE)


@BOTH
def test_no_message_waits_behind_a_busy_worker_while_another_is_idle(stack: Stack) -> None:
    gate = stack.gate()
    workers = [stack.worker("single").ready() for _ in range(2)]
    long = stack.submit("stubborn", "single", gate=str(gate))
    stack.running(long)
    short = [stack.submit(model="single", text=str(n)) for n in range(20)]
    stack.succeeded(short, 15)
    gate.touch()
    stack.succeeded([long])
    assert stack.runs() == dict.fromkeys([long, *short], 1)
    # The one that was busy takes messages again.
    idle = next(w for w in workers if w.pid != stack.run_lines()[0][1])
    idle.end()
    stack.succeeded([stack.submit(model="single")])


@BOTH
def test_a_full_queue_drains_through_one_worker_without_the_keeper(stack: Stack) -> None:
    stack.keeper.kill()
    ids = [stack.submit(text=str(n)) for n in range(100)]
    stack.worker()
    stack.succeeded(ids)
    assert stack.runs() == dict.fromkeys(ids, 1)
    assert queue_name("echo") == "soloist.echo"
