"""Why the ledger did not accept a prediction, and when its client may come again."""

import pytest
from prometheus_client import REGISTRY

from contract.errors import Conflict, LedgerFull, ModelNotFound, QueueFull
from contract.ledger.new_prediction import NewPrediction
from contract.ledger.transitions import Conflicting, Full, NoRoom, Unserved
from contract.prediction import Prediction
from service.gateway.refusals import LEAST_ROOM_SECONDS, MOST_SECONDS, explain_refusal

NEW = NewPrediction(Prediction("id", "echo", pinned="echo:1"), 10, 1)


def full() -> float:
    return REGISTRY.get_sample_value("soloist_ledger_errors_total", {"reason": "ledger_full"}) or 0


def test_a_version_that_nobody_serves_is_not_found_by_its_name() -> None:
    error = explain_refusal(NEW, Unserved())
    assert isinstance(error, ModelNotFound)
    assert "echo:1" in error.detail


def test_an_id_that_was_used_is_a_conflict() -> None:
    error = explain_refusal(NEW, Conflicting("mine"))
    assert isinstance(error, Conflict)
    assert "'mine'" in error.detail


@pytest.mark.parametrize(("eta", "wait"), [(None, 1.0), (7.5, 7.5), (4000.0, MOST_SECONDS)])
def test_a_full_queue_says_how_many_wait_and_for_how_long(eta: float | None, wait: float) -> None:
    error = explain_refusal(NEW, Full(12, eta))
    assert isinstance(error, QueueFull)
    assert error.detail.startswith("12 ")
    assert error.retry_after_seconds == wait


@pytest.mark.parametrize(
    ("room", "wait"),
    [(None, LEAST_ROOM_SECONDS), (0.1, LEAST_ROOM_SECONDS), (30.0, 30.0), (4000.0, MOST_SECONDS)],
)
def test_a_full_ledger_is_counted_and_says_when_there_is_room(
    room: float | None, wait: float
) -> None:
    before = full()
    error = explain_refusal(NEW, NoRoom(room))
    assert isinstance(error, LedgerFull)
    assert error.retry_after_seconds == wait
    assert full() - before == 1
