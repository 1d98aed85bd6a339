"""Predictions that name a version are run by that version only, and cost nobody else anything."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeVar

import msgpack
import pytest
from desk import CLOCK, Desk

from contract.ledger.keys import PER_VERSION, lua_table
from contract.ledger.transitions import (
    Created,
    Pins,
    Transition,
    Unserved,
    announce,
    claim,
    dead,
    name,
    pins,
    read,
    release,
    replay,
    state,
)
from contract.ledger.workers import Worker
from contract.prediction import Status
from contract.settings import Settings
from contract.versions import UNTOLD, entry_of, is_version, named_version

T = TypeVar("T")

ENTRY, OTHER = "a" * 32, "b" * 32
A, B = ENTRY + "1" * 32, ENTRY + "2" * 32
"""One entry of a catalog whose files changed: A was there first."""
C = OTHER + "3" * 32
"""Another entry for the same model."""
LIFETIME = 15.0


def say(desk: Desk, version: str, worker: str = "w1", state: str = "ready") -> None:
    desk.run(announce("m", Worker(worker, state, model_version=version), LIFETIME))


def accept(desk: Desk, id: str, version: str | None = None, **more: Any) -> str:
    return desk.accept(id=id, pinned=version, entry=ENTRY, **more)


def unserved(desk: Desk, version: str, **more: Any) -> bool:
    (result,) = desk.create(desk.submission(pinned=version, entry=ENTRY, **more)).results or ()
    return isinstance(result, Unserved)


def taken(desk: Desk, version: str, **more: Any) -> list[str]:
    return [c.id for c in desk.claim(version=version, **more)]


def look(desk: Desk, *, settle: bool = True, entries: str = ENTRY, most: int = 500) -> Pins:
    """What a keeper does whose catalog has this entry."""
    desk.run(name({"m": entries}, LIFETIME))
    return desk.run(pins("m", max_batch_size=4, settle=settle, most=most))


# --- who runs what --------------------------------------------------------------------------------


def test_a_pinned_prediction_is_run_by_its_version_only(desk: Desk) -> None:
    say(desk, A)
    accept(desk, "a", A)

    assert taken(desk, B) == []
    assert taken(desk, C) == []
    assert taken(desk, "") == []
    assert taken(desk, A) == ["a"]
    assert desk.get("a").version == desk.get("a").pinned == A


def test_one_that_names_only_the_model_says_which_version_ran_it(desk: Desk) -> None:
    say(desk, A)
    accept(desk, "a", version=None)
    assert (desk.get("a").version, desk.get("a").pinned) == (A, None)
    (claimed,) = desk.claim(version=B)
    assert desk.get("a").version == B
    desk.finish([claimed])

    assert (desk.get("a").version, desk.get("a").pinned) == (B, None)


def test_before_any_worker_was_there_it_says_what_the_gateway_knows(desk: Desk) -> None:
    (created,) = desk.create(desk.submission(id="a", version=ENTRY + UNTOLD, entry=ENTRY)).results
    assert isinstance(created, Created)

    assert created.prediction.version == desk.get("a").version == ENTRY + UNTOLD


def test_who_waits_is_told_which_version_ran(desk: Desk) -> None:
    pubsub = desk.redis.pubsub()
    pubsub.subscribe(desk.ledger.key("answers", "gw"))
    pubsub.get_message(timeout=5)
    accept(desk, "a", watcher="gw")
    desk.finish(desk.claim(version=B))
    message = pubsub.get_message(timeout=5)
    pubsub.close()

    assert msgpack.unpackb(message["data"])[0][2]["version"] == B


def test_a_claim_takes_the_oldest_of_its_own_and_of_those_for_anybody(desk: Desk) -> None:
    say(desk, A)
    say(desk, B, "w2")
    for id, version in [("1", A), ("2", None), ("3", B), ("4", A), ("5", None), ("6", B)]:
        desk.advance(1)
        accept(desk, id, version)

    assert taken(desk, B, limit=3) == ["2", "3", "5"]
    assert taken(desk, A) == ["1", "4"]
    assert taken(desk, B) == ["6"]


def test_priorities_hold_between_pinned_ones_and_others(desk: Desk) -> None:
    say(desk, A)
    accept(desk, "plain")
    desk.advance(1)
    accept(desk, "high", A, credit_seconds=300)
    accept(desk, "low", A, credit_seconds=-300)

    assert taken(desk, A) == ["high", "plain", "low"]


def test_a_suspect_that_is_pinned_runs_alone(desk: Desk) -> None:
    say(desk, A)
    for id in "abc":
        accept(desk, id, A)
    desk.claim(version=A)
    desk.advance(16)
    desk.sweep()

    assert [taken(desk, A) for _ in range(4)] == [["a"], ["b"], ["c"], []]


# --- going back, and every way out ----------------------------------------------------------------


def test_a_pinned_one_that_comes_back_still_waits_for_its_version(desk: Desk) -> None:
    say(desk, A)
    accept(desk, "a", A)
    desk.release(desk.claim(version=A))
    assert taken(desk, B) == []
    desk.claim(version=A)
    desk.advance(16)
    desk.sweep()
    assert taken(desk, B) == []

    assert taken(desk, A) == ["a"]


def test_a_replay_keeps_its_pin(desk: Desk) -> None:
    say(desk, A)
    accept(desk, "a", A)
    for _ in range(3):
        assert taken(desk, A) == ["a"]
        desk.advance(16)
        desk.sweep()
    assert [p.id for p in desk.run(dead("m"))] == ["a"]
    desk.redis.delete(desk.ledger.key("wakeups", "m"))
    record, wakeups = desk.run(replay("a", "b", 4)) or (None, [])
    assert record is not None

    assert (record.pinned, record.version, len(wakeups)) == (A, A, 1)
    assert taken(desk, B) == []
    assert taken(desk, A) == ["b"]


@pytest.mark.parametrize("how", ["claim", "cancel", "deadline", "late", "gone"])
def test_nothing_is_left_of_what_no_longer_waits(desk: Desk, how: str) -> None:
    say(desk, A)
    accept(desk, "a", A, deadline_seconds=30)
    match how:
        case "claim":
            desk.claim(version=A)
        case "cancel":
            desk.cancel("a")
        case "deadline":
            desk.advance(31)
            desk.expire()
        case "late":
            desk.advance(31)
            desk.claim(version=A)
        case "gone":
            desk.advance(16)
            look(desk, entries=OTHER)

    assert desk.members("queued") == desk.members("pinned", f"m@{A}") == []
    assert desk.redis.smembers(desk.ledger.key("pins", "m")) == set()
    assert "model@version" in PER_VERSION["pinned"]


# --- numbers that people and the autoscaler see ----------------------------------------------------


def test_the_queue_counts_all_that_waits(desk: Desk) -> None:
    say(desk, A)
    accept(desk, "a", A)
    desk.advance(2)
    accept(desk, "b")
    seen = desk.run(state(["m"]))["m"]

    assert desk.redis.zcard(desk.ledger.key("queued", "m")) == 2, "which the autoscaler reads"
    assert (seen.queued, round(seen.oldest_seconds, 3)) == (2, 2)
    assert (desk.sweep().queued, round(desk.sweep().oldest_seconds, 3)) == (2, 2)
    full = desk.create(desk.submission(pinned=A, entry=ENTRY, max_queue=2)).results
    assert full is not None
    assert full[0].waiting == 2


def test_a_position_counts_those_that_its_worker_takes_first(desk: Desk) -> None:
    say(desk, A)
    say(desk, B, "w2")  # the current version now
    created = {}
    for id, version in [("1", A), ("2", None), ("3", B), ("4", A), ("5", None)]:
        desk.advance(1)
        (result,) = desk.create(desk.submission(id=id, pinned=version, entry=ENTRY)).results
        created[id] = result.prediction.queue_position

    assert created == {"1": 1, "2": 1, "3": 2, "4": 3, "5": 3}
    assert {id: desk.get(id).queue_position for id in created} == created
    desk.cancel("2")
    assert [desk.get(id).queue_position for id in "1345"] == [1, 1, 2, 2]


def calls(desk: Desk) -> dict[str, int]:
    stats = desk.redis.info("commandstats")
    return {command: row["calls"] for command, row in stats.items()}


def cost(desk: Desk, expected: list[str]) -> dict[str, int]:
    """How many commands a claim by B runs in Redis."""
    before = calls(desk)
    assert taken(desk, B) == expected
    after = calls(desk)
    ran = {command: count - before.get(command, 0) for command, count in after.items()}
    return {command: count for command, count in ran.items() if count and "info" not in command}


def test_a_claim_costs_the_same_however_many_are_pinned_to_others(desk: Desk) -> None:
    say(desk, A)
    desk.claim(version=B)  # the script is known from here on
    accept(desk, "first")
    alone = cost(desk, ["first"])
    for start in range(0, 10_000, 500):
        ids = range(start, start + 500)
        desk.create(
            *(
                desk.submission(id=f"p{n}", pinned=A, entry=ENTRY, max_queue=20_000, input="1")
                for n in ids
            )
        )
    desk.advance(1)
    accept(desk, "last", max_queue=20_000)
    desk.redis.delete(desk.ledger.key("wakeups", "m"))
    behind = cost(desk, ["last"])

    assert behind == alone
    assert sum(behind.values()) < 30
    assert sum(cost(desk, []).values()) < 15


# --- wakeups ----------------------------------------------------------------------------------------


def test_what_is_pinned_to_others_makes_no_claim_send_wakeups(desk: Desk) -> None:
    """Or two workers would pass messages to each other without end."""
    say(desk, A)
    desk.create(*(desk.submission(pinned=A, entry=ENTRY) for _ in range(50)))
    for wakeup in desk.wakeups:
        desk.claim("w2", version=B, wakeup=wakeup)
    sent = len(desk.wakeups)
    desk.claim("w2", version=B)
    desk.sweep()

    assert len(desk.wakeups) == sent == 1
    assert desk.redis.zcard(desk.ledger.key("wakeups", "m")) == 0


def test_the_keeper_wakes_workers_for_what_waits_for_a_version_that_is_there(desk: Desk) -> None:
    say(desk, A)
    say(desk, B, "w2")
    desk.create(*(desk.submission(pinned=A, entry=ENTRY) for _ in range(50)))
    for wakeup in desk.wakeups:
        desk.claim("w2", version=B, wakeup=wakeup)

    assert desk.sweep().pins == 1
    assert len(look(desk).wakeups) == 2, "as many as there are workers"
    assert look(desk).wakeups == []
    desk.advance(16)
    say(desk, B, "w2")
    desk.redis.delete(desk.ledger.key("wakeups", "m"))
    assert look(desk, settle=False).wakeups == [], "nobody is there to hear it"


def test_a_claim_tells_that_more_waits_for_its_version(desk: Desk) -> None:
    say(desk, A)
    for id in "abcde":
        accept(desk, id, A)
    accept(desk, "f")
    more = [desk.run(claim(desk.holder(version=A), 0)).more for _ in range(2)]

    assert more == [True, False]


# --- what may be named ----------------------------------------------------------------------------


def test_a_version_may_be_named_that_a_worker_or_the_catalog_has(desk: Desk) -> None:
    assert not unserved(desk, A), "nobody knows the files yet"
    assert unserved(desk, C)
    say(desk, A)
    say(desk, C, "w2", state="starting")
    assert [unserved(desk, version) for version in (A, B, C)] == [False, True, False]
    desk.advance(16)
    assert [unserved(desk, version) for version in (A, B, C)] == [False, True, True]
    say(desk, B)
    assert [unserved(desk, version) for version in (A, B, C)] == [True, False, True]
    assert not desk.record("refused")


def test_a_repeat_gives_the_original_though_its_version_is_gone(desk: Desk) -> None:
    say(desk, A)
    accept(desk, "a", A, digest="d", idempotency_key="k")
    say(desk, B)
    desk.advance(16)
    for id in ("a", "another"):
        again = desk.submission(id=id, pinned=A, entry=ENTRY, digest="d", idempotency_key="k")
        (result,) = desk.create(again).results
        assert isinstance(result, Created)
        assert result.prediction.id == "a"


def test_what_is_served_is_current_first(desk: Desk) -> None:
    assert desk.run(state(["m"]))["m"].versions(ENTRY) == []
    say(desk, A, "w1")
    say(desk, C, "w2")
    say(desk, B, "w3")
    say(desk, "f" * 64, "w4", state="draining")
    seen = desk.run(state(["m"]))["m"]
    assert seen.versions(ENTRY) == [B, A, C]
    assert seen.versions(OTHER) == [C, A, B]
    desk.advance(16)
    seen = desk.run(state(["m"]))["m"]

    assert (seen.versions(ENTRY), seen.versions(OTHER)) == ([B], [C])


def test_entries_that_nobody_has_any_more_are_forgotten(desk: Desk) -> None:
    desk.run(name({"m": ENTRY}, 1000))
    say(desk, A)
    for number in range(100):
        desk.advance(16)
        say(desk, f"{number:064x}"[::-1])
    served = desk.run(state(["m"]))["m"].served

    assert len(served) <= 17
    assert served[ENTRY] == A


# --- gone -----------------------------------------------------------------------------------------


def test_what_waits_for_a_version_that_is_gone_fails_and_says_so(desk: Desk) -> None:
    say(desk, A)
    accept(desk, "a", A)
    accept(desk, "b")
    desk.advance(16)
    found = look(desk, entries=OTHER)

    assert found.ended == 1
    assert [(ending.id, ending.what, ending.outcome) for ending in found.endings] == [
        ("a", "version_gone", "failed")
    ]
    gone = desk.get("a")
    assert (gone.status, gone.error_code, gone.attempt) == (Status.FAILED, "version_gone", 0)
    assert A in (gone.error or "")
    assert desk.status("b") is Status.STARTING
    assert desk.sweep().counts["failed:version_gone"] == 1


def test_a_worker_of_an_older_catalog_keeps_its_version(desk: Desk) -> None:
    say(desk, A)
    accept(desk, "a", A)
    assert look(desk, entries=OTHER).ended == 0
    say(desk, A, state="draining")
    assert look(desk, entries=OTHER).ended == 1


def test_a_version_that_the_catalog_names_waits_without_any_worker(desk: Desk) -> None:
    say(desk, A)
    accept(desk, "a", A)
    desk.advance(1000)

    assert look(desk).ended == 0


def test_files_that_changed_since_are_another_version(desk: Desk) -> None:
    say(desk, A)
    accept(desk, "a", A)
    desk.advance(16)
    say(desk, B, state="starting")
    assert look(desk).ended == 0, "it has not proved that it loads"
    say(desk, B)
    assert look(desk).ended == 1


def test_a_catalog_that_another_process_has_counts_like_the_keepers_own(desk: Desk) -> None:
    """A gateway rolls before the keeper: the keeper does not know yet what was just accepted."""
    accept(desk, "a", A)
    desk.run(name({"m": ENTRY}, LIFETIME))
    assert look(desk, entries=OTHER).ended == 0
    desk.advance(16)
    assert look(desk, entries=OTHER, settle=False).ended == 0
    assert look(desk, entries=OTHER).ended == 1


def test_one_look_ends_so_many_at_most(desk: Desk) -> None:
    say(desk, A)
    desk.create(*(desk.submission(pinned=A, entry=ENTRY) for _ in range(25)))
    desk.advance(16)

    assert [look(desk, entries=OTHER, most=10).ended for _ in range(4)] == [10, 10, 5, 0]


# --- with an older Soloist ------------------------------------------------------------------------

RENAMED = {"told": "endings", "rings": "wakeups"}
"""What older scripts answer under another name."""
OLDER_KEYS = "K.rings, K.ring = K.wakeups, K.last_wakeup\n"
"""The keys by the names that they had in them."""


class OlderDesk(Desk):
    """A desk whose worker, gateway and keeper run the scripts from before versions could be named."""

    def run(self, transition: Transition[T]) -> T:
        folder = Path(__file__).parent / "golden" / "older"
        parts = ((folder / f"{part}.lua").read_text() for part in ("common", transition.script))
        args = transition.args | {"ring": transition.args.get("wakeup")}
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
        return transition.read(answer)


@pytest.fixture
def older(settings: Settings, desk: Desk) -> Iterator[OlderDesk]:
    opened = OlderDesk(settings)
    yield opened
    opened.close()


def test_an_older_worker_takes_what_is_pinned_last(desk: Desk, older: OlderDesk) -> None:
    accept(desk, "pinned", A)
    desk.advance(1)
    accept(desk, "plain")

    assert [c.id for c in older.claim()] == ["plain", "pinned"]


def test_what_an_older_worker_took_is_no_longer_offered(desk: Desk, older: OlderDesk) -> None:
    say(desk, A)
    for id in "abc":
        accept(desk, id, A)
    claimed = older.claim(limit=2)
    assert taken(desk, A) == ["c"]
    older.finish(claimed)

    assert desk.members("pinned", f"m@{A}") == []
    assert desk.status("a") is Status.SUCCEEDED


def test_what_an_older_keeper_put_back_is_still_for_its_version(
    desk: Desk, older: OlderDesk
) -> None:
    say(desk, A)
    accept(desk, "a", A)
    accept(desk, "b")
    desk.claim(version=A)
    desk.advance(16)
    older.sweep()
    assert [taken(desk, B) for _ in range(2)] == [["b"], []]

    assert taken(desk, A) == ["a"]


def test_what_an_older_gateway_canceled_is_dropped(desk: Desk, older: OlderDesk) -> None:
    say(desk, A)
    accept(desk, "a", A)
    older.cancel("a")
    assert taken(desk, A) == []
    assert desk.members("pinned", f"m@{A}") == []

    assert desk.status("a") is Status.CANCELED


def test_what_an_older_gateway_accepted_runs_and_says_who_ran_it(
    desk: Desk, older: OlderDesk
) -> None:
    older.accept(id="a", version="f" * 64)
    (claimed,) = desk.claim(version=A)
    attempts = [(claimed.id, claimed.attempt)]
    older.run(release(desk.holder(), attempts, idle=True, suspect=False))
    desk.finish(desk.claim(version=B))
    (view,) = desk.run(read([("a", -1)]))

    assert view is not None
    assert (view.prediction.version, view.prediction.pinned) == (B, None)


# --- names ----------------------------------------------------------------------------------------


def test_a_version_has_two_halves() -> None:
    assert is_version(A)
    assert entry_of(A) == ENTRY
    for text in ("", "a" * 63, A.upper(), A + "\n", "g" * 64):
        assert not is_version(text)


@pytest.mark.parametrize(
    ("reference", "version"),
    [("acme/m", None), ("acme/m:", None), (f"acme/m:{A}", A), (A, A), ("acme/m:v1", "v1")],
)
def test_a_reference_names_a_version_or_only_a_model(reference: str, version: str | None) -> None:
    assert named_version(reference) == version
