"""What running predictions say of themselves reaches the ledger in order, and before their outcome."""

from threading import Event, Thread
from typing import Any

import pytest

from contract.errors import LedgerUnavailable
from contract.ledger import Ledger
from contract.prediction import Prediction
from contract.transitions import (
    Holder,
    Outcome,
    Submission,
    Transition,
    claim,
    create,
    finish,
    read,
)
from worker.models.interface import Item
from worker.reports import Reporter


class Book:
    """A ledger that remembers reports; `gate` holds up the call under way."""

    def __init__(self) -> None:
        self.calls: list[list[dict[str, Any]]] = []
        self.gate = Event()
        self.gate.set()
        self.inside = Event()
        self.faults: list[Exception] = []

    def run(self, transition: Transition[Any]) -> Any:
        assert transition.script == "report"
        self.inside.set()
        assert self.gate.wait(10)
        if self.faults:
            raise self.faults.pop(0)
        self.calls.append(transition.args["predictions"])
        return True

    def events(self, id: str) -> list[tuple[str, str]]:
        return [
            tuple(event)
            for call in self.calls
            for row in call
            if row["id"] == id
            for event in row["events"]
        ]


@pytest.fixture
def book() -> Book:
    return Book()


def following(reporter: Reporter, *ids: str) -> list[Item]:
    reporter.follow(dict.fromkeys(ids, 1))
    return [Item(id, {}, report=reporter.take) for id in ids]


def test_pieces_arrive_in_order(book: Book) -> None:
    reporter = Reporter(book)
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
    assert book.events("a") == expected


def test_what_gathers_during_a_call_goes_in_the_next_one(book: Book) -> None:
    reporter = Reporter(book)
    first, second = following(reporter, "a", "b")
    book.gate.clear()
    first.emit("0")
    assert book.inside.wait(10)
    for n in range(1, 100):
        first.emit(str(n))
        second.progress(n / 100)
    book.gate.set()
    reporter.flush()
    assert len(book.calls) == 2
    assert {row["id"]: row.get("progress") for row in book.calls[1]} == {"a": None, "b": 0.99}
    assert len(book.calls[1][0]["events"]) == 99


def test_flush_returns_only_when_the_call_under_way_is_over(book: Book) -> None:
    reporter = Reporter(book)
    (item,) = following(reporter, "a")
    book.gate.clear()
    item.emit("piece")
    assert book.inside.wait(10)
    flushed = Event()
    waiter = Thread(target=lambda: (reporter.flush(), flushed.set()))
    waiter.start()
    assert not flushed.wait(0.1)
    book.gate.set()
    assert flushed.wait(10)
    waiter.join(10)
    assert book.events("a") == [("output", "piece")]


def test_flush_returns_at_once_when_nothing_was_said(book: Book) -> None:
    Reporter(book).flush()
    assert book.calls == []


def test_what_is_not_followed_or_is_over_is_not_carried(book: Book) -> None:
    reporter = Reporter(book)
    (item,) = following(reporter, "a")
    Item("stranger", {}, report=reporter.take).emit("x")
    book.gate.clear()
    item.emit("first")
    assert book.inside.wait(10)
    item.emit("second")
    reporter.forget(["a"])
    item.emit("third")
    book.gate.set()
    reporter.flush()
    assert book.events("a") == [("output", "first")]


@pytest.mark.parametrize("fault", [LedgerUnavailable(), ValueError("no script of that name")])
def test_a_ledger_that_fails_costs_a_report_and_nothing_else(book: Book, fault: Exception) -> None:
    reporter = Reporter(book)
    (item,) = following(reporter, "a")
    book.faults.append(fault)
    item.emit("lost")
    reporter.flush()
    item.emit("kept")
    reporter.flush()
    assert book.events("a") == [("output", "kept")]


def test_the_record_holds_all_that_was_said_when_the_outcome_is_written(ledger: Ledger) -> None:
    ledger.run(create([Submission(Prediction(id="p1", model="m"), 10, 4)]))
    holder = Holder("m", "w1", 4)
    (claimed,) = ledger.run(claim(holder, 1)).predictions
    reporter = Reporter(ledger)
    reporter.follow({claimed.id: claimed.attempt})
    item = Item(claimed.id, {}, report=reporter.take)
    for n in range(50):
        item.emit(f"{n} ")
    item.log("half \ud800 a pair")  # what no UTF-8 can say must not end the thread
    item.progress(0.5)
    reporter.flush()
    ledger.run(finish(holder, [Outcome("p1", claimed.attempt, b'"done"')], idle=True, seconds=0.1))
    (view,) = ledger.run(read([("p1", 0)]))
    assert view is not None
    assert "".join(text for kind, text in view.events if kind == "output") == "".join(
        f"{n} " for n in range(50)
    )
    assert view.prediction.logs == "half ? a pair\n"


def test_an_error_of_half_a_surrogate_pair_is_an_outcome_like_any_other(ledger: Ledger) -> None:
    ledger.run(create([Submission(Prediction(id="p1", model="m"), 10, 4)]))
    holder = Holder("m", "w1", 4)
    (claimed,) = ledger.run(claim(holder, 1)).predictions
    failure = Outcome("p1", claimed.attempt, error="no file \udcff", error_code="model_error")
    assert ledger.run(finish(holder, [failure], idle=True, seconds=0.1)) == []
    (view,) = ledger.run(read([("p1", -1)]))
    assert view is not None
    assert view.prediction.error == "no file ?"
