"""What a run of `python -m k8s` gave."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass
class Result:
    code: int
    out: str
    err: str

    @property
    def lines(self) -> list[str]:
        return self.out.splitlines()

    def line(self, subject: str) -> str:
        """The one line about a subject, spaces made single."""
        (found,) = [line for line in self.lines if line[6:].startswith(f"{subject}: ")]
        return " ".join(found.split())


Run = Callable[..., Result]
