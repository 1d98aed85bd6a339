"""`soloist dead`: what killed its workers is listed, and runs again when it is replayed."""

from pathlib import Path
from typing import Any

import pytest

from contract.errors import LedgerUnavailable
from contract.ledger.client import Ledger
from contract.ledger.lease_terms import LeaseTerms
from contract.ledger.new_prediction import NewPrediction
from contract.ledger.retry import RetryPolicy
from contract.ledger.transitions import (
    claim,
    create,
    list_page,
    read_predictions,
    release,
)
from contract.prediction import Prediction
from contract.settings import Settings
from local.run_file import RunningSoloist, write_run_file


def kill_a_worker(ledger: Ledger, name: str, model: str = "m") -> None:
    """Let a prediction lose its one attempt."""
    (wakeup,) = ledger.run(create([NewPrediction(Prediction(name, model), 10, 8)])).wakeups[model]
    terms = LeaseTerms(model, "w", 8, retry=RetryPolicy(max_attempts=1))
    claimed = ledger.run(claim(terms, wakeup)).predictions
    attempts = [(p.id, p.attempt) for p in claimed]
    ledger.run(release(terms, attempts, idle=True, suspect=True, lost=True))


def test_the_dead_are_listed_by_model(ledger: Ledger, soloist) -> None:
    kill_a_worker(ledger, "one")
    kill_a_worker(ledger, "two", "other")
    rows = soloist("dead", "list", "--json").lines
    assert [(row["id"], row["model"], row["attempts"]) for row in rows] == [
        ("one", "local/m", 1),
        ("two", "acme/other", 1),
    ]
    assert [row["id"] for row in soloist("dead", "list", "acme/other", "--json").lines] == ["two"]
    assert "one" in soloist("dead", "list", "m").out


@pytest.mark.parametrize("columns", ["20", "80", "200"])
def test_an_id_is_never_cut_however_narrow_the_terminal(
    ledger: Ledger, soloist, monkeypatch: pytest.MonkeyPatch, columns: str
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    ids = ["a" * 64, "5rzqm4ylbhd3zd6o5e3o5zkq2y"]
    for id in ids:
        kill_a_worker(ledger, id)
    listed = soloist("dead", "list").out.split()
    assert set(ids) <= set(listed)


def test_no_dead_is_said(ledger: Ledger, soloist) -> None:
    assert soloist("dead", "list").out == "no dead predictions\n"
    assert soloist("dead", "list", "--json").out == ""


def test_a_replayed_one_waits_again_under_a_new_id(ledger: Ledger, soloist) -> None:
    kill_a_worker(ledger, "one")
    (line,) = soloist("dead", "replay", "one", "--json").lines
    assert line["replay_of"] == "one"
    assert line["status"] == "starting"
    (view,) = ledger.run(read_predictions([(line["id"], -1)]))
    assert view is not None
    assert view.prediction.replay_of == "one"
    assert ledger.redis.llen("soloist:broker:soloist.m") == 1  # and its worker is woken
    assert soloist("dead", "list").out == "no dead predictions\n"


def test_what_cannot_be_replayed_is_one_sentence_and_the_others_are(
    ledger: Ledger, soloist
) -> None:
    ledger.run(create([NewPrediction(Prediction("waits", "m"), 10, 8)]))
    kill_a_worker(ledger, "one", "other")
    result = soloist("dead", "replay", "nobody", "waits", "one")
    assert result.code == 1
    assert result.err == (
        "soloist: there is no prediction nobody\n"
        "soloist: waits is not on the dead list; its status is starting\n"
    )
    assert result.out.endswith("replays one\n")


def test_the_ledger_of_a_running_soloist_is_found(
    ledger: Ledger, soloist, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import os

    kill_a_worker(ledger, "one")
    monkeypatch.delenv("SOLOIST_REDIS_URL")
    catalog = Path("catalog.yaml").rename("elsewhere.yaml").resolve()
    write_run_file(
        Settings(), RunningSoloist(os.getpid(), "http://127.0.0.1:1", redis_url, str(catalog))
    )
    assert [row["id"] for row in soloist("dead", "list", "--json").lines] == ["one"]


def test_a_ledger_that_is_away_is_one_sentence(soloist, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOLOIST_REDIS_URL", "redis://127.0.0.1:1/0")
    Path("catalog.yaml").write_text("models:\n  m:\n    python: a:B\n")
    result = soloist("dead", "list")
    assert result.code == 1
    assert result.err.startswith("soloist: the ledger does not answer")
    assert result.err.count("\n") == 1


@pytest.mark.parametrize("lost", [1, 2])
def test_a_replay_whose_answer_is_lost_is_asked_again_and_replays_once(
    ledger: Ledger, soloist, monkeypatch: pytest.MonkeyPatch, lost: int
) -> None:
    kill_a_worker(ledger, "one")
    whole, losses = Ledger.run, iter([True] * lost + [False] * 9)

    def lossy(self: Ledger, transition: Any) -> Any:
        answer = whole(self, transition)
        if transition.script == "replay" and next(losses):
            raise LedgerUnavailable("lost", sent=True)
        return answer

    monkeypatch.setattr(Ledger, "run", lossy)
    ended = soloist("dead", "replay", "one")
    monkeypatch.undo()
    (fresh,) = (p.id for p in whole(ledger, list_page("local")).predictions if p.replay_of == "one")
    assert fresh in (ended.out if lost == 1 else ended.err)
    assert ended.code == (0 if lost == 1 else 1)
