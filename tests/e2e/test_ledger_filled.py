"""One small Redis, ledger and broker in one, filled to the brim by inputs: all that was accepted ends."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from stack import BATCH, Stack

from contract.ledger.transitions import Memory, read_memory
from contract.prediction import new_id
from tests.support.waiting import until

pytestmark = [pytest.mark.slow, pytest.mark.brokers("shared", "shared-7")]

LIMIT = 48 * 1024 * 1024
TEXT = "x" * 200_000


def put(stack: Stack, id: str) -> str:
    """What becomes of a create under an id of its own: `created`, or the code of a refusal."""
    body = {"version": "local/echo", "input": {"text": TEXT}}
    answer = stack.http.put(f"/v1/predictions/{id}", json=body)
    if answer.status_code == 201:
        return "created"
    assert answer.status_code in (503, 504), (
        answer.text
    )  # 504: a busy machine is no fault of the ledger
    assert int(answer.headers["retry-after"]) >= 1
    return str(answer.json()["code"])


def fill(stack: Stack) -> tuple[list[str], list[str]]:
    """Ids that were accepted, and ids that were refused, when 20 in a row were for want of room."""
    accepted: list[str] = []
    refused: list[str] = []
    with ThreadPoolExecutor(4) as threads:
        for _ in range(100):
            ids = [new_id() for _ in range(20)]
            found = dict(zip(ids, threads.map(lambda id: put(stack, id), ids), strict=True))
            accepted += [id for id, what in found.items() if what == "created"]
            refused += [id for id, what in found.items() if what == "ledger_full"]
            if set(found.values()) == {"ledger_full"}:
                return accepted, refused
    raise AssertionError("the ledger refuses nothing")


def look(stack: Stack) -> Memory:
    return stack.ask(read_memory())


def test_what_was_accepted_ends_nothing_refused_runs_and_there_is_room_again_afterwards(
    stack: Stack,
) -> None:
    stack.store_client(lambda client: client.config_set("maxmemory", LIMIT))
    accepted, refused = fill(stack)
    assert len(accepted) > 2 * BATCH
    assert look(stack).used < LIMIT - len(accepted) * len(TEXT)

    for _ in range(2):
        stack.worker(LEASE_SECONDS=15)
    records = stack.succeeded(accepted, 60)
    assert {p.attempt for p in records} == {1}
    assert all(len(p.output or "") > len(TEXT) for p in records)
    assert set(accepted) <= set(stack.runs())
    assert not set(refused) & set(stack.runs())
    assert look(stack).used < LIMIT

    # Full of what is over, it refuses; and the same request is accepted when there is room.
    assert put(stack, refused[0]) == "ledger_full"
    for id in accepted[:10]:
        assert stack.http.delete(f"/v1/predictions/{id}").status_code == 200
    until("there is room again", lambda: put(stack, refused[0]) == "created", 5)
    stack.succeeded([refused[0]])
    assert not set(stack.runs()) & set(refused[1:])
