"""Child processes: their output, their ports, their end, and what to wait for."""

import contextlib
import os
import random
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from contract.errors import SoloistError
from local.parent_watch import ParentWatch

T = TypeVar("T")

PROJECT = Path(__file__).parents[1]
OUTSIDE_EPHEMERAL = (20_000, 32_000)
MOST_FREE_PORT_TRIES = 200


class StartFailed(SoloistError):
    """A process of this machine cannot be started, ended, or was not ready in time; the message says why."""

    code, title = "start_failed", "A process did not start"


class Process:
    """One child process in a session of its own, so that its end takes its children along.

    It is ended when the process that started it ends, however that ends.
    """

    def __init__(
        self,
        command: Sequence[str | Path],
        *,
        log: Path,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
    ) -> None:
        """`env` is added to the environment of this process; the log is appended to."""
        self.command = [str(part) for part in command]
        self.log = log
        self._asked = False
        self._output = log.open("ab")
        try:
            self._child = subprocess.Popen(
                self.command,
                env={**os.environ, **(env or {})},
                cwd=cwd,
                stdin=subprocess.DEVNULL,
                stdout=self._output,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C in the terminal is for its owner, who ends it in order
            )
        except OSError:
            self._output.close()
            raise
        self._watch = ParentWatch(self._child.pid)

    @property
    def pid(self) -> int:
        return self._child.pid

    @property
    def alive(self) -> bool:
        if self._child.poll() is None:
            return True
        self._watch.dismiss()  # its number may be given to another process
        return False

    @property
    def exit_code(self) -> int | None:
        """Negative for the signal that ended it; None while it runs."""
        return None if self.alive else self._child.returncode

    def wait_until(self, ready: Callable[[], bool], seconds: float, every: float = 0.05) -> None:
        """Return when `ready()` is true.

        Raises:
            StartFailed: the process ended first, or the time passed.
        """
        state = wait_for(
            lambda: "ready" if ready() else "" if self.alive else "ended", seconds, every
        )
        if state == "ended":
            raise StartFailed(f"{self.command[0]} ended ({self.exit_code}): {self.tail()}")
        if not state:
            raise StartFailed(f"{self.command[0]} not ready in {seconds:g} s: {self.tail()}")

    def tail(self, size: int = 4000) -> str:
        """The last of what it has written."""
        return self.log.read_bytes()[-size:].decode(errors="replace")

    def end_after(self, pid: int) -> None:
        """Should this process be killed, end the child only after `pid` has ended."""
        self._watch.end_after(pid)

    def signal(self, number: int) -> None:
        """Send a signal to the process and to its children."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, number)

    def pause(self) -> None:
        """Freeze it: connections stay open and nothing answers."""
        self.signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let a frozen one go on."""
        self.signal(signal.SIGCONT)

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
        self._watch.dismiss()
        self._output.close()


@contextlib.contextmanager
def restrict_to_cores(cores: Iterable[int]) -> Iterator[None]:
    """Restrict what is started meanwhile to these cores, with its children, from its first instruction.

    Thread pools are sized by the cores that a process may use, so it is done before it starts.
    """
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def wait_for(condition: Callable[[], T], seconds: float, every: float) -> T:
    """The first true value of `condition`, or its last value when the time has passed."""
    deadline = time.monotonic() + seconds
    while not (value := condition()) and time.monotonic() < deadline:
        time.sleep(every)
    return value


def free_port() -> int:
    """A loopback port that nobody listens on, outside the range of outgoing connections.

    A port of the ephemeral range could be taken by any client while its owner restarts.

    Raises:
        StartFailed: none is found.
    """
    for _ in range(MOST_FREE_PORT_TRIES):
        port = random.randint(*OUTSIDE_EPHEMERAL)
        if can_listen("127.0.0.1", port, reuse=False):
            return port
    raise StartFailed("no free port on the loopback interface")


def can_listen(host: str, port: int, *, reuse: bool = True) -> bool:
    """Whether this machine can listen there; `reuse`: also where old connections still close."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        if reuse and os.name == "posix":
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


def accepts(port: int) -> bool:
    """Whether something listens on a loopback port."""
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
        return True
    return False
