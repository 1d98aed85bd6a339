"""A model whose files changed, and whose entry did: its versions, and what tests do with predictions that name one."""

from typing import Any

from contract.ledger.transitions import Unserved, register
from contract.ledger.workers import Worker
from tests.support.ledger_harness import LedgerHarness

ENTRY, OTHER = "a" * 32, "b" * 32
A, B = ENTRY + "1" * 32, ENTRY + "2" * 32
"""One entry of a catalog whose files changed: A was there first."""
C = OTHER + "3" * 32
"""Another entry for the same model."""
LIFETIME = 15.0


def say(harness: LedgerHarness, version: str, worker: str = "w1", state: str = "ready") -> None:
    harness.run(register("m", Worker(worker, state, model_version=version), LIFETIME))


def accept(harness: LedgerHarness, id: str, version: str | None = None, **more: Any) -> str:
    return harness.accept(id=id, pinned=version, entry=ENTRY, **more)


def unserved(harness: LedgerHarness, version: str, **more: Any) -> bool:
    (result,) = (
        harness.create(harness.new_prediction(pinned=version, entry=ENTRY, **more)).results or ()
    )
    return isinstance(result, Unserved)


def taken(harness: LedgerHarness, version: str, **more: Any) -> list[str]:
    return [c.id for c in harness.claim(version=version, **more)]
