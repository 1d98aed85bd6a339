"""A message is acknowledged at once: no stall, nothing held back, nothing sent again."""

import pytest
import redis
from stack import Stack

from contract.broker import queue_name
from tests.support.waiting import until

STALL_SECONDS = 0.9
"""Celery's loop may come round once a second: what waits for it takes longer."""

pytestmark = [pytest.mark.slow, pytest.mark.brokers("redis", "rabbitmq")]


def depth(stack: Stack, model: str) -> int:
    """How many messages wait in the model's queue."""
    if stack.kind == "rabbitmq":
        with stack.amqp() as channel:
            return int(channel.queue_declare(queue_name(model), passive=True).message_count)
    with redis.Redis.from_url(stack.broker.url) as client:
        return int(client.llen(f"soloist:broker:{queue_name(model)}"))


def held(stack: Stack) -> int:
    """How many messages a Redis broker keeps for workers that have not acknowledged them."""
    with redis.Redis.from_url(stack.broker.url) as client:
        return int(client.hlen("soloist:broker:unacked"))


def test_messages_one_by_one_are_taken_without_a_stall(stack: Stack) -> None:
    """With the acknowledgement parked in Celery's loop one may take seconds on RabbitMQ."""
    stack.worker("single").ready()
    stack.succeeded([stack.submit(model="single")])
    for number in range(50):
        stack.succeeded([stack.submit(model="single", text=str(number))], STALL_SECONDS)
    assert len(stack.run_lines()) == 51


def test_a_backlog_of_messages_is_taken_without_a_stall(stack: Stack) -> None:
    ids = [stack.submit(model="single", text=str(number)) for number in range(50)]
    worker = stack.worker("single").ready()
    stack.succeeded(ids, 10)
    assert {pid for _, pid, _ in stack.run_lines()} == {worker.pid}


def test_a_message_is_acknowledged_before_its_batch_is_done(stack: Stack) -> None:
    assert stack.keeper is not None
    gate = stack.gate()
    worker = stack.worker("single").ready()
    id = stack.submit("stubborn", "single", gate=str(gate))
    stack.running(id)
    stack.keeper.pause()  # else it would send another wake-up
    if stack.kind == "redis":
        assert held(stack) == 0
    worker.kill()
    gate.touch()
    # A message that was not acknowledged would be back in the queue.
    if stack.kind == "rabbitmq":
        with stack.amqp() as channel:
            name = queue_name("single")
            until(
                "the broker has seen the worker go",
                lambda: not channel.queue_declare(name, passive=True).consumer_count,
                20,
            )
    assert depth(stack, "single") == 0
    stack.keeper.resume()
    stack.worker("single")
    assert stack.succeeded([id])[0].attempt == 2


def test_a_busy_worker_holds_no_message_that_another_could_answer(stack: Stack) -> None:
    assert stack.keeper is not None
    gate = stack.gate()
    busy = stack.worker("single").ready()
    first = stack.submit("stubborn", "single", gate=str(gate))
    stack.running(first)
    stack.keeper.pause()  # else it would send another wake-up for what the busy one holds
    waiting = [stack.submit(model="single", text=str(number)) for number in range(5)]
    until("all messages are with the broker", lambda: depth(stack, "single") == 5, 10)
    other = stack.worker("single").ready()
    stack.succeeded(waiting)
    gate.touch()
    stack.succeeded([first])
    pids = {id: pid for id, pid, _ in stack.run_lines()}
    assert pids == {first: busy.pid, **dict.fromkeys(waiting, other.pid)}


@pytest.mark.brokers("rabbitmq")
@pytest.mark.parametrize("pool", ["prefork", "threads"])
def test_the_pools_that_do_not_block_celerys_loop_take_messages_without_a_stall_too(
    stack: Stack, pool: str
) -> None:
    worker = stack.worker("single", "--pool", pool, "--concurrency", "2").ready()
    stack.succeeded([stack.submit(model="single")])
    for number in range(30):
        stack.succeeded([stack.submit(model="single", text=str(number))], STALL_SECONDS)
    stack.succeeded([stack.submit("compute", "single", seconds=0.02) for _ in range(40)])
    assert worker.end() == 0
