"""What running predictions say of themselves reaches the ledger in order, and before their outcome."""

from threading import Event, Thread

import pytest

from contract.errors import LedgerUnavailable
from contract.ledger.client import Ledger
from contract.ledger.lease_terms import LeaseTerms
from contract.ledger.new_prediction import NewPrediction
from contract.ledger.transitions import (
    MOST_LOG_BYTES,
    MOST_STREAMED_BYTES,
    Claimed,
    Outcome,
    claim,
    create,
    finish,
    read_predictions,
    release,
)
from contract.prediction import Prediction
from tests.support.fake_ledger import FakeLedger
from tests.support.waiting import until
from worker.models.interface import Item
from worker.reports import Reporter, StreamedOutput


@pytest.fixture
def fake() -> FakeLedger:
    return FakeLedger()


def events(fake: FakeLedger, id: str) -> list[tuple[str, str]]:
    """What was sent of one prediction's stream."""
    rows = [row for call in fake.rows("report") for row in call if row["id"] == id]
    return [tuple(event) for row in rows for event in row["events"]]


def following(reporter: Reporter, *ids: str) -> list[Item]:
    reporter.follow_predictions(Claimed(id, 1, "{}", 0.0) for id in ids)
    return [Item(id, {}, report=reporter.take_report) for id in ids]


def test_pieces_arrive_in_order(fake: FakeLedger) -> None:
    reporter = Reporter(fake)
    (item,) = following(reporter, "a")
    for n in range(500):
        item.emit(str(n))
        if n % 50 == 0:
            item.log(f"at {n}")
    reporter.flush()
    expected = []
    for n in range(500):
        expected.append(("output", str(n)))
        if n % 50 == 0:
            expected.append(("logs", f"at {n}\n"))
    assert events(fake, "a") == expected


def test_what_gathers_during_a_call_goes_in_the_next_one(fake: FakeLedger) -> None:
    reporter = Reporter(fake)
    first, second = following(reporter, "a", "b")
    fake.gate.clear()
    first.emit("0")
    assert fake.inside.wait(10)
    for n in range(1, 100):
        first.emit(str(n))
        second.progress(n / 100)
    fake.gate.set()
    reporter.flush()
    assert len(fake.rows("report")) == 2
    assert {row["id"]: row.get("progress") for row in fake.rows("report")[1]} == {
        "a": None,
        "b": 0.99,
    }
    assert len(fake.rows("report")[1][0]["events"]) == 99


def test_flush_returns_only_when_the_call_under_way_is_over(fake: FakeLedger) -> None:
    reporter = Reporter(fake)
    (item,) = following(reporter, "a")
    fake.gate.clear()
    item.emit("piece")
    assert fake.inside.wait(10)
    flushed = Event()
    waiter = Thread(target=lambda: (reporter.flush(), flushed.set()))
    waiter.start()
    assert not flushed.wait(0.1)
    fake.gate.set()
    assert flushed.wait(10)
    waiter.join(10)
    assert events(fake, "a") == [("output", "piece")]


def test_flush_returns_at_once_when_nothing_was_said(fake: FakeLedger) -> None:
    Reporter(fake).flush()
    assert fake.rows("report") == []


def test_what_is_not_followed_or_is_over_is_not_carried(fake: FakeLedger) -> None:
    reporter = Reporter(fake)
    (item,) = following(reporter, "a")
    Item("stranger", {}, report=reporter.take_report).emit("x")
    fake.gate.clear()
    item.emit("first")
    assert fake.inside.wait(10)
    item.emit("second")
    reporter.forget_predictions(["a"])
    item.emit("third")
    fake.gate.set()
    reporter.flush()
    assert events(fake, "a") == [("output", "first")]


def test_a_ledger_that_comes_back_gets_every_piece_once(fake: FakeLedger) -> None:
    reporter = Reporter(fake)
    (item,) = following(reporter, "a")
    fake.faults += [LedgerUnavailable(), LedgerUnavailable()]
    for n in range(50):
        item.emit(str(n))
    until("all events are recorded", lambda: len(events(fake, "a")) == 50)
    assert events(fake, "a") == [("output", str(n)) for n in range(50)]
    reporter.flush()
    assert len(events(fake, "a")) == 50


def test_a_ledger_that_stays_away_does_not_hold_up_the_outcome(fake: FakeLedger) -> None:
    reporter = Reporter(fake)
    first, second = following(reporter, "a", "b")
    fake.away = True
    first.emit("lost")
    second.emit("lost")
    reporter.flush()
    fake.away = False
    first.emit("late")
    reporter.flush()
    # The ledger does not close the gap: it knows by the offset that something is missing.
    ((row,),) = fake.rows("report")
    assert (row["events"], row["offset"]) == ([("output", "late")], 4)
    assert reporter.said("a") == 8


def test_logs_that_gather_while_the_ledger_is_away_are_bounded(fake: FakeLedger) -> None:
    reporter = Reporter(fake)
    (item,) = following(reporter, "a")
    fake.gate.clear()
    item.log("first")
    assert fake.inside.wait(10)
    for _ in range(1000):
        item.log("x" * 999)
    fake.gate.set()
    reporter.flush()
    ((first,), (rest,)) = fake.rows("report")
    assert first["logs"] == "first\n"
    assert MOST_LOG_BYTES <= len(rest["logs"]) <= 2 * MOST_LOG_BYTES
    assert MOST_LOG_BYTES <= sum(len(text) for _, text in rest["events"]) <= 2 * MOST_LOG_BYTES


def test_an_error_that_nobody_expected_costs_a_report_and_nothing_else(fake: FakeLedger) -> None:
    reporter = Reporter(fake)
    (item,) = following(reporter, "a")
    fake.faults.append(ValueError("no script of that name"))
    item.emit("lost")
    reporter.flush()
    item.emit("kept")
    reporter.flush()
    assert events(fake, "a") == [("output", "kept")]


def test_the_record_holds_all_that_was_said_when_the_outcome_is_written(ledger: Ledger) -> None:
    ledger.run(create([NewPrediction(Prediction(id="p1", model="m"), 10, 4)]))
    terms = LeaseTerms("m", "w1", 4)
    (claimed,) = ledger.run(claim(terms, 1)).predictions
    reporter = Reporter(ledger)
    reporter.follow_predictions([claimed])
    item = Item(claimed.id, {}, report=reporter.take_report)
    for n in range(50):
        item.emit(f"{n} ")
    item.log("half \ud800 a pair")  # what no UTF-8 can say must not end the thread
    item.progress(0.5)
    reporter.flush()
    ledger.run(finish(terms, [Outcome("p1", claimed.attempt, b'"done"')], idle=True, seconds=0.1))
    (view,) = ledger.run(read_predictions([("p1", 0)]))
    assert view is not None
    assert "".join(text for kind, text in view.events if kind == "output") == "".join(
        f"{n} " for n in range(50)
    )
    assert view.prediction.logs == "half ? a pair\n"


def test_an_error_of_half_a_surrogate_pair_is_an_outcome_like_any_other(ledger: Ledger) -> None:
    ledger.run(create([NewPrediction(Prediction(id="p1", model="m"), 10, 4)]))
    terms = LeaseTerms("m", "w1", 4)
    (claimed,) = ledger.run(claim(terms, 1)).predictions
    failure = Outcome("p1", claimed.attempt, error="no file \udcff", error_code="model_error")
    assert ledger.run(finish(terms, [failure], idle=True, seconds=0.1)) == []
    (view,) = ledger.run(read_predictions([("p1", -1)]))
    assert view is not None
    assert view.prediction.error == "no file ?"


# A run that comes after another one.


def pieces(output: StreamedOutput, *said: str) -> list[str]:
    """What is new of each piece."""
    return [output.add_piece(piece.encode()).decode() for piece in said]


@pytest.mark.parametrize(
    "again",
    [
        ["Hel", "lo", " wörld"],
        ["H", "e", "l", "l", "o", " ", "w", "ö", "r", "l", "d"],
        ["Hello wö", "rld"],
        ["", "Hello wörld", ""],
    ],
)
@pytest.mark.parametrize("before", ["", "Hel", "Hello wö", "Hello wörld"])
def test_a_second_run_says_only_what_is_new_however_it_cuts_its_text(
    before: str, again: list[str]
) -> None:
    for output in (StreamedOutput(2, before), StreamedOutput(1)):
        pieces(output, *before[len(output.text.decode()) :])
        output.restart()
        assert "".join(pieces(output, *again)) == "Hello wörld"[len(before) :]
        assert output.said == len("Hello wörld".encode())
        assert output.text.decode() == "Hello wörld"


def test_a_second_run_is_silent_from_where_it_differs_until_a_third_one_agrees() -> None:
    output = StreamedOutput(2, "Hello")
    assert pieces(output, "He", "lp", "lo wörld") == ["", "", ""]
    assert output.said == -1
    output.restart()
    assert pieces(output, "Hello", " you") == ["", " you"]
    assert output.said == 9
    output.restart()
    assert pieces(output, "Hello you, ", "all") == [", ", "all"]


def test_a_second_run_that_says_less_says_how_much() -> None:
    output = StreamedOutput(2, "Hello")
    assert output.said == 0
    assert pieces(output, "He") == [""]
    assert output.said == 2
    assert StreamedOutput(2, "").said is None


def test_nothing_is_streamed_beyond_the_bound_and_the_run_still_counts() -> None:
    output = StreamedOutput(1)
    half = "x" * (MOST_STREAMED_BYTES // 2)
    assert [len(new) for new in pieces(output, half, half, "x", "", "x")] == [
        *(len(half), len(half), 0, 0, 0),
    ]
    assert output.said == MOST_STREAMED_BYTES + 2
    assert len(output.text) == MOST_STREAMED_BYTES


def test_runs_of_one_batch_and_of_several_workers_stream_one_text(ledger: Ledger) -> None:
    ledger.run(create([NewPrediction(Prediction(id="p1", model="m"), 10, 4)]))
    text, seen = "a text that is never said twice \U0001f642", []
    for worker, cuts in enumerate([(2, 3), (5, 9), (4, 40)], start=1):
        terms = LeaseTerms("m", f"w{worker}", 4)
        (claimed,) = ledger.run(claim(terms, 1)).predictions
        reporter = Reporter(ledger)
        reporter.follow_predictions([claimed])
        item = Item(claimed.id, {}, report=reporter.take_report)
        for cut in cuts:
            item.again()
            for at in range(0, min(cut * 4, len(text)), cut):
                item.emit(text[at : at + cut])
        reporter.flush()
        said = reporter.said("p1")
        (view,) = ledger.run(read_predictions([("p1", 0)]))
        assert view is not None
        seen.append("".join(piece for _, piece in view.events))
        assert said == len(seen[-1].encode())
        ledger.run(release(terms, [(claimed.id, claimed.attempt)], idle=True, suspect=False))
    assert [len(some) for some in seen] == [12, 33, 33]
    assert seen[-1] == text


def test_small_pieces_that_wait_for_a_ledger_take_little_room_and_stay_in_order(
    fake: FakeLedger,
) -> None:
    reporter = Reporter(fake)
    (item,) = following(reporter, "a")
    fake.away = True
    pieces = [f"{number} " for number in range(50_000)]
    for number, piece in enumerate(pieces):
        item.emit(piece)
        if number % 10_000 == 0:
            item.log(f"at {number}")
    waiting = reporter._waiting["a"].events
    assert len(waiting) < 1_300
    fake.away = False
    until(
        "all pieces are recorded",
        lambda: "".join(t for k, t in events(fake, "a") if k == "output") == "".join(pieces),
    )
    logs = [text for kind, text in events(fake, "a") if kind == "logs"]
    assert logs == [f"at {number}\n" for number in range(0, 50_000, 10_000)]
