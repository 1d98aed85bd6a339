"""A process that owns an embedded Redis and is killed without warning, and what is asked of that Redis."""

import subprocess
import sys
from pathlib import Path

import psutil
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from local.redis import EmbeddedRedis

OWNER = """
import sys, time
from pathlib import Path
from local.redis import EmbeddedRedis
ledger = EmbeddedRedis(Path(sys.argv[1]))
ledger.start()
if sys.argv[2] == "unwatched":
    ledger._process._watch.dismiss()
print(ledger.pid, ledger.port, flush=True)
time.sleep(600)
"""


def owner_killed(folder: Path, how: str) -> tuple[int, int]:
    """Start an owner, kill it without warning; the process id and port of its Redis."""
    with subprocess.Popen(
        [sys.executable, "-c", OWNER, str(folder), how], stdout=subprocess.PIPE, text=True
    ) as owner:
        assert owner.stdout is not None
        pid, port = map(int, owner.stdout.readline().split())
        with redis.Redis(port=port) as connection:
            connection.set("kept", "yes")
        owner.kill()
    return pid, port


def ask(ledger: EmbeddedRedis, *command: str | int, timeout: float = 5.0) -> object:
    with redis.Redis.from_url(
        ledger.url, socket_timeout=timeout, retry=Retry(NoBackoff(), 0)
    ) as connection:
        return connection.execute_command(*command)


def wait_gone(pid: int) -> None:
    psutil.wait_procs([psutil.Process(pid)] if psutil.pid_exists(pid) else [], timeout=20)
    assert not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
