"""A transition as a value: a script of the ledger, its arguments, and how its answer reads."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Transition(Generic[T]):
    """One atomic step: `script` is the name of a file in `scripts/`."""

    script: str
    args: dict[str, Any]
    read_answer: Callable[[Any], T]
    promises: bool = False
    """Its answer is something to rely on. Where replicas are asked for, they have it first."""
    ended: Callable[[T], tuple[str, list[str]]] | None = None
    """(model, ids) of what it may have ended. Where replicas are asked for, it is announced by a call of its
    own when they have it, and otherwise by the call itself."""


def unchanged(answer: Any) -> Any:
    """How an answer reads that is what the caller wants already."""
    return answer
