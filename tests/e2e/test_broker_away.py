"""A broker that dies, freezes or forgets delays predictions; it loses none and refuses none."""

from collections.abc import Callable

import pytest
from stack import Stack

from contract.broker import queue_name
from tests.support.waiting import until

pytestmark = [pytest.mark.slow, pytest.mark.brokers("redis", "rabbitmq")]

HEAL_SECONDS = 30.0


def ask_meanwhile(stack: Stack, number: int = 6) -> list[str]:
    """Accepted while the broker is away: each is answered before it is back, and each can be read."""
    ids = []
    for n in range(number):
        ids.append(stack.submit(text=str(n)))
        assert stack.get(ids[-1]).status_code == 200
    return ids


def freeze(stack: Stack) -> Callable[[], None]:
    stack.broker.pause()
    return stack.broker.resume


def kill(stack: Stack) -> Callable[[], None]:
    stack.broker.kill()
    return stack.broker.start


def wipe(stack: Stack) -> Callable[[], None]:
    stack.broker.kill()
    return stack.broker.wipe


@pytest.mark.parametrize("fault", [freeze, kill, wipe])
def test_what_is_accepted_while_the_broker_is_away_is_delivered_within_30_seconds_of_its_return(
    stack: Stack, fault: Callable[[Stack], Callable[[], None]]
) -> None:
    worker = stack.worker().ready()
    stack.succeeded([stack.submit()])
    said = len(stack.keeper.output)
    heal = fault(stack)
    ids = ask_meanwhile(stack)
    stack.keeper.says("the broker does not answer", said)
    ids += ask_meanwhile(stack, 2)
    heal()
    records = stack.succeeded(ids, HEAL_SECONDS)
    assert {p.attempt for p in records} == {1}
    assert stack.runs().most_common(1)[0][1] == 1
    assert worker.alive
    # And it is as before: at once, not by the keeper's next look.
    stack.succeeded([stack.submit()], 10)


@pytest.mark.brokers("redis")
def test_a_worker_looks_for_a_broker_that_is_long_away_often_enough(stack: Stack) -> None:
    worker = stack.worker(LOG_LEVEL="debug").ready()
    stack.broker.kill()
    id = stack.submit()
    worker.says('"tries":5', 0)  # Celery's own fifth pause takes 10 s, its fifteenth 30
    stack.broker.start()
    stack.succeeded([id], 10)


def test_messages_that_the_broker_forgot_are_sent_again(stack: Stack) -> None:
    ids = [stack.submit(text=str(n)) for n in range(20)]
    stack.broker.wipe()
    stack.worker()
    stack.succeeded(ids, HEAL_SECONDS)
    assert stack.runs() == dict.fromkeys(ids, 1)


def test_a_batch_that_runs_while_the_broker_is_away_is_finished_and_runs_once(
    stack: Stack,
) -> None:
    gate = stack.gate()
    worker = stack.worker().ready()
    id = stack.submit("stubborn", gate=str(gate))
    stack.running(id)
    stack.broker.kill()
    gate.touch()
    (record,) = stack.succeeded([id], 10)
    later = ask_meanwhile(stack, 2)
    stack.broker.start()
    stack.succeeded(later, HEAL_SECONDS)
    assert (record.attempt, stack.runs()[id]) == (1, 1)
    assert worker.alive


def test_a_worker_lost_while_the_broker_is_away_loses_nothing(stack: Stack) -> None:
    gate = stack.gate()
    ids = [stack.submit("stubborn", gate=str(gate)) for _ in range(3)]
    worker = stack.worker().ready()
    stack.running(ids)
    stack.broker.pause()
    worker.kill()
    gate.touch()
    until(
        "the keeper takes them back",
        lambda: {p.status.value for p in stack.records(ids)} == {"starting"},
        20,
    )
    other = stack.worker()
    until("it connects", lambda: other.phase() == "connecting", 20)
    stack.broker.resume()
    records = stack.succeeded(ids, HEAL_SECONDS)
    assert {p.attempt for p in records} == {2}


@pytest.mark.brokers("rabbitmq")
def test_a_deleted_queue_is_declared_again(stack: Stack) -> None:
    worker = stack.worker().ready()
    stack.succeeded([stack.submit()])
    with stack.amqp() as channel:
        channel.queue_delete(queue_name("echo"))
    ids = [stack.submit(text=str(n)) for n in range(3)]
    with stack.amqp() as channel:
        declared = until(
            "the gateway declares it",
            lambda: channel.queue_declare(queue_name("echo"), durable=True, auto_delete=False),
            5,
        )
    assert declared.queue == queue_name("echo")
    stack.succeeded(ids, HEAL_SECONDS)
    assert worker.alive
