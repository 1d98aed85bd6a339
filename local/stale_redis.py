"""The Redis that an owner left behind when it was killed: found by its pid file, and stopped.

Its process id alone proves nothing, because the number may belong to another process by now. So it is asked
for its id and its folder; one that is frozen cannot answer, and its title has to do.
"""

import contextlib
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from local.processes import wait_for

LOOPBACK = "127.0.0.1"


def stop_stale_redis(pidfile: Path, folder: Path, within_seconds: float) -> None:
    """End the Redis that still runs in this folder, if there is one."""
    try:
        pid = int(pidfile.read_text(encoding="ascii"))
    except (OSError, ValueError):
        return
    if pid > 1 and serves_folder(folder, pid):
        for number in (signal.SIGCONT, signal.SIGTERM):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
        if not wait_until_gone(pid, within_seconds):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            wait_until_gone(pid, within_seconds)
    pidfile.unlink(missing_ok=True)


def serves_folder(folder: Path, pid: int) -> bool:
    """True if the process is a Redis of this folder."""
    title = process_title(pid)
    port = title.rpartition(":")[2].split(" ")[0]
    if "redis-server" not in title or not port.isdecimal():
        return False
    with connect(int(port)) as connection:
        try:
            return identify(connection) == (pid, str(folder))
        except (redis.RedisError, OSError):
            return True


@contextlib.contextmanager
def connect(port: int) -> Iterator["redis.Redis"]:
    connection = redis.Redis(
        host=LOOPBACK,
        port=port,
        socket_timeout=1.0,
        socket_connect_timeout=1.0,
        retry=Retry(NoBackoff(), 0),
    )
    try:
        yield connection
    finally:
        connection.close()


def identify(connection: "redis.Redis") -> tuple[int, str]:
    """The process id and the folder of the Redis that answers, once it has loaded its data."""
    connection.ping()
    info = connection.info("server")
    folder = connection.config_get("dir")["dir"]
    return int(info["process_id"]), folder.decode() if isinstance(folder, bytes) else str(folder)


def process_title(pid: int) -> str:
    """The command line of a process; empty if there is none. Redis writes its address into it."""
    proc = Path(f"/proc/{pid}/cmdline")
    with contextlib.suppress(OSError):
        return proc.read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
    with contextlib.suppress(OSError):
        asked = subprocess.run(
            ["/bin/ps", "-o", "command=", "-p", str(pid)],
            capture_output=True,
            text=True,
            check=False,
        )
        return asked.stdout.strip()
    return ""


def wait_until_gone(pid: int, within_seconds: float) -> bool:
    """Wait for a Redis that is not our child to end."""
    return wait_for(lambda: "redis-server" not in process_title(pid), within_seconds, every=0.02)
