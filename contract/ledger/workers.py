"""What workers say of themselves, and the state of a model that follows from it."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal, Self

REPEAT_SHARE = 0.3
"""Of a lease, after which everybody sends a heartbeat who sent nothing else: a bit less than the third of which a
silence counts as an outage."""

ModelState = Literal["cold", "starting", "failing", "ready", "busy"]


@dataclass(frozen=True, slots=True)
class StartFailure:
    """Why the last worker of a model that could not start did not."""

    code: str
    detail: str
    seconds: float
    """How long ago that was."""

    @classmethod
    def from_answer(cls, answer: Any) -> Self | None:
        """As the ledger packs it."""
        return cls(*answer) if answer else None


@dataclass(frozen=True, slots=True)
class Worker:
    """One worker as the ledger knows it. A worker of an older version is known by its lease alone."""

    name: str
    state: str = "busy"
    """starting, ready, busy or draining."""
    phase: str = ""
    """What a worker that starts is at: importing, loading, connecting."""
    device: str = ""
    """As torch calls it: cpu, cuda:0."""
    gpu_name: str = ""
    gpu_uuid: str = ""
    version: str = ""
    """Of Soloist."""
    model_version: str = ""
    loaded: str = ""
    """What a ready one has loaded, on what, how fast and in how much memory, in a few words."""
    state_seconds: float = 0.0
    """How long it has been in this state; of a busy one, how old its batch is."""

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Self:
        """Read what a worker of any version registered."""
        known = {field.name for field in fields(cls)}
        return cls(**{name: value for name, value in record.items() if name in known})

    @property
    def facts(self) -> dict[str, str]:
        """What it registers; the ledger knows its name and counts the seconds."""
        known: dict[str, Any] = asdict(self)
        del known["name"], known["state_seconds"]
        return {name: value for name, value in known.items() if value}


def model_state(workers: Iterable[Worker], failure: StartFailure | None = None) -> ModelState:
    """The state of a model: what its next prediction will meet.

    `ready`: a worker is free; `busy`: all that serve have a batch; `failing`: none serves, and the last that
    started could not; `starting`: the first is on its way; `cold`: there is none. One that drains takes nothing
    more, so it does not count.
    """
    states = {worker.state for worker in workers} | ({"failing"} if failure else set())
    order: tuple[ModelState, ...] = ("ready", "busy", "failing", "starting")
    return next((state for state in order if state in states), "cold")
