"""Models as the ledger sees them: what waits and runs, who serves it, and which are active."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from contract.ledger.keys import AT_WORK
from contract.ledger.transitions.transition import Transition, unchanged
from contract.ledger.workers import ModelState, StartFailure, Worker, model_state


@dataclass(frozen=True, slots=True)
class ModelSnapshot:
    queued: int
    running: int
    busy: int
    oldest_seconds: float
    eta_seconds: float | None = None
    """Typical seconds until all that waits is done; None when nothing waits, or nothing ran yet."""
    workers: list[Worker] = field(default_factory=list)
    """By name."""
    served: dict[str, str] = field(default_factory=dict)
    """Entry of a catalog -> the version that a ready worker of it named last."""
    failure: StartFailure | None = None
    """Why a worker could not start, if none became ready since."""

    @property
    def state(self) -> ModelState:
        return model_state(self.workers, self.failure)

    def versions(self, entry: str) -> list[str]:
        """The versions that are served: the current one of this entry, if a worker of it was ever there,
        then those that still have workers.
        """
        current = self.served.get(entry)
        live = {w.model_version for w in self.workers if w.state != "draining"} - {"", current}
        return [*([current] if current else []), *sorted(live)]


def read_models(models: Sequence[str]) -> Transition[dict[str, ModelSnapshot]]:
    """What each model has waiting and running, and who serves it."""

    def read_snapshots(answer: Any) -> dict[str, ModelSnapshot]:
        return {model: _snapshot(**row) for model, row in dict(answer).items()}

    return Transition("read_models", {"models": list(models)}, read_snapshots)


def _snapshot(
    workers: Any, eta_seconds: Any, served: Any, failure: Any = None, **counts: Any
) -> ModelSnapshot:
    # Lua packs an empty table as a list or as a map.
    known = sorted((Worker.from_record(row) for row in list(workers)), key=lambda w: w.name)
    return ModelSnapshot(
        **counts,
        eta_seconds=eta_seconds or None,
        workers=known,
        served=dict(served),
        failure=StartFailure.from_answer(failure),
    )


def find_active(models: Sequence[str]) -> Transition[dict[str, tuple[bool, int]]]:
    """Which models have something to keep, and how many predictions each accepted so far."""

    def read_active(answer: Any) -> dict[str, tuple[bool, int]]:
        return {model: (works, accepted) for model, (works, accepted) in dict(answer).items()}

    return Transition("find_active", {"models": list(models), "kinds": list(AT_WORK)}, read_active)


def forget_model(model: str, patience_seconds: float) -> Transition[bool]:
    """Forget a model that has left the catalog, with its counts, if nothing of it is left; answers whether it did.

    Args:
        patience_seconds: how long records are kept at most, where the ledger does not say it.
    """
    return Transition("forget_model", {"model": model, "patience": patience_seconds}, unchanged)
