"""Child processes: ready or refused, ended with their children, and their ports."""

import os
import signal
import socket
import sys
from pathlib import Path

import psutil
import pytest

from local.processes import (
    OUTSIDE_EPHEMERAL,
    Process,
    StartFailed,
    accepts,
    can_listen,
    free_port,
    restrict_to_cores,
    wait_for,
)

FAMILY = """
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; b = bytearray(30_000_000); time.sleep(60)"])
print("child", child.pid, flush=True)
while True: sum(range(10000))
"""


def python(tmp_path: Path, code: str) -> Process:
    return Process([sys.executable, "-c", code], log=tmp_path / "log")


def test_free_ports_are_outside_the_range_of_outgoing_connections() -> None:
    assert all(OUTSIDE_EPHEMERAL[0] <= free_port() <= OUTSIDE_EPHEMERAL[1] for _ in range(20))


def test_what_starts_while_pinned_stays_on_its_cores(tmp_path: Path) -> None:
    before = os.sched_getaffinity(0)
    core = max(before)
    with restrict_to_cores([core]):
        process = python(
            tmp_path,
            "import os; print(os.sched_getaffinity(0), flush=True); import time; time.sleep(60)",
        )
    assert os.sched_getaffinity(0) == before
    process.wait_until(lambda: "}" in process.tail(), 20)
    process.terminate()
    assert process.tail().startswith(f"{{{core}}}")


def test_the_end_of_a_process_takes_its_children_along(tmp_path: Path) -> None:
    process = python(tmp_path, FAMILY)
    process.wait_until(lambda: "\n" in process.tail(), 20)
    child = psutil.Process(int(process.tail().split()[1]))
    process.terminate()
    psutil.wait_procs([child], timeout=20)
    assert not child.is_running() or child.status() == psutil.STATUS_ZOMBIE
    assert not process.alive
    process.kill()


def test_a_process_that_ends_before_it_is_ready_says_what_it_said_last(tmp_path: Path) -> None:
    process = python(tmp_path, "raise SystemExit('no such model')")
    with pytest.raises(StartFailed, match="no such model"):
        process.wait_until(lambda: False, 20)
    process.kill()


def test_a_process_that_is_never_ready_is_not_waited_for_for_ever(tmp_path: Path) -> None:
    process = python(tmp_path, "import time; time.sleep(60)")
    with pytest.raises(StartFailed, match=r"not ready in 0\.1 s"):
        process.wait_until(lambda: False, 0.1)
    process.signal(signal.SIGTERM)
    process.kill()


def test_what_it_has_written_and_its_exit_code_are_kept(tmp_path: Path) -> None:
    process = python(
        tmp_path, "import sys; print('out'); print('err', file=sys.stderr); sys.exit(3)"
    )
    assert wait_for(lambda: not process.alive, 20, 0.01)
    assert process.exit_code == 3
    assert set(process.tail().split()) == {"out", "err"}
    process.kill()


def test_a_port_that_somebody_listens_on_is_not_free() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert accepts(port)
        assert not can_listen("127.0.0.1", port)
    assert not accepts(port)
    assert can_listen("127.0.0.1", port)


def test_waiting_gives_the_first_true_value_or_the_last_one() -> None:
    values = iter([0, "", "found", "later"])
    assert wait_for(lambda: next(values), 20, 0.0) == "found"
    assert wait_for(lambda: "", 0.0, 0.0) == ""
