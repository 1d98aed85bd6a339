"""Erasing what a prediction holds of its user."""

from contract.ledger.transitions import (
    Report,
    erase,
    list_page,
    read_dead_list,
    replay,
    report,
)
from contract.prediction import Status
from tests.support.ledger_harness import LedgerHarness

PRIVATE = '{"text": "who knows this"}'


def finished(harness: LedgerHarness, **more: object) -> str:
    id = harness.accept(input=PRIVATE, owner="alice")
    claimed = harness.claim()
    events = [("output", "who "), ("logs", "knows")]
    harness.run(report([Report(id, claimed[0].attempt, logs="knows this", events=events)]))
    harness.finish(claimed, '"who knows that"', **more)
    return id


def everything(harness: LedgerHarness) -> bytes:
    """All that the ledger holds, in one piece."""
    return b"".join(
        harness.redis.dump(key) for key in harness.redis.scan_iter(f"{harness.ledger.prefix}*")
    )


def test_input_output_and_logs_are_gone_and_how_it_ended_stays(harness: LedgerHarness) -> None:
    id = finished(harness)
    erased = harness.run(erase(id, "alice"))
    assert erased is not None
    assert erased.data_removed
    assert (erased.status, erased.input, erased.output, erased.logs) == (
        Status.SUCCEEDED,
        "{}",
        None,
        "",
    )
    assert harness.get(id) == erased
    assert b"who" not in everything(harness)
    assert b"knows" not in everything(harness)


def test_what_a_model_said_of_an_error_goes_too_and_its_code_stays(harness: LedgerHarness) -> None:
    id = finished(harness, error="cannot read 'who knows this'", error_code="invalid_input")
    erased = harness.run(erase(id, "alice"))
    assert erased is not None
    assert erased.error_code == "invalid_input"
    assert erased.error == "removed with the data of the prediction"
    assert b"who" not in everything(harness)


def test_what_is_not_over_keeps_its_data(harness: LedgerHarness) -> None:
    waiting = harness.accept(input=PRIVATE)
    kept = harness.run(erase(waiting, "local"))
    assert kept is not None
    assert (kept.status, kept.input, kept.data_removed) == (Status.STARTING, PRIVATE, False)
    claimed = harness.claim()
    running = harness.run(erase(waiting, "local"))
    assert running is not None
    assert (running.status, running.input) == (Status.PROCESSING, PRIVATE)
    assert harness.finish(claimed) == []


def test_another_owners_prediction_is_not_there(harness: LedgerHarness) -> None:
    id = finished(harness)
    assert harness.run(erase(id, "bob")) is None
    assert harness.run(erase("nothing", "alice")) is None
    assert harness.get(id).input == PRIVATE


def test_again_is_the_same(harness: LedgerHarness) -> None:
    id = finished(harness)
    assert harness.run(erase(id, "alice")) == harness.run(erase(id, "alice"))


def test_a_repeated_create_gets_the_prediction_without_its_data(harness: LedgerHarness) -> None:
    asked = {"id": "mine", "digest": "d"}
    harness.accept(**asked)
    harness.finish(harness.claim())
    harness.run(erase("mine", "local"))
    (repeated,) = harness.create(harness.new_prediction(**asked)).results or []
    assert repeated.prediction.data_removed
    assert harness.claim() == []


def test_a_dead_prediction_without_its_input_is_not_replayed(harness: LedgerHarness) -> None:
    id = harness.accept(input=PRIVATE)
    harness.lose(3)
    assert harness.status(id) is Status.FAILED
    harness.run(erase(id, "local"))
    assert harness.run(read_dead_list("m")) == []
    assert harness.run(replay(id, "again", 4)) is None


def test_the_list_knows_whose_data_is_gone(harness: LedgerHarness) -> None:
    ids = [finished(harness) for _ in range(2)]
    harness.run(erase(ids[0], "alice"))
    listed = harness.run(list_page("alice", brief=True)).predictions
    assert [(p.id, p.data_removed) for p in listed] == [(ids[1], False), (ids[0], True)]
