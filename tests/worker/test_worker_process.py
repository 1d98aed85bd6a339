"""A worker as it is started: its order of steps, its signals, its platform."""

import signal
from pathlib import Path

import pytest

from tests.support.waiting import until
from tests.worker.processes import WorkerProcesses, parent

pytestmark = pytest.mark.slow

NOWHERE = "amqp://guest:guest@127.0.0.1:1//"


def test_the_model_is_loaded_before_the_broker_is_asked_for_anything(
    serving: WorkerProcesses,
) -> None:
    worker = serving.worker("Here", BROKER_URL=NOWHERE)
    until("the model is loaded", lambda: serving.loaded_by() == [worker.pid], 20)
    until("it is connecting", lambda: '"phase":"connecting"' in worker.page("/readyz"), 20)
    assert worker.state() == "loading"
    assert worker.end() == 0


def test_probes_answer_while_a_batch_computes(serving: WorkerProcesses) -> None:
    worker = serving.worker("Here").ready()
    id = serving.submit(n=1, seconds=3)
    until("it is busy", lambda: worker.state() == "busy")
    assert worker.page("/livez") == '{"alive":true}'
    assert "soloist_worker_busy 1.0" in worker.page("/metrics")
    assert serving.members("running") == [id]
    serving.answers([id])
    until("it is idle", lambda: worker.state() == "idle")


@pytest.mark.parametrize("remapped", ["SIGQUIT", "SIGTERM"])
def test_what_celery_would_make_of_sigterm_changes_nothing(
    serving: WorkerProcesses, monkeypatch: pytest.MonkeyPatch, remapped: str
) -> None:
    """Celery's own handlers would fail the batch, acknowledge it, and end."""
    monkeypatch.setenv("REMAP_SIGTERM", remapped)
    worker = serving.worker("Here").ready()
    id = serving.submit(n=1, seconds=1.5)
    until("the prediction runs", lambda: serving.members("running") == [id])
    worker.ask_to_end()
    assert worker.code() == 0
    assert serving.answers([id], 1)[0]["pid"] == worker.pid


@pytest.mark.parametrize(
    ("pool", "takes"),
    [("solo", "1 1 celery.concurrency.solo"), ("threads", "3 3 celery.concurrency.thread")],
)
def test_what_a_worker_takes_does_not_depend_on_the_cores(
    serving: WorkerProcesses, pool: str, takes: str
) -> None:
    concurrency = takes.split()[0]
    more = () if pool == "solo" else ("--pool", pool, "--concurrency", concurrency)
    worker = serving.worker("Here", *more, program="tests.worker.with_64_cores")
    assert worker.code() == 0
    assert f"takes {takes}\n" in worker.output


def test_a_worker_serves_where_there_is_no_fork_and_no_epoll(serving: WorkerProcesses) -> None:
    worker = serving.worker("Here", program="tests.worker.as_on_windows").ready()
    answers = serving.answers([serving.submit(n=n) for n in range(5)])
    assert [answer["n"] for answer in answers] == list(range(5))
    last = serving.submit(n=5, seconds=1)
    until("the last prediction runs", lambda: serving.members("running") == [last])
    assert worker.end() == 0
    serving.answers([last], 1)


def test_a_worker_leaves_no_process_behind(serving: WorkerProcesses) -> None:
    worker = serving.worker("Here", "--pool", "prefork", "--concurrency", "2").ready()
    children = serving.loaded_by()
    assert [parent(pid) for pid in children] == [worker.pid] * 2
    # Its children must not live on as workers that nobody sees. Only the parent is killed.
    worker.kill_alone()
    until("no child is left", lambda: not any(Path(f"/proc/{pid}").exists() for pid in children))


def test_sigint_ends_like_sigterm(serving: WorkerProcesses) -> None:
    worker = serving.worker("Here").ready()
    id = serving.submit(n=1, seconds=1)
    until("the prediction runs", lambda: serving.members("running") == [id])
    worker.signal(signal.SIGINT)
    assert worker.code() == 0
    serving.answers([id], 1)
