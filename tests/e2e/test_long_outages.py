"""Minutes without a ledger, as when a node is gone: a minute for real, and all that may happen in one meanwhile."""

import json
import time
from pathlib import Path

import pytest
from stack import LIMIT_SECONDS, Stack, Worker

from contract.ledger.client import Ledger
from contract.prediction import Status
from contract.settings import Settings
from local.processes import free_port
from local.redis import EmbeddedRedis
from tests.support.tcp_forwarder import TcpForwarder
from tests.support.waiting import until

pytestmark = pytest.mark.slow

DEFAULTS = {"LEASE_SECONDS": 15, "RENEW_SECONDS": 1}
WORK_SECONDS = 10
MINUTE = 60.0
OUTAGE_SECONDS = 9.0
"""Three of the leases of the stack."""


def pass_by(seconds: float, *alive: Worker, busy: Worker | None = None) -> None:
    """Let so much time pass; these live meanwhile, and one of them is busy and ready."""
    deadline = time.monotonic() + seconds

    def over() -> bool:
        for worker in alive:
            assert worker.alive, worker.tail()
            assert worker.probe("/livez") == {"alive": True}
        assert busy is None or busy.state() == "busy"
        return time.monotonic() > deadline

    until("the outage is long enough", over, seconds + 10)


def line_of(worker: Worker, message: str) -> dict[str, object]:
    """The one line of its log with this message."""
    (line,) = [row for row in worker.output.splitlines() if f'"message":"{message}"' in row]
    return dict(json.loads(line))


def test_a_minute_without_a_ledger_costs_no_second_run(stack: Stack) -> None:
    """10 s of work, begun before; a batch that is done as the ledger goes; and a queue behind both."""
    gate = stack.gate()
    workers = [stack.worker(**DEFAULTS).ready() for _ in range(2)]
    brief = stack.worker("brief", **DEFAULTS).ready()
    working = stack.submit("sleep", seconds=WORK_SECONDS)
    done = stack.submit("stubborn", "brief", gate=str(gate))
    stack.running([working, done])
    busy = next(one for one in workers if one.called == stack.record(working).worker)
    behind = [stack.submit("sleep", "brief", seconds=0.1) for _ in range(20)]
    said = {one: len(one.output) for one in (stack.gateway, stack.keeper)}
    stack.store.kill()
    gate.touch()
    until("it keeps its outcome", lambda: "outcomes are kept back" in brief.output, 15)
    pass_by(MINUTE, *workers, brief, busy=busy)
    stack.store.start()
    records = stack.succeeded([working, done, *behind])
    assert {p.attempt for p in records} == {1}
    assert stack.runs() == dict.fromkeys([working, done, *behind], 1)
    for worker in (*workers, brief):
        assert worker.output.count("leases were not renewed") <= 1, "one line, not one a second"
    assert "leases taken back" not in stack.keeper.output[said[stack.keeper] :]
    assert stack.gateway.output[said[stack.gateway] :].count("answers are cut off") == 1
    stack.succeeded([stack.submit(), stack.submit("sleep", "brief", seconds=LIMIT_SECONDS / 2)])


def test_what_is_streamed_in_an_outage_is_heard_once_and_whole(stack: Stack) -> None:
    before, after = stack.gate(), stack.gate()
    worker = stack.worker().ready()
    pieces = [f"piece {number}, " for number in range(50)]
    given = {"pieces": pieces, "hold_at": 10}
    streams = [stack.submit("stream", gate=str(gate), **given) for gate in (before, after)]
    stack.running(streams[:1])
    until("it streams", lambda: stack.streamed(streams[0]) == "".join(pieces[:10]), 10)
    stack.store.kill()
    before.touch()  # the rest of the first is said while nobody hears it
    pass_by(OUTAGE_SECONDS, worker)
    stack.store.start()
    after.touch()
    records = stack.succeeded(streams)
    assert {p.attempt for p in records} == {1}
    for id in streams:
        with stack.http.stream("GET", f"/v1/predictions/{id}/stream") as answer:
            events = [event.splitlines() for event in answer.read().decode().split("\n\n")]
        said = [rows[-1].removeprefix("data: ") for rows in events if "event: output" in rows]
        assert "".join(said) == "".join(pieces)
        assert ["event: error"] not in [rows[:1] for rows in events]


def test_what_was_canceled_before_an_outage_stays_so_and_its_worker_goes_on(stack: Stack) -> None:
    gate = stack.gate()
    worker = stack.worker("single").ready()
    id = stack.submit("stubborn", "single", gate=str(gate))
    stack.running(id)
    behind = stack.submit(model="single")
    assert stack.http.post(f"/v1/predictions/{id}/cancel").status_code == 200
    stack.store.kill()
    gate.touch()
    pass_by(OUTAGE_SECONDS, worker)
    stack.store.start()
    stack.succeeded([behind])
    record = stack.record(id)
    assert (record.status, record.output) == (Status.CANCELED, None)
    assert stack.runs() == {id: 1, behind: 1}


def test_a_keeper_that_starts_in_an_outage_takes_nothing_back_after_it(stack: Stack) -> None:
    gate = stack.gate()
    worker = stack.worker("limited").ready()
    stack.worker("limited").ready()  # would take at once what is given back
    id = stack.submit("stubborn", "limited", gate=str(gate))
    stack.running(id)
    stack.store.kill()
    stack.keeper.kill()
    gate.touch()
    stack.keeper = stack.serve("keeper")
    stack.keeper.says("waiting for the ledger", 0)
    pass_by(OUTAGE_SECONDS, worker)
    stack.store.start()
    assert stack.succeeded([id])[0].attempt == 1
    assert stack.runs() == {id: 1}


def test_a_ledger_that_comes_back_without_its_leases_still_takes_what_was_computed(
    stack: Stack,
) -> None:
    gate = stack.gate()
    worker = stack.worker().ready()
    ids = [stack.submit("stubborn", gate=str(gate)) for _ in range(2)]
    stack.running(ids[0])
    stack.store.kill()
    pass_by(OUTAGE_SECONDS, worker)
    stack.store.start()
    keys = [stack.ledger.key(kind, "echo") for kind in ("running", "busy", "claimed", "heard")]
    stack.store_client(lambda client: client.delete(*keys, stack.ledger.key("limits")))
    gate.touch()
    assert {p.attempt for p in stack.succeeded(ids)} == {1}
    assert stack.runs() == dict.fromkeys(ids, 1)


def test_outcomes_that_are_large_are_kept_too_and_nothing_is_claimed_beside_them(
    stack: Stack,
) -> None:
    gate, size = stack.gate(), 1_000_000
    worker = stack.worker().ready()
    blocked = stack.submit("stubborn", gate=str(gate))
    stack.running(blocked)
    ids = [stack.submit("fill", bytes=size) for _ in range(16)]
    gate.touch()
    until("they run", lambda: set(ids) & set(stack.runs()), 20)
    stack.store.kill()
    pass_by(OUTAGE_SECONDS, worker)
    stack.store.start()
    records = stack.succeeded([blocked, *ids])
    assert {len(p.output or "") for p in records[1:]} == {size + 2}
    assert stack.runs() == dict.fromkeys([blocked, *ids], 1)


def test_what_still_computes_when_the_grace_ends_in_an_outage_is_named_and_not_lost(
    stack: Stack,
) -> None:
    gate = stack.gate()
    worker = stack.worker(GRACE_SECONDS=3).ready()
    ids = [stack.submit("stubborn", gate=str(gate)) for _ in range(2)]
    stack.running(ids)
    stack.store.kill()
    worker.ask_to_end()
    assert worker.code() == 0
    named = line_of(worker, "not handed back")
    assert (set(named["predictions"]), named["reason"]) == (set(ids), "drain")
    stack.store.start()
    gate.touch()
    stack.worker()
    assert {p.attempt for p in stack.succeeded(ids, 40)} == {2}
    assert stack.runs() == dict.fromkeys(ids, 2)


def test_a_grace_that_is_shorter_than_the_outage_is_used_whole(stack: Stack) -> None:
    gate, grace = stack.gate(), 6
    worker = stack.worker("limited", GRACE_SECONDS=grace).ready()
    id = stack.submit("stubborn", "limited", gate=str(gate))
    stack.running(id)
    stack.store.kill()
    gate.touch()
    until("it keeps its outcome", lambda: "outcomes are kept back" in worker.output, 15)
    worker.ask_to_end()
    told = time.monotonic()
    pass_by(grace - 1.5, worker)
    assert worker.code() == 0
    assert time.monotonic() - told > grace - 1, "it tried to write until its grace was over"
    assert line_of(worker, "outcomes are given up")["predictions"] == [id]
    stack.store.start()
    stack.worker("limited")
    (record,) = stack.succeeded([id], 40)
    assert (record.attempt, stack.runs()) == (2, {id: 2})


def test_a_ledger_that_comes_back_at_another_address_gets_what_was_kept(tmp_path: Path) -> None:
    """As a StatefulSet's pod does on another node: the name stays, the data too, the address does not."""
    stack = Stack(tmp_path / "stack", "shared")
    stack.store.start()
    with TcpForwarder(stack.store.port) as name:
        url = f"redis://127.0.0.1:{name.port}/0"
        stack.env |= {"SOLOIST_REDIS_URL": url, "SOLOIST_BROKER_URL": url}
        with stack:
            gate = stack.gate()
            workers = [stack.worker("limited").ready() for _ in range(2)]
            id = stack.submit("stubborn", "limited", gate=str(gate))
            stack.running(id)
            behind = [stack.submit(model="limited") for _ in range(5)]
            stack.store.kill()
            name.target = free_port()  # nobody
            gate.touch()
            pass_by(OUTAGE_SECONDS, *workers)
            stack.store = EmbeddedRedis(stack.store.folder)
            stack.store.start()
            stack.ledger.close()
            stack.ledger = Ledger(Settings(redis_url=stack.store.url))
            name.target = stack.store.port
            records = stack.succeeded([id, *behind])
            assert {p.attempt for p in records} == {1}
            assert stack.runs()[id] == 1
