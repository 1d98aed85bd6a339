"""One small Redis, ledger and broker in one, filled to the brim by inputs: all that was accepted ends."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from stack import BATCH, Stack, wait_for

from contract.prediction import new_id
from contract.transitions import Memory, memory

pytestmark = [pytest.mark.slow, pytest.mark.brokers("shared", "shared-7")]

LIMIT = 48 * 1024 * 1024
TEXT = "x" * 200_000


def put(stack: Stack, id: str) -> int:
    """The status of a create under an id of its own; a refusal says when to come again."""
    body = {"version": "local/echo", "input": {"text": TEXT}}
    answer = stack.http.put(f"/v1/predictions/{id}", json=body)
    if answer.status_code != 201:
        assert (answer.status_code, answer.json()["code"]) == (503, "ledger_full")
        assert int(answer.headers["retry-after"]) >= 1
    return answer.status_code


def fill(stack: Stack) -> tuple[list[str], list[str]]:
    """Ids that were accepted, and ids that were refused, when 20 in a row were."""
    accepted: list[str] = []
    refused: list[str] = []
    with ThreadPoolExecutor(4) as threads:
        for _ in range(100):
            ids = [new_id() for _ in range(20)]
            statuses = dict(zip(ids, threads.map(lambda id: put(stack, id), ids), strict=True))
            accepted += [id for id, status in statuses.items() if status == 201]
            refused += [id for id, status in statuses.items() if status != 201]
            if 201 not in statuses.values():
                return accepted, refused
    raise AssertionError("the ledger refuses nothing")


def look(stack: Stack) -> Memory:
    return stack.ask(memory())


def test_what_was_accepted_ends_nothing_refused_runs_and_there_is_room_again_afterwards(
    stack: Stack,
) -> None:
    stack.store_client(lambda client: client.config_set("maxmemory", LIMIT))
    accepted, refused = fill(stack)
    assert len(accepted) > 2 * BATCH
    assert look(stack).used < LIMIT - len(accepted) * len(TEXT)

    for _ in range(2):
        stack.worker()
    records = stack.succeeded(accepted, 60)
    assert {p.attempt for p in records} == {1}
    assert all(len(p.output or "") > len(TEXT) for p in records)
    assert stack.runs() == dict.fromkeys(accepted, 1)
    assert look(stack).used < LIMIT

    # Full of what is over, it refuses; and the same request is accepted when there is room.
    assert put(stack, refused[0]) == 503
    for id in accepted[:10]:
        assert stack.http.delete(f"/v1/predictions/{id}").status_code == 200
    wait_for("there is room again", lambda: put(stack, refused[0]) == 201, 5)
    stack.succeeded([refused[0]])
    assert not set(stack.runs()) & set(refused[1:])
