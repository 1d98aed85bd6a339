"""The same task in each of Celery's pools, on real processes."""

import importlib.util
import json
import os
import signal
import time

import pytest

from tests.support.waiting import until
from tests.worker.processes import WorkerProcesses, imports, parent

pytestmark = pytest.mark.slow

GREEN = [
    pytest.param(
        pool,
        marks=pytest.mark.skipif(
            importlib.util.find_spec(pool) is None, reason=f"{pool} is not installed"
        ),
    )
    for pool in ("gevent", "eventlet")
]


def in_pool(pool: str) -> tuple[str, ...]:
    return ("--pool", pool, "--concurrency", "1" if pool == "solo" else "2")


@pytest.mark.parametrize("pool", ["solo", "prefork", "threads", *GREEN])
def test_the_same_task_answers_in_each_pool(serving: WorkerProcesses, pool: str) -> None:
    early = [serving.submit(n=n) for n in range(3)]
    worker = serving.worker("Here", *in_pool(pool)).ready()
    late = [serving.submit(n=n) for n in range(3, 20)]
    answers = serving.answers(early + late)
    assert [answer["n"] for answer in answers] == list(range(20))
    processes = {answer["pid"] for answer in answers}
    if pool == "prefork":
        assert {parent(pid) for pid in processes} == {worker.pid}
        assert len(serving.loaded_by()) == 2
    else:
        assert processes == {worker.pid}
        assert serving.loaded_by() == [worker.pid]
    until("nobody is busy", lambda: serving.members("busy") == [])
    assert worker.end() == 0
    lines = [json.loads(line) for line in worker.output.splitlines() if line.startswith("{")]
    assert [line["succeeded"] for line in lines if line["message"] == "batch"] == [1] * 20


@pytest.mark.parametrize("pool", ["prefork", "threads", *GREEN])
def test_two_batches_run_at_once_in_the_pools_that_can(serving: WorkerProcesses, pool: str) -> None:
    worker = serving.worker("Here", *in_pool(pool)).ready()
    ids = [serving.submit(n=n, seconds=1.5) for n in range(2)]
    until("two predictions run", lambda: len(serving.members("running")) == 2)
    # In the pool of processes each child is a worker of its own to the ledger, so that one that
    # is done does not make the other look idle.
    assert len(serving.members("busy")) == (2 if pool == "prefork" else 1)
    where = {(a["pid"], a["thread"]) for a in serving.answers(ids)}
    assert len(where) == 2
    assert worker.end() == 0


def test_prefork_children_load_after_the_fork_and_torch_does_not_hang(
    serving: WorkerProcesses,
) -> None:
    worker = serving.worker("Torch", *in_pool("prefork")).ready()
    children = serving.loaded_by()
    assert len(set(children)) == 2
    assert worker.pid not in children
    # A torch that was used before a fork hangs after it, so the parent must not have it at all.
    assert not imports(worker.pid, "libtorch")
    answers = serving.answers([serving.submit(n=n, seconds=0.05) for n in range(8)])
    assert {answer["pid"] for answer in answers} == set(children)
    assert {answer["sum"] for answer in answers} == {512.0}
    assert worker.end() == 0


def test_torch_runs_in_threads_too(serving: WorkerProcesses) -> None:
    worker = serving.worker("Torch", *in_pool("threads")).ready()
    answers = serving.answers([serving.submit(n=n, seconds=0.05) for n in range(8)])
    assert {answer["sum"] for answer in answers} == {512.0}
    assert worker.end() == 0


def test_prefork_is_ready_only_when_every_child_has_loaded(serving: WorkerProcesses) -> None:
    """Celery says ready before its children are."""
    worker = serving.worker("Here", *in_pool("prefork"), options={"load_seconds": 2})
    id = serving.submit(n=1)
    until("two have loaded the model", lambda: len(serving.loaded_by()) == 2, 20)
    began = time.monotonic()
    assert worker.state() == "loading"
    worker.ready()
    assert time.monotonic() - began > 1
    serving.answers([id])
    assert worker.end() == 0


@pytest.mark.parametrize("away", [False, True], ids=["their model", "the ledger"])
def test_prefork_children_that_wait_for_something_hold_up_no_end(
    serving: WorkerProcesses, away: bool
) -> None:
    where = {"REDIS_URL": "redis://127.0.0.1:1/0"} if away else {}
    options = {"load_seconds": 0 if away else 80}
    worker = serving.worker(
        "Here", *in_pool("prefork"), options=options, GRACE_SECONDS=600, **where
    )
    until("two have loaded the model", lambda: len(serving.loaded_by()) == 2, 20)
    until("it is connecting", lambda: worker.phase() == "connecting", 20)
    assert worker.end() == 0


@pytest.mark.parametrize("how", ["fail", "odd"])
def test_a_prefork_child_that_cannot_load_ends_the_whole_worker_with_78(
    serving: WorkerProcesses, how: str
) -> None:
    id = serving.submit(n=1)
    worker = serving.worker("Here", *in_pool("prefork"), options={"load": how})
    assert worker.code() == 78
    (line,) = [line for line in worker.output.splitlines() if not line.startswith("{")]
    assert line.startswith("soloist worker: ")
    if how == "fail":
        assert "no file named model.safetensors" in line
    assert serving.members("queued") == [id]


def test_a_killed_prefork_child_is_replaced_by_one_that_may_load_for_long(
    serving: WorkerProcesses,
) -> None:
    """By default Celery kills a new child that needs more than 4 s, again and again."""
    worker = serving.worker("Here", *in_pool("prefork"), options={"load_seconds": 5}).ready()
    victim, other = serving.loaded_by()
    os.kill(victim, signal.SIGKILL)
    until("the end of the child is logged", lambda: f"pid:{victim} exited" in worker.output, 20)
    assert all(line.startswith("{") for line in worker.output.splitlines())
    until("a third has loaded the model", lambda: len(serving.loaded_by()) == 3, 20)
    fresh = serving.loaded_by()[2]

    def who() -> set[int]:
        ids = [serving.submit(n=n, seconds=0.2) for n in range(2)]
        return {answer["pid"] for answer in serving.answers(ids)}

    until("the new child answers", lambda: fresh in who(), 20)
    assert serving.loaded_by() == [victim, other, fresh]
    assert worker.end() == 0


@pytest.mark.parametrize("pool", ["solo", "prefork", "threads", *GREEN])
def test_sigterm_lets_a_batch_finish_in_each_pool(serving: WorkerProcesses, pool: str) -> None:
    worker = serving.worker("Here", *in_pool(pool)).ready()
    id = serving.submit(n=1, seconds=2)
    until("the prediction runs", lambda: serving.members("running") == [id])
    worker.ask_to_end()
    assert worker.code() == 0
    assert serving.answers([id], 1)[0]["n"] == 1
    assert serving.members("busy") == []
