"""Where a process of the system runs, again and again, and how it ended."""

import contextlib
from dataclasses import dataclass

import httpx

from tests.support.programs import Program


@dataclass(slots=True)
class Place:
    """Where one process runs, again and again."""

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
    """The fault that ends, or has ended, the process that runs there."""

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
class Exit:
    """The end of a process. `asked` is the fault that ended it, if one did."""

    place: str
    code: int
    at: float
    asked: str
