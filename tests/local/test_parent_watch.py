"""A child process ends with the process that started it, also when that one is killed."""

import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from local.parent_watch import ParentWatch

OWNER = """
import subprocess, sys, time
from local.parent_watch import ParentWatch
child = subprocess.Popen([sys.executable, "-c", sys.argv[1]], stdout=subprocess.PIPE)
child.stdout.readline()
watch = ParentWatch(child.pid, grace_seconds=1)
if sys.argv[2] == "dismissed":
    watch.dismiss()
print(child.pid, flush=True)
time.sleep(600)
"""
PLAIN = "import time; print(flush=True); time.sleep(600)"
STUBBORN = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); " + PLAIN
NOTES_ITS_END = """
import signal, sys, time
from pathlib import Path
def end(number, frame):
    Path("ended").touch()
    sys.exit()
signal.signal(signal.SIGTERM, end)
print(flush=True)
time.sleep(600)
"""


def kill_owner_of(code: str, watch: str = "watched") -> psutil.Process:
    """The child of an owner that was killed without warning."""
    command = [sys.executable, "-c", OWNER, code, watch]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout is not None
        child = psutil.Process(int(owner.stdout.readline()))
        owner.kill()
    return child


def has_ended(process: psutil.Process) -> bool:
    psutil.wait_procs([process], timeout=20)
    return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE


def test_a_child_is_asked_to_end_when_its_owner_is_killed(tmp_path: Path) -> None:
    assert has_ended(kill_owner_of(NOTES_ITS_END))
    assert (tmp_path / "ended").exists()


@pytest.mark.slow
def test_a_child_that_does_not_listen_is_killed_after_its_grace() -> None:
    assert has_ended(kill_owner_of(STUBBORN))


def test_a_child_that_is_watched_no_more_is_left_alone() -> None:
    child = kill_owner_of(PLAIN, "dismissed")
    assert child.is_running()
    child.kill()


@pytest.mark.parametrize("times", [1, 2])
def test_a_watch_that_is_dismissed_leaves_no_process_behind(times: int) -> None:
    before = {child.pid for child in psutil.Process().children()}
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        watch = ParentWatch(child.pid)
        for _ in range(times):
            watch.dismiss()
        assert child.poll() is None
        child.kill()
    assert {child.pid for child in psutil.Process().children()} <= before
