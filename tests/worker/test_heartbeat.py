"""A worker announces itself while it starts, serves and drains."""

import os
import signal
from threading import Event, Timer
from typing import NoReturn

import pytest

from contract import __version__
from contract.errors import LedgerUnavailable, ModelUnloadable
from contract.ledger.client import Ledger
from contract.ledger.transitions import ModelSnapshot, note_start_failure, read_models
from contract.ledger.workers import Worker
from contract.settings import Settings
from tests.support.waiting import until
from tests.worker.processes import WorkerProcesses
from worker import heartbeat as module
from worker.device import Device
from worker.health import Health
from worker.heartbeat import Heartbeat

GPU = Device("cuda:0", "GPU-1", "NVIDIA H200")
VERSION = "5f" * 32


def workers(ledger: Ledger) -> list[Worker]:
    return ledger.run(read_models(["m"]))["m"].workers


def words(ledger: Ledger) -> list[tuple[str, str]]:
    return [(worker.state, worker.phase) for worker in workers(ledger)]


def test_each_phase_is_announced_at_once_and_the_end_takes_it_back(
    settings: Settings, ledger: Ledger
) -> None:
    health = Health()
    heartbeat = Heartbeat(settings, "m", VERSION, GPU, health)
    heartbeat.start("w1")
    until("the ledger knows that it starts", lambda: words(ledger) == [("starting", "starting")])
    health.enter_phase("loading")
    until("the ledger knows that it loads", lambda: words(ledger) == [("starting", "loading")], 2)
    health.enter_phase("ready")
    until("the ledger knows that it is ready", lambda: words(ledger) == [("ready", "")], 2)
    (worker,) = workers(ledger)
    assert (worker.name, worker.version, worker.model_version) == ("w1", __version__, VERSION)
    assert (worker.device, worker.gpu_name, worker.gpu_uuid) == ("cuda:0", "NVIDIA H200", "GPU-1")
    heartbeat.stop()
    assert workers(ledger) == []


def test_it_goes_on_after_an_error_that_nobody_expected(
    settings: Settings, ledger: Ledger, caplog: pytest.LogCaptureFixture
) -> None:
    health = Health()
    heartbeat = Heartbeat(settings, "m", VERSION, GPU, health)
    del health.phase
    heartbeat.start("w1")
    until("the error is logged", lambda: "AttributeError" in caplog.text)
    health.phase = "loading"
    until("the ledger knows that it loads", lambda: words(ledger) == [("starting", "loading")])
    heartbeat.stop()


def test_it_is_repeated_before_it_runs_out(settings: Settings, ledger: Ledger) -> None:
    short = settings.model_copy(update={"lease_seconds": 1.0, "renew_seconds": 0.05})
    heartbeat = Heartbeat(short, "m", VERSION, GPU, Health())
    heartbeat.start("w1")
    until("the ledger knows a worker", lambda: workers(ledger))
    ledger.redis.delete(ledger.key("workers", "m"))
    until("the ledger knows a worker", lambda: workers(ledger))
    heartbeat.stop()


def test_a_worker_that_is_told_to_end_says_that_it_drains(
    settings: Settings, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "draining", lambda: True)
    heartbeat = Heartbeat(settings, "m", VERSION, GPU, Health(phase="ready"))
    heartbeat.start("w1")
    until("the ledger knows that it drains", lambda: words(ledger) == [("draining", "")])
    heartbeat.stop()


def refuse(*_: object) -> NoReturn:
    raise LedgerUnavailable


class Counted(Event):
    """An event that notes how long it was waited for, and is set at once a few times."""

    def __init__(self) -> None:
        super().__init__()
        self.pauses: list[float | None] = []

    def wait(self, timeout: float | None = None) -> bool:
        self.pauses.append(timeout)
        return super().wait(0 if len(self.pauses) < 5 else timeout)


@pytest.mark.parametrize("away", [False, True])
def test_it_is_said_again_before_a_third_of_a_lease_is_over_and_soon_where_nobody_took_it(
    settings: Settings, ledger: Ledger, monkeypatch: pytest.MonkeyPatch, away: bool
) -> None:
    if away:
        monkeypatch.setattr(Ledger, "run", refuse)
    heartbeat = Heartbeat(settings, "m", VERSION, GPU, Health())
    heartbeat._changed = changed = Counted()
    heartbeat.start("w1")
    until("it has paused five times", lambda: len(changed.pauses) >= 5)
    heartbeat.stop()
    third = settings.lease_seconds / 3
    assert {0.8 * third < (pause or 0) < third for pause in changed.pauses} == {not away}
    assert {pause == settings.renew_seconds for pause in changed.pauses} == {away}


def test_a_ledger_that_is_away_is_no_news_and_ends_nothing(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    asked: list[str] = []

    class Away(Ledger):
        def run(self, transition):
            asked.append(transition.script)
            raise LedgerUnavailable

    monkeypatch.setattr(module, "Ledger", Away)
    often = settings.model_copy(update={"renew_seconds": 0.01})
    heartbeat = Heartbeat(often, "m", VERSION, GPU, Health())
    heartbeat.start("w1")
    until("it has asked a few times", lambda: len(asked) > 2)
    heartbeat.stop()
    assert set(asked) == {"register"}, "there is nothing to take back"
    assert not [record for record in caplog.records if record.levelname != "DEBUG"]


def test_an_announcement_that_is_on_its_way_at_the_end_is_taken_back_too(
    settings: Settings, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    under_way, ended = Event(), Event()
    said: list[str] = []

    class Slow(Ledger):
        def run(self, transition):
            under_way.set()
            ended.wait(1)
            said.append(transition.script)
            return super().run(transition)

    monkeypatch.setattr(module, "Ledger", Slow)
    heartbeat = Heartbeat(settings, "m", VERSION, GPU, Health())
    heartbeat.start("w1")
    assert under_way.wait(10)
    Timer(0.1, ended.set).start()
    heartbeat.stop()
    assert said == ["register", "deregister"]


def test_nothing_comes_after_the_start_failure_of_a_worker(
    settings: Settings, ledger: Ledger
) -> None:
    heartbeat = Heartbeat(settings, "m", VERSION, GPU, Health(phase="loading"))

    def start() -> None:
        with heartbeat.starting("w1"):
            until("the ledger knows a worker", lambda: workers(ledger))
            raise ModelUnloadable

    with pytest.raises(ModelUnloadable):
        start()
    assert ledger.run(read_models(["m"]))["m"] == ModelSnapshot(0, 0, 0, 0.0, None)
    ledger.run(note_start_failure("m", "w1", "model_unloadable", "why"))
    heartbeat.beat_now()
    heartbeat.stop()  # at the process's exit
    found = ledger.run(read_models(["m"]))["m"]
    assert (found.workers, found.failure and found.failure.detail) == ([], "why")


@pytest.mark.slow
def test_a_real_worker_is_seen_from_its_loading_to_its_end(serving: WorkerProcesses) -> None:
    worker = serving.worker("Here", options={"load_seconds": 1})
    until(
        "the ledger knows that it loads",
        lambda: words(serving.ledger) == [("starting", "loading")],
        20,
    )
    worker.ready()
    until("the ledger knows that it is ready", lambda: words(serving.ledger) == [("ready", "")])
    assert worker.output.count('"message":"ready"') == 1
    assert workers(serving.ledger)[0].loaded.startswith("cpu, ")
    id = serving.submit(n=1, seconds=1.0)
    until("the ledger knows that it is busy", lambda: words(serving.ledger) == [("busy", "")])
    serving.answers([id])
    until("the ledger knows that it is ready", lambda: words(serving.ledger) == [("ready", "")])
    assert workers(serving.ledger)[0].device == "cpu"
    assert worker.end() == 0
    assert workers(serving.ledger) == []


@pytest.mark.slow
def test_each_child_of_the_process_pool_is_a_worker(serving: WorkerProcesses) -> None:
    worker = serving.worker("Here", "--pool", "prefork", "--concurrency", "2").ready()
    until("the ledger knows both as ready", lambda: words(serving.ledger) == [("ready", "")] * 2)
    assert worker.output.count('"message":"ready"') == 2
    assert {w.name for w in workers(serving.ledger)} == {f"w1-{pid}" for pid in serving.loaded_by()}
    assert worker.end() == 0


@pytest.mark.slow
def test_a_killed_worker_is_forgotten_when_its_time_is_over(serving: WorkerProcesses) -> None:
    lease = {"LEASE_SECONDS": "1.5", "RENEW_SECONDS": "0.5"}
    worker = serving.worker("Here", **lease).ready()
    until("the ledger knows that it is ready", lambda: words(serving.ledger) == [("ready", "")])
    os.kill(worker.pid, signal.SIGKILL)
    until("the ledger knows no worker", lambda: workers(serving.ledger) == [], 5)
