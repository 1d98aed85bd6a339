"""A ledger in name only, for a worker's parts: it remembers what it was asked, and answers or fails as a test says."""

from threading import Event
from typing import Any

from contract.errors import LedgerUnavailable
from contract.ledger.transitions import Transition


class FakeLedger:
    """Answers `extend`, `report`, `finish` and `release`; `answers` says how, as Redis would."""

    def __init__(self) -> None:
        self.written: list[Transition[Any]] = []
        """What was carried out, in order."""
        self.answers: dict[str, Any] = {
            "extend": [],
            "report": True,
            "finish": [],
            "release": {"wakeups": [7], "endings": []},
        }
        self.fails: dict[str, Exception] = {}
        """Predictions that cannot be finished or released."""
        self.faults: list[Exception] = []
        """One for each of the next calls."""
        self.away = False
        self.asked_while_away = 0
        self.inside, self.gate = Event(), Event()
        """A call is under way; it goes on while the gate is open."""
        self.gate.set()

    def run(self, transition: Transition[Any]) -> Any:
        self.inside.set()
        assert self.gate.wait(10)
        if self.away:
            self.asked_while_away += 1
            raise LedgerUnavailable
        if self.faults:
            raise self.faults.pop(0)
        if transition.script in ("finish", "release"):
            for id in ids_of(transition):
                if error := self.fails.get(id):
                    raise error
        self.written.append(transition)
        return transition.read_answer(self.answers[transition.script])

    def rows(self, script: str) -> list[list[Any]]:
        """The predictions of each call of a script, as they were sent."""
        return [t.args["predictions"] for t in self.written if t.script == script]

    def ids(self, script: str) -> list[list[str]]:
        """The ids of the predictions of each call of a script."""
        return [ids_of(t) for t in self.written if t.script == script]


def ids_of(transition: Transition[Any]) -> list[str]:
    """The predictions that a transition is about."""
    rows = transition.args["predictions"]
    return [row["id"] if isinstance(row, dict) else row[0] for row in rows]
