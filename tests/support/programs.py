"""Our processes as tests start them, and what a test waits for."""

import contextlib
import signal
import sys
from pathlib import Path
from typing import Any, Self

import httpx

from local.processes import PROJECT, Process, free_port
from tests.support.waiting import until

START_SECONDS = 120.0


class Program(Process):
    """One of our processes. `source` is the folder whose packages it runs."""

    def __init__(
        self,
        name: str,
        arguments: list[str],
        folder: Path,
        env: dict[str, str],
        source: Path = PROJECT,
    ) -> None:
        # A later one of the same name starts a log of its own.
        log = folder / f"{name}-{len(list(folder.glob(f'{name}-*.log')))}.log"
        super().__init__([sys.executable, "-m", *arguments], log=log, env=env, cwd=source)
        self.name = log.stem

    def end(self, seconds: float = 20.0) -> int:
        """SIGTERM; its exit code."""
        self.ask_to_end()
        return self.code(seconds)

    def code(self, seconds: float = 20.0) -> int:
        """Its exit code, once it has ended by itself."""
        return self._child.wait(seconds)

    @property
    def listens_to_sigterm(self) -> bool:
        """Whether a handler of its own stands for SIGTERM."""
        with contextlib.suppress(OSError):
            status = Path(f"/proc/{self.pid}/status").read_text()
            caught = int(status.partition("SigCgt:")[2].split()[0], 16)
            return bool(caught >> (signal.SIGTERM - 1) & 1)
        return False

    @property
    def output(self) -> str:
        return self.log.read_text(errors="replace")

    def says(self, words: str, after: int, seconds: float = 20.0) -> None:
        """Return when it has written these words after its first `after` characters."""
        until(f"{self.name} says {words!r}", lambda: words in self.output[after:], seconds)


class Worker(Program):
    """A worker process with a port of its own for its probes."""

    def __init__(
        self,
        called: str,
        model: str,
        folder: Path,
        env: dict[str, str],
        *more: str,
        source: Path = PROJECT,
    ) -> None:
        self.called = called
        self.port = free_port()
        env = {"SOLOIST_WORKER_PORT": str(self.port), **env}
        super().__init__(called, ["worker", "--model", model, *more], folder, env, source)

    def probe(self, path: str = "/readyz") -> dict[str, Any]:
        """What a probe says; nothing while it does not answer."""
        with contextlib.suppress(httpx.HTTPError):
            url = f"http://127.0.0.1:{self.port}{path}"
            return dict(httpx.get(url, timeout=5, trust_env=False).json())
        return {}

    def state(self) -> str | None:
        """`loading`, `idle` or `busy`; None while it does not answer."""
        return self.probe().get("state")

    def phase(self) -> str | None:
        return self.probe().get("phase")

    def ready(self) -> Self:
        """Return when it takes messages."""
        self.wait_until(lambda: self.state() in ("idle", "busy"), START_SECONDS)
        return self
