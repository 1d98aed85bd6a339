"""Processes that a measurement starts: their ports, their output, their end."""

import contextlib
import os
import random
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from contract.errors import SoloistError

PROJECT = Path(__file__).parents[1]
OUTSIDE_EPHEMERAL = (20_000, 32_000)


class StartFailed(SoloistError):
    """A process of this machine cannot be started, ended, or was not ready in time; the message says why."""

    code, title = "start_failed", "A process did not start"


def free_port() -> int:
    """A loopback port that nobody listens on, outside the range of outgoing connections.

    A port of the ephemeral range could be taken by any client while its owner restarts.
    """
    for _ in range(200):
        port = random.randint(*OUTSIDE_EPHEMERAL)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise StartFailed("no free port on the loopback interface")


class Process:
    """One child process in a session of its own, so that its end takes its children along.

    It dies with the thread that started it, so start it in one that lasts, such as the main thread.
    """

    def __init__(
        self,
        command: Sequence[str | Path],
        *,
        log: Path,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
    ) -> None:
        self.command = [str(part) for part in command]
        self.log = log
        self._asked = False
        self._output = log.open("ab")
        try:
            self._child = subprocess.Popen(
                [*dies_with_us(), *self.command],
                env={**os.environ, **(env or {})},
                cwd=cwd,
                stdin=subprocess.DEVNULL,
                stdout=self._output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        except OSError:
            self._output.close()
            raise

    @property
    def pid(self) -> int:
        return self._child.pid

    @property
    def alive(self) -> bool:
        return self._child.poll() is None

    def wait_until(self, ready: Callable[[], bool], seconds: float, every: float = 0.05) -> None:
        """Return when `ready()` is true.

        Raises:
            StartFailed: the process ended first, or the time passed.
        """
        until = time.monotonic() + seconds
        while not ready():
            if not self.alive:
                raise StartFailed(f"{self.command[0]} ended ({self._child.poll()}): {self.tail()}")
            if time.monotonic() > until:
                raise StartFailed(f"{self.command[0]} not ready in {seconds:g} s: {self.tail()}")
            time.sleep(every)

    def tail(self, size: int = 4000) -> str:
        """The last of what it has written."""
        return self.log.read_bytes()[-size:].decode(errors="replace")

    def signal(self, number: int) -> None:
        """Send a signal to the process and to its children."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, number)

    def ask_to_end(self) -> None:
        """SIGTERM to the process itself, once: to many a second one means at once."""
        if self.alive and not self._asked:
            self._asked = True
            with contextlib.suppress(ProcessLookupError):
                self._child.terminate()

    def terminate(self, seconds: float = 10.0) -> None:
        """SIGTERM to the process itself; SIGKILL to all that is left of its session."""
        if self.alive:
            self.ask_to_end()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._child.wait(seconds)
        self.kill()

    def kill(self) -> None:
        """SIGKILL to the process and its children."""
        # Also when the leader has ended: the group's number is not given away while a child lives.
        if self._output.closed:
            return
        self.signal(signal.SIGKILL)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._child.wait(10)
        self._output.close()


@contextlib.contextmanager
def pinned(cores: Iterable[int]) -> Iterator[None]:
    """What is started meanwhile runs on these cores, with its children, from its first instruction.

    Thread pools are sized by the cores that a process may use, so it is done before it starts.
    """
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def accepts(port: int) -> bool:
    """Whether something listens on a loopback port."""
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
        return True
    return False


def dies_with_us() -> list[str]:
    """What a command begins with so that it does not stay behind when this process is killed."""
    setpriv = shutil.which("setpriv")
    return [setpriv, "--pdeathsig", "TERM"] if setpriv else []
