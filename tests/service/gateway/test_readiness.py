"""Whether a prediction was accepted cold: what the gateway knows of a model's workers."""

import asyncio
from typing import Any

from contract.errors import LedgerUnavailable
from contract.ledger.transitions import ModelSnapshot, Transition
from contract.ledger.workers import Worker
from service.gateway.readiness import Readiness


class ScriptedLedger:
    """A ledger that remembers what it was asked, and says what it is told to."""

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)
        self.models: list[str] = []

    async def run(self, transition: Transition[Any]) -> Any:
        self.models += transition.args["models"]
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return dict.fromkeys(transition.args["models"], answer)


COLD = ModelSnapshot(0, 0, 0, 0.0)
WARM = ModelSnapshot(0, 0, 0, 0.0, workers=[Worker("w1", "ready")])


def test_the_ledger_is_asked_at_most_once_a_second_for_each_model() -> None:
    async def checks() -> None:
        ledger = ScriptedLedger(COLD, WARM, WARM)
        readiness = Readiness(ledger)
        first = [readiness.check_model("a", 100.0 + n / 1000) for n in range(999)]
        other = readiness.check_model("b", 100.5)
        assert len(set(map(id, first))) == 1
        await asyncio.sleep(0)
        assert (first[0].cold, other.cold) == (True, False)
        later = readiness.check_model("a", 101.0)
        await asyncio.sleep(0)
        assert ledger.models == ["a", "b", "a"]
        assert (first[0].cold, later.cold) == (True, False), "each says what was when it was taken"

    asyncio.run(checks())


def test_a_check_that_the_ledger_did_not_answer_says_nothing_of_cold() -> None:
    async def check_model() -> bool:
        check = Readiness(ScriptedLedger(LedgerUnavailable())).check_model("a", 100.0)
        await asyncio.sleep(0)
        return check.cold

    assert not asyncio.run(check_model())
