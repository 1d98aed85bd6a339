"""How a worker ends: told to, refused, broken; and what its exit code says of it."""

import time

import pytest
from stack import Stack

from contract.prediction import Status
from tests.support.waiting import until

pytestmark = pytest.mark.slow
BOTH = pytest.mark.brokers("shared", "rabbitmq")


@BOTH
def test_sigterm_lets_a_worker_finish_its_batch_and_take_no_more(stack: Stack) -> None:
    gate = stack.gate()
    worker = stack.worker("single").ready()
    first = stack.submit("stubborn", "single", gate=str(gate))
    stack.running(first)
    later = [stack.submit(model="single", text=str(n)) for n in range(5)]
    worker.ask_to_end()
    until("it was told", lambda: "draining" in worker.output, 10)
    gate.touch()
    assert worker.code() == 0
    assert stack.record(first).status is Status.SUCCEEDED
    assert stack.runs() == {first: 1}
    assert {p.attempt for p in stack.records(later)} == {0}
    stack.worker("single")
    records = stack.succeeded(later)
    assert {p.attempt for p in records} == {1}


@BOTH
def test_sigterm_under_load_loses_and_repeats_nothing(stack: Stack) -> None:
    workers = [stack.worker().ready()]
    ids = []
    for number in range(150):
        ids.append(stack.submit("compute", seconds=0.01))
        if number % 40 == 20:
            workers.append(stack.worker().ready())
            workers.pop(0).ask_to_end()
    records = stack.succeeded(ids, 40)
    assert {p.attempt for p in records} == {1}
    assert stack.runs() == dict.fromkeys(ids, 1)
    assert [worker.end() for worker in workers] == [0]
    ended = [p for p in stack.programs if p.name.startswith("worker")]
    assert [worker.code() for worker in ended] == [0] * len(ended)


@BOTH
def test_an_idle_worker_ends_at_once_on_sigterm(stack: Stack) -> None:
    worker = stack.worker().ready()
    assert worker.end(5) == 0, "it does not wait for its loop, which may poll for 10 s"


@pytest.mark.brokers("redis", "rabbitmq")
def test_sigterm_ends_a_worker_that_cannot_reach_its_broker(stack: Stack) -> None:
    stack.broker.pause()
    worker = stack.worker()
    until("it connects", lambda: worker.phase() == "connecting", 20)
    assert worker.end(10) == 0


@pytest.mark.parametrize("from_start", [True, False])
def test_sigterm_before_the_model_is_loaded_ends_a_worker_at_once(
    stack: Stack, from_start: bool
) -> None:
    id = stack.submit(model="loading")
    loading = stack.folder / "loading"
    loading.unlink(missing_ok=True)
    worker = stack.worker("loading")
    if from_start:
        until("Python listens", lambda: worker.listens_to_sigterm, 10)
    else:
        until("it loads", loading.exists, 20)
        assert worker.state() == "loading"
    assert worker.end(5) == 0
    assert stack.record(id).attempt == 0
    assert "Traceback" not in worker.output


@BOTH
def test_what_the_grace_is_too_short_for_is_handed_back_at_once(stack: Stack) -> None:
    gate = stack.gate()
    ids = [stack.submit("stubborn", gate=str(gate)) for _ in range(3)]
    # A lease that is no help: only handing back can be this fast.
    worker = stack.worker(GRACE_SECONDS=1, LEASE_SECONDS=60).ready()
    stack.running(ids)
    other = stack.worker("echo").ready()
    told = time.monotonic()
    assert worker.end(5) == 0
    assert time.monotonic() - told > 0.9
    until("another runs them", lambda: set(stack.runs().values()) == {2}, 5)
    gate.touch()
    records = stack.succeeded(ids)
    assert {(p.attempt, p.worker) for p in records} == {(2, other.called)}


@BOTH
def test_handed_back_predictions_wait_when_no_other_worker_is_there(stack: Stack) -> None:
    gate = stack.gate()
    id = stack.submit("stubborn", gate=str(gate))
    worker = stack.worker(GRACE_SECONDS=0.5, LEASE_SECONDS=60).ready()
    stack.running(id)
    assert worker.end() == 0
    assert stack.record(id).status is Status.STARTING
    gate.touch()
    stack.worker()
    assert stack.succeeded([id])[0].attempt == 2


def test_ordinary_rollouts_do_not_bury_a_long_prediction(stack: Stack) -> None:
    gate = stack.gate()
    id = stack.submit("stubborn", gate=str(gate))
    for rollout in range(4):
        worker = stack.worker(GRACE_SECONDS=0.2, LEASE_SECONDS=60).ready()
        until("it runs", lambda n=rollout: stack.runs()[id] == n + 1, 20)
        assert worker.end() == 0
        assert stack.record(id).status is Status.STARTING
    gate.touch()
    stack.worker()
    assert stack.succeeded([id])[0].attempt == 5
    counts = stack.store_client(lambda c: c.hgetall(stack.ledger.key("counts", "echo")))
    assert counts[b"handed_back:drain"] == b"4"
    assert stack.dead() == []


@pytest.mark.parametrize("pool", ["threads", "gevent"])
def test_all_batches_under_way_are_handed_back_when_the_grace_is_over(
    stack: Stack, pool: str
) -> None:
    pytest.importorskip(pool if pool == "gevent" else "threading")
    gate = stack.gate()
    ids = [stack.submit("wait", "single", gate=str(gate)) for _ in range(2)]
    more = ("--pool", pool, "--concurrency", "2")
    worker = stack.worker("single", *more, GRACE_SECONDS=1, LEASE_SECONDS=60).ready()
    stack.running(ids)
    assert worker.end(10) == 0
    assert {p.status for p in stack.records(ids)} == {Status.STARTING}
    gate.touch()
    stack.worker("single")
    assert {p.attempt for p in stack.succeeded(ids)} == {2}


@pytest.mark.parametrize(
    ("model", "sentence"),
    [
        ("missing", "has no attribute 'Nobody'"),
        ("unloadable", "no file named model.safetensors"),
        ("unknown", "the catalog has no model 'unknown'"),
    ],
)
def test_a_model_that_cannot_be_served_ends_its_worker_with_78_and_one_line(
    stack: Stack, model: str, sentence: str
) -> None:
    id = stack.submit(model=model) if model != "unknown" else None
    worker = stack.worker(model)
    assert worker.code() == 78
    (line,) = [line for line in worker.output.splitlines() if not line.startswith("{")]
    assert line.startswith("soloist worker: ")
    assert sentence in line
    assert "Traceback" not in worker.output
    if id:
        record = stack.record(id)
        assert (record.status, record.attempt) == (Status.STARTING, 0)


def test_a_wrong_setting_ends_a_worker_with_78_and_one_line(stack: Stack) -> None:
    worker = stack.worker(LEASE_SECONDS="soon")
    assert worker.code() == 78
    assert worker.output.startswith("soloist worker: SOLOIST_LEASE_SECONDS: ")
    assert worker.output.count("\n") == 1


def test_a_worker_whose_port_is_taken_ends_with_78_and_one_line(stack: Stack) -> None:
    worker = stack.worker(WORKER_PORT=stack.port)
    assert worker.code() == 78
    (line,) = [line for line in worker.output.splitlines() if not line.startswith("{")]
    assert str(stack.port) in line
