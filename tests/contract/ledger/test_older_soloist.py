"""Beside an older Soloist: its scripts run on the same keys, and nothing that names a version goes wrong."""

from collections.abc import Iterator
from pathlib import Path
from typing import TypeVar

import msgpack
import pytest

from contract.ledger.keys import lua_table
from contract.ledger.transitions import (
    Transition,
    read_predictions,
    release,
)
from contract.prediction import Status
from contract.settings import Settings
from tests.contract.ledger.pinning import (
    A,
    B,
    accept,
    say,
    taken,
)
from tests.support.ledger_harness import CLOCK, LedgerHarness

T = TypeVar("T")


def calls(harness: LedgerHarness) -> dict[str, int]:
    stats = harness.redis.info("commandstats")
    return {command: row["calls"] for command, row in stats.items()}


RENAMED = {"told": "endings", "rings": "wakeups"}
"""What older scripts answer under another name."""
OLDER_KEYS = "K.rings, K.ring = K.wakeups, K.last_wakeup\n"
"""The keys by the names that they had in them."""


class OlderLedgerHarness(LedgerHarness):
    """A ledger whose worker, gateway and keeper run the scripts from before versions could be named."""

    def run(self, transition: Transition[T]) -> T:
        folder = Path(__file__).parents[1] / "golden" / "older"
        parts = ((folder / f"{part}.lua").read_text() for part in ("common", transition.script))
        args = transition.args | {"ring": transition.args.get("wakeup")}
        args |= args.get("retry", {})
        arguments = msgpack.packb(args, use_bin_type=False)
        packed = self.redis.eval(
            lua_table() + OLDER_KEYS + CLOCK + "".join(parts), 0, self.ledger.prefix, arguments
        )
        answer = msgpack.unpackb(packed, strict_map_key=False)
        if isinstance(answer, dict):
            answer = {RENAMED.get(name, name): value for name, value in answer.items()}
        if transition.script == "create":  # it said less
            answer["results"] = [[*row, False, "f" * 64] for row in answer["results"]]
        if transition.script == "claim":
            answer["more"] = False
        return transition.read_answer(answer)


@pytest.fixture
def older(settings: Settings, harness: LedgerHarness) -> Iterator[OlderLedgerHarness]:
    opened = OlderLedgerHarness(settings)
    yield opened
    opened.close()


def test_an_older_worker_takes_what_is_pinned_last(
    harness: LedgerHarness, older: OlderLedgerHarness
) -> None:
    accept(harness, "pinned", A)
    harness.advance(1)
    accept(harness, "plain")

    assert [c.id for c in older.claim()] == ["plain", "pinned"]


def test_what_an_older_worker_took_is_no_longer_offered(
    harness: LedgerHarness, older: OlderLedgerHarness
) -> None:
    say(harness, A)
    for id in "abc":
        accept(harness, id, A)
    claimed = older.claim(limit=2)
    assert taken(harness, A) == ["c"]
    older.finish(claimed)

    assert harness.members("pinned", f"m@{A}") == []
    assert harness.status("a") is Status.SUCCEEDED


def test_what_an_older_keeper_put_back_is_still_for_its_version(
    harness: LedgerHarness, older: OlderLedgerHarness
) -> None:
    say(harness, A)
    accept(harness, "a", A)
    accept(harness, "b")
    harness.claim(version=A)
    harness.advance(16)
    older.sweep()
    assert [taken(harness, B) for _ in range(2)] == [["b"], []]

    assert taken(harness, A) == ["a"]


def test_what_an_older_gateway_canceled_is_dropped(
    harness: LedgerHarness, older: OlderLedgerHarness
) -> None:
    say(harness, A)
    accept(harness, "a", A)
    older.cancel("a")
    assert taken(harness, A) == []
    assert harness.members("pinned", f"m@{A}") == []

    assert harness.status("a") is Status.CANCELED


def test_what_an_older_gateway_accepted_runs_and_says_who_ran_it(
    harness: LedgerHarness, older: OlderLedgerHarness
) -> None:
    older.accept(id="a", version="f" * 64)
    (claimed,) = harness.claim(version=A)
    attempts = [(claimed.id, claimed.attempt)]
    older.run(release(harness.terms(), attempts, idle=True, suspect=False))
    harness.finish(harness.claim(version=B))
    (view,) = harness.run(read_predictions([("a", -1)]))

    assert view is not None
    assert (view.prediction.version, view.prediction.pinned) == (B, None)
