"""A ledger that dies, freezes or is full: a clear refusal in time, and what was accepted is kept."""

from collections.abc import Callable, Iterator

import httpx
import pytest
from stack import Stack

from contract.prediction import Status
from tests.support.waiting import until

pytestmark = [pytest.mark.slow, pytest.mark.brokers("shared", "shared-7")]
LEDGERS = pytest.mark.brokers("shared", "shared-7", "rabbitmq")


def refused(
    ask: Callable[[], httpx.Response], code: str = "ledger_unavailable", status: int = 503
) -> httpx.Response:
    """Answered with this status while the ledger is away, and with a word about when to try again."""
    answer = ask()
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert int(answer.headers["retry-after"]) >= 1
    assert answer.headers["content-type"] == "application/problem+json"
    return answer


def freeze(stack: Stack) -> Callable[[], None]:
    stack.store.pause()
    return stack.store.resume


def kill(stack: Stack) -> Callable[[], None]:
    stack.store.kill()
    return stack.store.start


def heal(stack: Stack, how: Callable[[], None]) -> None:
    how()
    until("all are ready again", stack.ready, 20)


@LEDGERS
@pytest.mark.parametrize("fault", [freeze, kill])
def test_while_the_ledger_is_away_all_is_answered_in_time_and_nothing_refused_ever_runs(
    stack: Stack, fault: Callable[[Stack], Callable[[], None]]
) -> None:
    stack.worker().ready()
    before = stack.submit(text="before")
    stack.succeeded([before])
    how = fault(stack)
    mine = {"version": "local/echo", "input": {"text": "refused"}}
    # What was written to a frozen ledger is unknown; a connection to it never comes to that.
    unknown = ("outcome_unknown", 504) if fault is freeze else ("ledger_unavailable", 503)
    posted = refused(lambda: stack.post(text="refused"), *unknown).json().get("prediction", "none")
    refused(lambda: stack.http.put("/v1/predictions/mine", json=mine))
    refused(lambda: stack.http.post(f"/v1/predictions/{before}/cancel"))
    refused(lambda: stack.get(before))
    refused(lambda: stack.http.get("/v1/predictions"))
    assert stack.http.get("/livez").status_code == 200
    assert stack.http.get("/readyz").status_code == 503
    heal(stack, how)
    after = stack.submit(text="after")
    stack.succeeded([after])
    # The ledger was frozen for longer than it may record what was unknown, and asking for it says so.
    assert set(stack.runs()) == {before, after}
    assert [stack.get(id).status_code for id in ("mine", posted)] == [404, 404]
    listed = stack.http.get("/v1/predictions").json()["results"]
    assert {p["id"] for p in listed} == {before, after}


def test_the_first_request_that_a_gateway_refuses_never_runs_either(stack: Stack) -> None:
    stack.gateway.end()
    stack.heal()
    stack.worker().ready()
    stack.store.pause()
    refused(lambda: stack.post(text="refused"))
    heal(stack, stack.store.resume)
    after = stack.submit(text="after")
    stack.succeeded([after])
    assert set(stack.runs()) == {after}


@LEDGERS
@pytest.mark.parametrize("fault", [freeze, kill])
def test_a_worker_keeps_its_result_until_the_ledger_is_back(
    stack: Stack, fault: Callable[[Stack], Callable[[], None]]
) -> None:
    # The default lease: what is away comes back sooner.
    gate = stack.gate()
    worker = stack.worker(LEASE_SECONDS=15).ready()
    ids = [stack.submit("stubborn", gate=str(gate)) for _ in range(2)]
    stack.running(ids[0])
    how = fault(stack)
    gate.touch()
    until("it keeps its result", lambda: "outcomes are kept back" in worker.output, 15)
    heal(stack, how)
    records = stack.succeeded(ids)
    assert {p.attempt for p in records} == {1}
    assert stack.runs() == dict.fromkeys(ids, 1)
    assert worker.alive
    stack.succeeded([stack.submit()])


@LEDGERS
def test_accepted_predictions_survive_the_death_of_the_ledger(stack: Stack) -> None:
    done = stack.submit(text="done")
    first = stack.worker().ready()
    stack.succeeded([done])
    first.end()
    ids = [stack.submit(text=str(n)) for n in range(20)]
    stack.store.kill()
    heal(stack, stack.store.start)
    assert stack.get(done).json()["output"]["echo"] == "done"
    stack.worker()
    stack.succeeded(ids, 30)
    assert stack.runs() == dict.fromkeys([done, *ids], 1)


@LEDGERS
def test_a_waiting_request_gets_its_answer_over_a_restart_of_the_ledger(stack: Stack) -> None:
    gate = stack.gate()
    stack.worker(LEASE_SECONDS=15).ready()
    id = stack.submit("stubborn", gate=str(gate))
    stack.running(id)
    stack.store.kill()
    stack.store.start()
    gate.touch()
    answer = stack.http.get(f"/v1/predictions/{id}", headers={"prefer": "wait=20"}, timeout=30)
    assert answer.json()["status"] == "succeeded"


@pytest.fixture
def no_memory(stack: Stack) -> Iterator[Callable[[bool], None]]:
    """Let the ledger be at its `maxmemory`, or lift it."""

    def be(full: bool) -> None:
        def act(client) -> None:
            used = client.info("memory")["used_memory"]
            # Well below: what Redis frees of buffers meanwhile must not make room.
            client.config_set("maxmemory", used // 2 if full else 0)

        stack.store_client(act)

    yield be
    be(False)


def accepted_again(stack: Stack) -> str:
    """The id of the first that is accepted once there is room: the ledger looks anew every quarter second."""

    def post() -> str | None:
        answer = stack.post()
        assert answer.status_code in (201, 503)
        return str(answer.json()["id"]) if answer.status_code == 201 else None

    return str(until("it accepts again", post, 5))


@pytest.mark.brokers("redis", "rabbitmq")
def test_a_full_ledger_refuses_new_predictions_and_finishes_what_it_has(
    stack: Stack, no_memory: Callable[[bool], None]
) -> None:
    gate = stack.gate()
    worker = stack.worker().ready()
    running = stack.submit("stubborn", gate=str(gate))
    stack.running(running)
    waiting = [stack.submit(text=str(n)) for n in range(5)]
    no_memory(True)
    refused(lambda: stack.post(text="refused"), "ledger_full")
    assert stack.get(running).status_code == 200
    # Longer than the lease: a full ledger must not cost an attempt.
    until("leases were renewed", lambda: stack.running_seconds(running) > 4, 10)
    gate.touch()
    records = stack.succeeded([running, *waiting], 30)
    assert {p.attempt for p in records} == {1}
    assert worker.alive
    no_memory(False)
    stack.succeeded([accepted_again(stack)])


def test_a_full_redis_that_is_broker_too_refuses_and_heals(
    stack: Stack, no_memory: Callable[[bool], None]
) -> None:
    worker = stack.worker().ready()
    accepted = [stack.submit(text=str(n)) for n in range(5)]
    no_memory(True)
    refused(lambda: stack.post(text="refused"), "ledger_full")
    assert stack.get(accepted[0]).status_code == 200
    no_memory(False)
    stack.succeeded([*accepted, accepted_again(stack)], 30)
    assert worker.alive


@pytest.mark.parametrize("program", ["gateway", "keeper", "worker"])
@pytest.mark.parametrize(
    ("setting", "value", "sentence"),
    [
        ("maxmemory-policy", "allkeys-lru", "maxmemory-policy is 'allkeys-lru'"),
        ("appendonly", "no", "no append-only file"),
    ],
)
def test_a_ledger_that_would_lose_predictions_is_refused_with_one_line(
    stack: Stack, program: str, setting: str, value: str, sentence: str
) -> None:
    before = stack.store_client(lambda client: client.config_get(setting)[setting])
    stack.store_client(lambda client: client.config_set(setting, value))
    try:
        started = start(stack, program)
        assert started.code() == 78
        (line,) = [line for line in started.output.splitlines() if not line.startswith("{")]
        assert line.startswith(f"soloist {program}: ")
        assert sentence in line
        assert "SOLOIST_DURABILITY=none" in line

        bold = start(stack, program, DURABILITY="none")
        until("it starts", lambda: '"listening"' in bold.output or ready(bold), 20)
        assert bold.end() == 0
    finally:
        stack.store_client(lambda client: client.config_set(setting, before))


def start(stack: Stack, program: str, **settings: object):
    if program == "worker":
        return stack.worker(**settings)
    return stack.serve(program, PORT=0, KEEPER_PORT=0, **settings)


def ready(program) -> bool:
    return hasattr(program, "state") and program.state() == "idle"


def test_a_worker_waits_for_a_ledger_that_is_not_there_yet(stack: Stack) -> None:
    stack.store.kill()
    worker = stack.worker()
    until("it waits", lambda: "waiting for the ledger" in worker.output, 20)
    heal(stack, stack.store.start)
    stack.succeeded([stack.submit()])


def test_status_words_are_terminal_for_ever(stack: Stack) -> None:
    stack.worker().ready()
    id = stack.submit()
    (record,) = stack.succeeded([id])
    assert stack.http.post(f"/v1/predictions/{id}/cancel").json()["status"] == "succeeded"
    stack.store.kill()
    heal(stack, stack.store.start)
    assert stack.record(id) == record
    assert record.status is Status.SUCCEEDED
