"""A Redis that its owner left behind: the next start in its folder stops it, and nothing else."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from redis_owner import ask, owner_killed, wait_gone

from local.redis import EmbeddedRedis


@pytest.mark.parametrize("frozen", [False, True])
@pytest.mark.slow
def test_one_left_over_is_stopped_by_the_next_start_and_its_data_kept(
    tmp_path: Path, frozen: bool
) -> None:
    pid, _ = owner_killed(tmp_path, "unwatched")
    if frozen:
        os.kill(pid, signal.SIGSTOP)
    with EmbeddedRedis(tmp_path) as ledger:
        assert ask(ledger, "GET", "kept") == b"yes"
        wait_gone(pid)


def test_another_process_with_the_number_of_a_dead_one_is_left_alone(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as innocent:
        (tmp_path / "redis.pid").write_text(f"{innocent.pid}\n")
        with EmbeddedRedis(tmp_path):
            assert innocent.poll() is None
        innocent.kill()
