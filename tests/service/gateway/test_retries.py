"""A call that changes the ledger is tried again until it is known what became of it, and no longer than its caller waits."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from contract.errors import LedgerFull, LedgerUnavailable
from contract.ledger.transitions import Transition, cancel
from service.gateway import retries
from service.gateway.retries import Retries

TRANSITION = cancel("id", "local")


class ScriptedLedger:
    """A ledger whose calls end one after the other as it is told; the last of them goes on for ever."""

    def __init__(self, *ends: Any) -> None:
        self.ends = list(ends)
        self.attempts: list[int] = []
        self.seconds: list[float] = []
        self.settings = SimpleNamespace(ledger_timeout_seconds=0.5)

    async def run(self, transition: Transition[Any], *, seconds: float, attempt: int) -> Any:
        assert transition is TRANSITION
        self.attempts.append(attempt)
        self.seconds.append(seconds)
        end = self.ends.pop(0) if len(self.ends) > 1 else self.ends[0]
        if isinstance(end, Exception):
            raise end
        return end


def unsent() -> LedgerUnavailable:
    return LedgerUnavailable("it is away")


def sent() -> LedgerUnavailable:
    return LedgerUnavailable("no answer", sent=True)


def run(ledger: ScriptedLedger, seconds: float = 10.0) -> tuple[Any, Retries]:
    """What comes of a call, and its retries."""

    async def call() -> tuple[Any, Retries]:
        until = asyncio.get_running_loop().time() + seconds
        tried = Retries(ledger, until)  # type: ignore[arg-type]
        try:
            return await tried.run_transition(TRANSITION), tried
        except (LedgerUnavailable, LedgerFull) as error:
            return error, tried

    return asyncio.run(call())


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retries, "FIRST_PAUSE_SECONDS", 0.0)
    monkeypatch.setattr(retries, "MOST_PAUSE_SECONDS", 0.0)


def test_an_answer_is_the_end() -> None:
    ledger = ScriptedLedger("done")
    answer, tried = run(ledger)
    assert (answer, ledger.attempts, tried.in_doubt) == ("done", [1], False)


def test_a_lost_answer_is_asked_for_again_with_the_next_number() -> None:
    ledger = ScriptedLedger(sent(), sent(), "done")
    answer, tried = run(ledger)
    assert (answer, ledger.attempts) == ("done", [1, 2, 3])
    assert tried.in_doubt, "an earlier try may have carried it out"


def test_a_ledger_that_is_away_is_tried_once_more_and_then_given_up() -> None:
    ledger = ScriptedLedger(unsent())
    error, tried = run(ledger)
    assert (error.detail, error.sent, ledger.attempts) == ("it is away", False, [1, 2])
    assert not tried.in_doubt


def test_what_was_on_its_way_once_is_tried_until_its_time_is_over() -> None:
    ledger = ScriptedLedger(sent(), unsent())
    error, _ = run(ledger, seconds=retries.LEAST_SECONDS + 0.05)
    assert error.sent, "nobody knows whether the first try was carried out"
    assert len(ledger.attempts) > 2


def test_a_full_ledger_refuses_at_once() -> None:
    ledger = ScriptedLedger(LedgerFull("no room"))
    error, _ = run(ledger)
    assert isinstance(error, LedgerFull)
    assert ledger.attempts == [1]


def test_a_full_ledger_says_nothing_of_an_earlier_try_that_was_on_its_way() -> None:
    ledger = ScriptedLedger(sent(), LedgerFull("no room"))
    error, _ = run(ledger, seconds=retries.LEAST_SECONDS + 0.05)
    assert isinstance(error, LedgerUnavailable)
    assert error.sent


def test_no_try_takes_longer_than_its_share_than_the_setting_or_than_what_is_left(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(retries, "TRY_SECONDS", 2.0)
    for timeout, left, most in ((5.0, 10.0, 2.0), (0.5, 10.0, 0.5), (5.0, 1.0, 1.0)):
        ledger = ScriptedLedger("done")
        ledger.settings.ledger_timeout_seconds = timeout
        run(ledger, seconds=left)
        assert 0 < ledger.seconds[0] <= most


def test_a_pause_doubles_up_to_its_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)

    monkeypatch.setattr(retries, "FIRST_PAUSE_SECONDS", 1.0)
    monkeypatch.setattr(retries, "MOST_PAUSE_SECONDS", 3.0)
    monkeypatch.setattr(retries.asyncio, "sleep", sleep)
    run(ScriptedLedger(*[sent()] * 4, "done"), seconds=1000.0)
    assert pauses == [1.0, 2.0, 3.0, 3.0]
