"""`soloist purge`, in bulk by model, status and age."""

from collections.abc import Callable
from typing import Any

import pytest

from contract.ledger.client import Ledger
from contract.ledger.lease_terms import LeaseTerms
from contract.ledger.new_prediction import NewPrediction
from contract.ledger.transitions import (
    Outcome,
    cancel,
    claim,
    create,
    finish,
    read_predictions,
)
from contract.prediction import Prediction, Status

Soloist = Callable[..., Any]


def put(ledger: Ledger, id: str, status: Status, model: str = "m", age: float = 0.0) -> None:
    """A prediction that stands there, accepted so many seconds ago."""
    new = NewPrediction(Prediction(id, model, input='{"who": "knows"}'), 1000, 1)
    ledger.run(create([new]))
    if status is Status.CANCELED:
        ledger.run(cancel(id, "local"))
    elif status is not Status.STARTING:
        terms = LeaseTerms(model, "w", 1)
        (claimed,) = ledger.run(claim(terms, 0)).predictions
        if status is not Status.PROCESSING:
            failed = {"error": "no", "error_code": "model_error"}
            how: dict[str, Any] = failed if status is Status.FAILED else {"output": b"1"}
            outcome = Outcome(id, claimed.attempt, **how)
            ledger.run(finish(terms, [outcome], idle=True, seconds=0.1))
    key = ledger.key("prediction", id)
    created = float(ledger.redis.hget(key, "created_at") or 0)
    ledger.redis.hset(key, "created_at", created - age)


def get(ledger: Ledger, id: str) -> Prediction:
    (view,) = ledger.run(read_predictions([(id, -1)]))
    assert view is not None
    return view.prediction


def erased(ledger: Ledger, *ids: str) -> set[str]:
    return {id for id in ids if get(ledger, id).data_removed}


OVER = (Status.SUCCEEDED, Status.FAILED, Status.CANCELED)


def test_what_is_over_loses_its_data_and_what_is_not_stays(
    ledger: Ledger, soloist: Soloist
) -> None:
    for status in OVER:
        put(ledger, status, status)
    put(ledger, "running", Status.PROCESSING)
    put(ledger, "waiting", Status.STARTING)
    assert soloist("purge", "--all", "--yes").out == "3 found, 3 removed\n"
    assert erased(ledger, *OVER, "running", "waiting") == set(OVER)
    assert soloist("purge", "--all", "--yes", "--json").lines == [{"found": 0, "removed": 0}]


def test_filters_say_which(ledger: Ledger, soloist: Soloist) -> None:
    put(ledger, "old", Status.SUCCEEDED, age=7200)
    put(ledger, "new", Status.SUCCEEDED)
    put(ledger, "failed", Status.FAILED, age=7200)
    put(ledger, "others", Status.SUCCEEDED, "other", age=7200)
    filters = ("--model", "m", "--status", "succeeded", "--older-than", "1h")
    assert soloist("purge", *filters, "--yes", "--json").lines == [{"found": 1, "removed": 1}]
    assert erased(ledger, "old", "new", "failed", "others") == {"old"}
    soloist("purge", "--model", "acme/other", "--yes")
    assert erased(ledger, "old", "new", "failed", "others") == {"old", "others"}


def test_cancel_is_for_those_that_are_not_over(ledger: Ledger, soloist: Soloist) -> None:
    put(ledger, "done", Status.SUCCEEDED)
    put(ledger, "running", Status.PROCESSING)
    put(ledger, "waiting", Status.STARTING)
    command = ("purge", "--cancel", "--status", "starting", "--yes")
    assert soloist(*command).out == "1 found, 1 canceled\n"
    assert get(ledger, "waiting").status is Status.CANCELED
    assert soloist("purge", "--cancel", "--all", "--yes").out == "1 found, 1 canceled\n"
    assert get(ledger, "running").status is Status.CANCELED
    assert get(ledger, "done").status is Status.SUCCEEDED
    assert erased(ledger, "done", "running", "waiting") == set()


def test_more_than_a_page_is_found(ledger: Ledger, soloist: Soloist) -> None:
    for number in range(250):
        put(ledger, f"p{number}", Status.CANCELED)
    assert soloist("purge", "--all", "--yes").out == "250 found, 250 removed\n"


def test_a_model_that_left_the_catalog_can_be_purged(ledger: Ledger, soloist: Soloist) -> None:
    put(ledger, "gone", Status.SUCCEEDED, "retired")
    assert soloist("purge", "--model", "retired", "--yes").out == "1 found, 1 removed\n"


def test_a_dry_run_and_a_no_change_nothing(ledger: Ledger, soloist: Soloist) -> None:
    put(ledger, "done", Status.SUCCEEDED)
    assert soloist("purge", "--all", "--dry-run").out == "1 found, 0 removed\n"
    asked = soloist("purge", "--all", piped="n\n")
    assert asked.out.strip() == "1 found, 0 removed"
    assert "Remove input, output and logs of 1 prediction?" in asked.err
    assert erased(ledger, "done") == set()
    assert soloist("purge", "--all", piped="y\n").out.strip() == "1 found, 1 removed"


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ((), "needs a filter (--model, --status, --older-than), or --all"),
        (("--older-than", "yesterday"), "say it like 90s, 30m, 12h or 7d"),
        (("--status", "starting"), "with --cancel"),
        (("--cancel", "--status", "failed"), "without --cancel"),
    ],
)
def test_what_cannot_be_meant_is_refused(
    ledger: Ledger, soloist: Soloist, arguments: tuple[str, ...], sentence: str
) -> None:
    refused = soloist("purge", "--yes", *arguments)
    assert refused.code == 2
    assert sentence in refused.err


def test_without_anybody_to_ask_nothing_is_removed(ledger: Ledger, soloist: Soloist) -> None:
    put(ledger, "done", Status.SUCCEEDED)
    refused = soloist("purge", "--all")
    assert refused.code == 1
    assert "--yes" in refused.err
    assert erased(ledger, "done") == set()
