"""SIGTERM: before there is work it ends the process, afterwards it lets the batch finish."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from threading import Event

import pytest
from celery.worker import state

from worker import drain

PROJECT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    """Put back the handlers, the flags and Celery's own flag."""
    handlers = {name: signal.getsignal(name) for name in (signal.SIGTERM, signal.SIGINT)}
    before = {n: v for n, v in vars(drain._Drain).items() if not n.startswith("__")}
    yield
    for name, handler in handlers.items():
        signal.signal(name, handler)
    for name, value in before.items():
        setattr(drain._Drain, name, value)
    state.should_stop = None


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_before_there_is_work_ends_the_process_with_0(number: int) -> None:
    drain.install_handlers()
    drain.end_by_exception()
    with pytest.raises(SystemExit) as caught:
        signal.raise_signal(number)
    assert caught.value.code == 0


def test_a_signal_later_tells_celery_to_stop_and_ends_nothing() -> None:
    drain.install_handlers()
    handed_back = Event()
    drain.finish_batch_first(60, handed_back.set)
    assert not drain.draining()
    signal.raise_signal(signal.SIGTERM)
    assert drain.draining()
    # 0 is the exit code; Celery stops for any value but None and False.
    assert state.should_stop == 0
    assert state.should_stop is not False
    assert not handed_back.is_set()


def test_the_batch_is_handed_back_when_the_grace_is_over() -> None:
    drain.install_handlers()
    handed_back = Event()
    drain.finish_batch_first(0.05, handed_back.set)
    signal.raise_signal(signal.SIGTERM)
    assert handed_back.wait(10)


def test_who_tells_of_this_worker_is_told_at_once() -> None:
    drain.install_handlers()
    told = Event()
    drain.finish_batch_first(60, lambda: None, told.set)
    assert not told.is_set()
    signal.raise_signal(signal.SIGTERM)
    assert told.wait(10)


def test_a_second_signal_changes_nothing() -> None:
    drain.install_handlers()
    calls: list[int] = []
    first = Event()

    def hand_back() -> None:
        calls.append(1)
        first.set()

    drain.finish_batch_first(0.05, hand_back)
    for _ in range(5):
        signal.raise_signal(signal.SIGTERM)
    assert first.wait(10)
    assert calls == [1]


def test_a_model_that_takes_the_end_for_an_error_of_its_own_keeps_no_worker_alive() -> None:
    drain.install_handlers()
    drain.end_by_exception()
    with suppress(SystemExit):  # as a bare `except` in somebody's `load`
        signal.raise_signal(signal.SIGTERM)
    with pytest.raises(SystemExit) as caught:
        drain.finish_batch_first(60, lambda: None)
    assert caught.value.code == 0


@pytest.mark.slow
def test_the_handler_stands_before_anything_heavy_is_imported() -> None:
    code = (
        "import sys, worker.drain as d; d.install_handlers()\n"
        "heavy = {'celery', 'kombu', 'redis', 'pydantic', 'torch', 'asyncio'} & set(sys.modules)\n"
        "sys.exit(', '.join(heavy) or 0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=PROJECT, timeout=60, capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_listening_is_the_first_thing_that_the_command_does() -> None:
    lines = (PROJECT / "worker/__main__.py").read_text().splitlines()
    body = lines[next(n for n, line in enumerate(lines) if line.startswith("def main")) + 1 :]
    assert body[1].strip() == "drain.install_handlers()"
    before = [line for line in lines if line.startswith(("import", "from"))]
    assert before == ["import sys", "from worker import drain"]


@pytest.mark.slow
def test_a_process_that_is_told_while_it_starts_ends_with_0() -> None:
    code = (
        "import time; from worker import drain; drain.install_handlers(); print('x', flush=True)\n"
        "time.sleep(60)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], cwd=PROJECT, stdout=subprocess.PIPE
    ) as child:
        assert child.stdout
        assert child.stdout.read(1) == b"x"
        os.kill(child.pid, signal.SIGTERM)
        assert child.wait(20) == 0
