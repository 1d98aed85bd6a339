"""Models as the ledger sees them: what waits and runs, and how long it will take."""

import pytest

from contract.ledger.transitions import (
    ModelSnapshot,
    read_models,
)
from contract.ledger.workers import Worker
from tests.support.ledger_harness import LedgerHarness


def seen(harness: LedgerHarness) -> ModelSnapshot:
    return harness.run(read_models(["m"]))["m"]


def test_the_state_estimates_the_time_of_what_waits(harness: LedgerHarness) -> None:
    assert seen(harness).eta_seconds is None
    harness.create(*(harness.new_prediction() for _ in range(12)))
    assert seen(harness).eta_seconds is None
    harness.finish(harness.claim())  # four of them in half a second

    assert seen(harness).eta_seconds == 1.0


def test_the_state_counts_what_waits_and_runs(harness: LedgerHarness) -> None:
    harness.create(*(harness.new_prediction() for _ in range(6)))
    harness.claim()
    harness.advance(5)
    states = harness.run(read_models(["m", "idle"]))

    busy = [Worker("w1", "busy", state_seconds=pytest.approx(5, abs=1e-3))]
    assert states["m"] == ModelSnapshot(2, 4, 1, pytest.approx(5, abs=1e-3), None, busy)
    assert states["idle"] == ModelSnapshot(0, 0, 0, 0)
    assert harness.run(read_models([])) == {}
