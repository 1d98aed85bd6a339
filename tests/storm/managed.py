"""A process of the system that is started again when it ends, and how each run of it ended."""

import contextlib
from dataclasses import dataclass

import httpx

from tests.support.programs import Program


@dataclass(slots=True)
class ManagedProcess:
    """One process, with what it is started with each time."""

    name: str
    arguments: list[str]
    env: dict[str, str]
    port: int
    """Its probes, past all proxies."""
    program: Program | None = None
    down: bool = False
    """A fault keeps it from starting again."""
    start_at: float = 0.0
    asked: str = ""
    """The fault that ended its present run, or is about to."""

    @property
    def alive(self) -> bool:
        return self.program is not None and self.program.alive

    def ready(self) -> bool:
        """What its probe says."""
        with contextlib.suppress(httpx.HTTPError):
            answer = httpx.get(f"http://127.0.0.1:{self.port}/readyz", timeout=2, trust_env=False)
            return self.alive and answer.is_success
        return False


@dataclass(frozen=True, slots=True)
class ProcessExit:
    """The end of a process. `asked` is the fault that ended it, if one did."""

    process: str
    code: int
    at: float
    asked: str
