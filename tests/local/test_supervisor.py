"""A supervised process: its phases are shown, it is started again when it ends, and given up when it cannot start."""

import asyncio
import os
import signal
from pathlib import Path

import pytest

from contract.errors import StartRefused
from local import supervisor
from local.log_stream import LogStream
from local.processes import StartFailed
from local.supervisor import SupervisedProcess, describe_exit
from tests.support.fake_program import fake_spec, write_fake_program


@pytest.fixture(autouse=True)
def fast(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_fake_program(tmp_path)
    monkeypatch.setattr(supervisor, "PROBE_SECONDS", 0.01)
    monkeypatch.setattr(supervisor, "FIRST_PAUSE_SECONDS", 0.01)


class Observed:
    """A process that does `how`, the ids that it had and the phases that it went through."""

    def __init__(self, how: str) -> None:
        self.pids: list[int] = []
        self.phases: list[str] = []
        self.restarted = asyncio.Event()
        self.process = SupervisedProcess(
            fake_spec("m", how, "SOLOIST_WORKER_PORT"),
            "127.0.0.1",
            LogStream(["m"], as_json=True),
            5.0,
            self._note_start,
            lambda process: self.phases.append(process.phase),
        )

    def _note_start(self, pid: int) -> None:
        self.pids.append(pid)
        if len(self.pids) > 1:
            self.restarted.set()

    async def until_ready(self) -> "asyncio.Task[None]":
        task = asyncio.create_task(self.process.supervise())
        await asyncio.wait_for(self.process.ready.wait(), 60)
        return task


def test_it_tells_its_phases_until_it_is_ready_and_ends_when_asked() -> None:
    async def run() -> None:
        observed = Observed("loads")
        task = await observed.until_ready()
        assert observed.phases == ["importing", "loading"]
        assert (observed.process.phase, observed.process.progress) == ("ready", 1.0)
        assert observed.process.pid == observed.pids[-1]
        observed.process.ask_to_end()
        await task
        assert observed.process.pid is None
        assert observed.process.clean

    asyncio.run(run())


def test_one_that_was_ready_and_is_killed_is_started_again() -> None:
    async def run() -> None:
        observed = Observed("plain")
        task = await observed.until_ready()
        os.kill(observed.pids[0], signal.SIGKILL)
        await asyncio.wait_for(observed.restarted.wait(), 60)
        await asyncio.wait_for(observed.process.ready.wait(), 60)
        observed.process.ask_to_end()
        await task
        assert len(observed.pids) == 2

    asyncio.run(run())


def test_one_that_has_to_be_killed_is_not_clean() -> None:
    async def run() -> None:
        observed = Observed("stubborn")
        task = await observed.until_ready()
        observed.process.ask_to_end()
        assert observed.process.pid is not None
        observed.process.kill()
        await task
        assert not observed.process.clean

    asyncio.run(run())


def test_one_that_refuses_to_start_is_started_once_and_its_reason_is_the_error() -> None:
    observed = Observed("refuses")
    with pytest.raises(StartRefused, match=r"^m: the model is broken$"):
        asyncio.run(observed.process.supervise())
    assert len(observed.pids) == 1


def test_one_that_never_gets_ready_is_given_up() -> None:
    observed = Observed("crashes")
    with pytest.raises(StartFailed, match=r"^m: exit code 1: some trouble$"):
        asyncio.run(observed.process.supervise())
    assert len(observed.pids) == 1 + supervisor.MOST_FAILED_STARTS


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (0, "exit code 0"),
        (78, "exit code 78"),
        (-9, "killed by SIGKILL"),
        (-99, "killed by signal 99"),
    ],
)
def test_an_exit_code_is_said_in_words(code: int, words: str) -> None:
    assert describe_exit(code) == words
