"""The keeper may die and come back, or be there twice: nothing is lost and nothing is done twice."""

import pytest
from stack import Stack

from tests.support.waiting import until

pytestmark = [pytest.mark.slow, pytest.mark.brokers("shared", "rabbitmq")]


def test_nothing_is_lost_while_the_keeper_is_away(stack: Stack) -> None:
    gate = stack.gate()
    stack.keeper.kill()
    ids = [stack.submit("stubborn", gate=str(gate)) for _ in range(3)]
    first = stack.worker().ready()
    stack.running(ids)
    first.kill()
    gate.touch()
    second = stack.worker().ready()
    others = [stack.submit(text=str(n)) for n in range(10)]
    stack.succeeded(others)  # what needs no keeper goes on
    expired = [stack.ledger.key("running", "echo")]
    assert stack.store_client(lambda client: client.zcard(expired[0])) == 3
    stack.heal()
    records = stack.succeeded(ids)
    assert {p.attempt for p in records} == {2}
    assert second.alive


def test_a_frozen_keeper_goes_on_where_it_was(stack: Stack) -> None:
    gate = stack.gate()
    id = stack.submit("stubborn", gate=str(gate))
    worker = stack.worker().ready()
    stack.running(id)
    stack.keeper.pause()
    worker.kill()
    gate.touch()
    stack.worker().ready()
    stack.keeper.resume()
    assert stack.succeeded([id])[0].attempt == 2


def test_two_keepers_at_once_are_harmless(stack: Stack) -> None:
    other = stack.serve("keeper", KEEPER_PORT=0)
    until("the second one sweeps", lambda: "the ledger answers" in other.output, 20)
    gate = stack.gate()
    ids = [stack.submit("stubborn", gate=str(gate)) for _ in range(8)]
    worker = stack.worker().ready()
    stack.running(ids)
    worker.kill()
    gate.touch()
    for _ in range(2):
        stack.worker()
    late = [stack.submit(text=str(n)) for n in range(40)]
    records = stack.succeeded([*ids, *late], 30)
    assert [p.attempt for p in records] == [2] * len(ids) + [1] * len(late)
    assert stack.runs() == dict.fromkeys(ids, 2) | dict.fromkeys(late, 1)
    assert other.end() == 0
