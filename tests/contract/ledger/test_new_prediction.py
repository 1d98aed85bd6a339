"""A prediction that is yet to be accepted: made from a checked input, and the row that the ledger gets."""

from typing import Any

import pytest

from contract.catalog import ModelSpec
from contract.errors import InvalidInput
from contract.input_schema import InputSchema
from contract.ledger.new_prediction import NewPrediction
from contract.prediction import Prediction, Priority


def new(input: dict[str, Any] | None = None, **asked: Any) -> NewPrediction:
    spec = ModelSpec(
        name="m",
        python="nowhere:Nothing",
        max_queue=7,
        max_batch_size=3,
        result_ttl_seconds=60.0,
        input_schema={"type": "object", "properties": {"n": {"type": "integer"}}},
    )
    return NewPrediction.from_input(
        InputSchema(spec), {} if input is None else input, "me", **asked
    )


def test_an_input_that_does_not_fit_makes_none() -> None:
    with pytest.raises(InvalidInput):
        new({"n": "many"})


def test_it_brings_what_the_ledger_must_know_of_its_model() -> None:
    made = new({"n": 1})

    assert made.model_row == {"max_queue": 7, "max_batch": 3, "entry": made.entry}
    assert (made.row["owner"], made.row["input"], made.row["result_ttl"]) == ("me", '{"n":1}', 60.0)


def test_what_is_not_set_is_not_written() -> None:
    always = {
        "id",
        "model",
        "version",
        "owner",
        "input",
        "digest",
        "priority",
        "result_ttl",
        "credit",
    }
    assert set(new().row) == always
    full = new(
        id="mine",
        version="v" * 64,
        idempotency_key="k",
        deadline_seconds=1.0,
        traceparent="00-1-2-01",
        tracestate="a=b",
    )
    full.watcher, full.not_after = "g", 5.0
    more = {
        "receipt",
        "pinned",
        "idempotency_key",
        "deadline_seconds",
        "traceparent",
        "tracestate",
        "watchers",
        "not_after",
    }
    assert set(full.row) == always | more


def test_a_trace_state_without_a_trace_is_not_written() -> None:
    assert "tracestate" not in NewPrediction(Prediction("a", "m", tracestate="a=b"), 1, 1).row


def test_only_what_can_be_repeated_is_compared_and_that_whatever_the_order_of_its_members() -> None:
    assert new({"n": 1}).row["digest"] == "-"
    one = new({"n": 1, "text": "x"}, idempotency_key="k").row["digest"]
    assert one == new({"text": "x", "n": 1}, idempotency_key="k").row["digest"]
    others = [
        new({"n": 2, "text": "x"}, idempotency_key="k"),
        new({"n": 1, "text": "x"}, idempotency_key="k", priority=Priority.HIGH),
        new({"n": 1, "text": "x"}, idempotency_key="k", deadline_seconds=1.0),
        new({"n": 1, "text": "x"}, idempotency_key="k", version="v" * 64),
    ]
    assert len({one, *(other.row["digest"] for other in others)}) == 5


def test_integers_beyond_64_bits_are_compared_and_kept() -> None:
    made = new({"n": 2**70}, id="mine")

    assert made.row["input"] == f'{{"n":{2**70}}}'
    assert made.row["digest"] != new({"n": 2**70 + 1}, id="mine").row["digest"]


def test_two_that_bring_the_same_id_have_receipts_of_their_own() -> None:
    assert new(id="mine").row["receipt"] != new(id="mine").row["receipt"]


@pytest.mark.parametrize(
    ("priority", "credit"), [("high", 300.0), ("normal", 0.0), ("low", -300.0)]
)
def test_a_priority_is_a_credit_of_time(priority: str, credit: float) -> None:
    assert new(priority=Priority(priority), priority_credit_seconds=300.0).row["credit"] == credit
