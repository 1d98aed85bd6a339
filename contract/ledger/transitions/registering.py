"""What workers, gateways and keepers say of themselves: who is there, and which models a catalog has."""

from collections.abc import Iterable, Mapping

from contract.ledger.lease_terms import LEASE_SECONDS
from contract.ledger.transitions.transition import Transition, unchanged
from contract.ledger.workers import Worker

MOST_CODE_CHARACTERS = 64
MOST_FAILURE_CHARACTERS = 500


def register(
    model: str, worker: Worker, lifetime_seconds: float = LEASE_SECONDS, start: str = ""
) -> Transition[bool]:
    """Say that a worker is there and what it does, until the lifetime is over: its heartbeat.

    Args:
        start: another one for each process, as in a pod the next container has the same name.
    """
    args = {
        "model": model,
        "worker": worker.name,
        "lifetime": lifetime_seconds,
        "facts": worker.facts | {"start": start},
    }
    return Transition("register", args, unchanged)


def deregister(model: str, worker: str, *, early: bool = False) -> Transition[bool]:
    """A worker ends. `early` is before it was ready, without being told to."""
    return Transition("deregister", {"model": model, "worker": worker, "early": early}, unchanged)


def note_start_failure(model: str, worker: str, code: str, detail: str) -> Transition[bool]:
    """Say why a worker could not start: until one becomes ready, and for a quarter of an hour at most."""
    args = {
        "model": model,
        "worker": worker,
        "code": code[:MOST_CODE_CHARACTERS],
        "detail": detail[:MOST_FAILURE_CHARACTERS],
    }
    return Transition("note_start_failure", args, unchanged)


def register_catalog(
    entries: Mapping[str, str], lifetime_seconds: float, alive: Iterable[str] = ()
) -> Transition[bool]:
    """Say which entry a catalog has of each model, so that what names a version of it is kept waiting.

    Args:
        alive: models that the caller keeps; it is a sign of life of theirs.
    """
    args = {"entries": dict(entries), "lifetime": lifetime_seconds, "alive": list(alive)}
    return Transition("register_catalog", args, unchanged)
