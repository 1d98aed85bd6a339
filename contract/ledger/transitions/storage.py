"""The Redis of the ledger itself: its schema and its memory."""

from dataclasses import dataclass
from typing import Any

from contract.ledger.keys import SCHEMA
from contract.ledger.transitions.transition import Transition, unchanged


def mark_schema() -> Transition[int]:
    """Say that the ledger is written in our schema; answers the newest that it was ever written in."""
    return Transition("mark_schema", {"schema": SCHEMA}, unchanged)


@dataclass(frozen=True, slots=True)
class Memory:
    """How full the Redis of the ledger is, in bytes. Its broker may be in it too."""

    used: int
    limit: int
    """`maxmemory`; 0 is none."""
    reserved: int
    """What new predictions leave to those that were accepted before."""
    keys: int
    """How many there are in its database."""

    @property
    def room(self) -> int:
        """What new predictions may still take; below 0 they are refused."""
        return self.limit - self.used - self.reserved


def read_memory(reserve_bytes: int | None = None) -> Transition[Memory]:
    """How full the ledger is; `reserve_bytes` as in `create`."""
    args = {} if reserve_bytes is None else {"reserve": reserve_bytes}

    def read_figures(answer: Any) -> Memory:
        return Memory(**{name: int(value) for name, value in answer.items()})

    return Transition("read_memory", args, read_figures)
