"""A prediction as a value: its statuses, ids and records."""

import re
from dataclasses import fields

import pytest

from contract.prediction import OUTCOME, Prediction, Priority, Status, new_id


def test_three_statuses_are_terminal() -> None:
    assert [s.value for s in Status if s.terminal] == ["succeeded", "failed", "canceled"]
    assert [s.value for s in Status if not s.terminal] == ["starting", "processing"]


def test_ids_are_26_letters_and_digits_and_never_the_same() -> None:
    ids = {new_id() for _ in range(1000)}

    assert len(ids) == 1000
    assert all(re.fullmatch("[a-z2-7]{26}", id) for id in ids)


@pytest.mark.parametrize(("priority", "credit"), [("high", 300), ("normal", 0), ("low", -300)])
def test_a_priority_is_a_credit_of_time(priority: str, credit: float) -> None:
    assert Priority(priority).credit_seconds(300) == credit


def test_a_record_reads_as_the_prediction_that_it_was() -> None:
    prediction = Prediction.from_record(
        {
            "id": "a",
            "model": "m",
            "status": "succeeded",
            "priority": "high",
            "attempt": "2",
            "created_at": "1700000000.000001",
            "progress": "0.5",
            "output": "1.0",
            "sequence": 7,
        }
    )

    assert prediction.status is Status.SUCCEEDED
    assert prediction.priority is Priority.HIGH
    assert (prediction.attempt, prediction.sequence, prediction.progress) == (2, 7, 0.5)
    assert prediction.created_at == 1700000000.000001
    assert prediction.output == "1.0", "an output is text and stays text"


def test_every_field_survives_as_text() -> None:
    whole = Prediction(
        **{
            field.name: {"int": 3, "float": 1.5, "str": "text", "bool": True}[base]
            for field in fields(Prediction)
            if field.name not in ("status", "priority")
            and (base := re.search("int|float|str|bool", str(field.type))[0])
        },
        status=Status.FAILED,
        priority=Priority.LOW,
    )
    record = {field.name: str(getattr(whole, field.name)) for field in fields(Prediction)}

    assert Prediction.from_record(record) == whole


def test_a_record_without_a_field_reads_its_default() -> None:
    assert Prediction.from_record({"id": "a", "model": "m"}) == Prediction("a", "m")


def test_a_field_from_the_future_is_ignored() -> None:
    record = {"id": "a", "model": "m", "shard": "7", "watchers": "gw", "score": "1.0"}

    assert Prediction.from_record(record) == Prediction("a", "m")


def test_an_update_takes_over_what_it_has_and_leaves_the_rest() -> None:
    prediction = Prediction("a", "m", input="[1]", worker="w1")
    prediction.update({"status": "canceled", "completed_at": "5.0", "worker": False})

    assert (prediction.status, prediction.completed_at) == (Status.CANCELED, 5.0)
    assert (prediction.input, prediction.worker) == ("[1]", "w1"), "false is Lua's way to say none"


def test_an_outcome_holds_what_the_end_sets_and_nothing_else() -> None:
    prediction = Prediction("a", "m", input="secret", status=Status.SUCCEEDED, output="1")

    assert prediction.outcome == {
        "status": "succeeded",
        "version": "",
        "attempt": 0,
        "logs": "",
        "output": "1",
    }
    assert set(OUTCOME) <= {field.name for field in fields(Prediction)}
