"""Predictions that name a version: run by that version only, counted with all that waits, and ended when it is gone."""

from typing import TypeVar

import msgpack
import pytest

from contract.ledger.keys import PER_VERSION
from contract.ledger.transitions import (
    Created,
    Pins,
    claim,
    read_dead_list,
    read_models,
    register_catalog,
    replay,
    sweep_pins,
)
from contract.prediction import Status
from contract.versions import UNTOLD
from tests.contract.ledger.pinning import (
    ENTRY,
    LIFETIME,
    OTHER,
    A,
    B,
    C,
    accept,
    say,
    taken,
    unserved,
)
from tests.support.ledger_harness import LedgerHarness

T = TypeVar("T")


def sweep_pinned(
    harness: LedgerHarness, *, end_gone: bool = True, entries: str = ENTRY, most: int = 500
) -> Pins:
    """What a keeper does whose catalog has this entry."""
    harness.run(register_catalog({"m": entries}, LIFETIME))
    return harness.run(sweep_pins("m", max_batch_size=4, end_gone=end_gone, most=most))


def test_a_pinned_prediction_is_run_by_its_version_only(harness: LedgerHarness) -> None:
    say(harness, A)
    accept(harness, "a", A)

    assert taken(harness, B) == []
    assert taken(harness, C) == []
    assert taken(harness, "") == []
    assert taken(harness, A) == ["a"]
    assert harness.get("a").version == harness.get("a").pinned == A


def test_one_that_names_only_the_model_says_which_version_ran_it(harness: LedgerHarness) -> None:
    say(harness, A)
    accept(harness, "a", version=None)
    assert (harness.get("a").version, harness.get("a").pinned) == (A, None)
    (claimed,) = harness.claim(version=B)
    assert harness.get("a").version == B
    harness.finish([claimed])

    assert (harness.get("a").version, harness.get("a").pinned) == (B, None)


def test_before_any_worker_was_there_it_says_what_the_gateway_knows(harness: LedgerHarness) -> None:
    (created,) = harness.create(
        harness.new_prediction(id="a", version=ENTRY + UNTOLD, entry=ENTRY)
    ).results
    assert isinstance(created, Created)

    assert created.prediction.version == harness.get("a").version == ENTRY + UNTOLD


def test_who_waits_hears_which_version_ran(harness: LedgerHarness) -> None:
    pubsub = harness.redis.pubsub()
    pubsub.subscribe(harness.ledger.key("answers", "gw"))
    pubsub.get_message(timeout=5)
    accept(harness, "a", watcher="gw")
    harness.finish(harness.claim(version=B))
    message = pubsub.get_message(timeout=5)
    pubsub.close()

    assert msgpack.unpackb(message["data"])[0][2]["version"] == B


def test_a_claim_takes_the_oldest_of_its_own_and_of_those_for_anybody(
    harness: LedgerHarness,
) -> None:
    say(harness, A)
    say(harness, B, "w2")
    for id, version in [("1", A), ("2", None), ("3", B), ("4", A), ("5", None), ("6", B)]:
        harness.advance(1)
        accept(harness, id, version)

    assert taken(harness, B, limit=3) == ["2", "3", "5"]
    assert taken(harness, A) == ["1", "4"]
    assert taken(harness, B) == ["6"]


def test_priorities_hold_between_pinned_ones_and_others(harness: LedgerHarness) -> None:
    say(harness, A)
    accept(harness, "plain")
    harness.advance(1)
    accept(harness, "high", A, credit_seconds=300)
    accept(harness, "low", A, credit_seconds=-300)

    assert taken(harness, A) == ["high", "plain", "low"]


def test_a_suspect_that_is_pinned_runs_alone(harness: LedgerHarness) -> None:
    say(harness, A)
    for id in "abc":
        accept(harness, id, A)
    harness.claim(version=A)
    harness.advance(16)
    harness.sweep()

    assert [taken(harness, A) for _ in range(4)] == [["a"], ["b"], ["c"], []]


def test_a_pinned_one_that_comes_back_still_waits_for_its_version(harness: LedgerHarness) -> None:
    say(harness, A)
    accept(harness, "a", A)
    harness.release(harness.claim(version=A))
    assert taken(harness, B) == []
    harness.claim(version=A)
    harness.advance(16)
    harness.sweep()
    assert taken(harness, B) == []

    assert taken(harness, A) == ["a"]


def test_a_replay_keeps_its_pin(harness: LedgerHarness) -> None:
    say(harness, A)
    accept(harness, "a", A)
    for _ in range(3):
        assert taken(harness, A) == ["a"]
        harness.advance(16)
        harness.sweep()
    assert [p.id for p in harness.run(read_dead_list("m"))] == ["a"]
    harness.redis.delete(harness.ledger.key("wakeups", "m"))
    record, wakeups = harness.run(replay("a", "b", 4)) or (None, [])
    assert record is not None

    assert (record.pinned, record.version, len(wakeups)) == (A, A, 1)
    assert taken(harness, B) == []
    assert taken(harness, A) == ["b"]


@pytest.mark.parametrize("how", ["claim", "cancel", "deadline", "late", "gone"])
def test_nothing_is_left_of_what_no_longer_waits(harness: LedgerHarness, how: str) -> None:
    say(harness, A)
    accept(harness, "a", A, deadline_seconds=30)
    match how:
        case "claim":
            harness.claim(version=A)
        case "cancel":
            harness.cancel("a")
        case "deadline":
            harness.advance(31)
            harness.expire()
        case "late":
            harness.advance(31)
            harness.claim(version=A)
        case "gone":
            harness.advance(16)
            sweep_pinned(harness, entries=OTHER)

    assert harness.members("queued") == harness.members("pinned", f"m@{A}") == []
    assert harness.redis.smembers(harness.ledger.key("pins", "m")) == set()
    assert "model@version" in PER_VERSION["pinned"]


def test_the_queue_counts_all_that_waits(harness: LedgerHarness) -> None:
    say(harness, A)
    accept(harness, "a", A)
    harness.advance(2)
    accept(harness, "b")
    seen = harness.run(read_models(["m"]))["m"]

    assert harness.redis.zcard(harness.ledger.key("queued", "m")) == 2, "which the autoscaler reads"
    assert (seen.queued, round(seen.oldest_seconds, 3)) == (2, 2)
    assert (harness.sweep().queued, round(harness.sweep().oldest_seconds, 3)) == (2, 2)
    full = harness.create(harness.new_prediction(pinned=A, entry=ENTRY, max_queue=2)).results
    assert full is not None
    assert full[0].waiting == 2


def test_a_position_counts_those_that_its_worker_takes_first(harness: LedgerHarness) -> None:
    say(harness, A)
    say(harness, B, "w2")  # the current version now
    created = {}
    for id, version in [("1", A), ("2", None), ("3", B), ("4", A), ("5", None)]:
        harness.advance(1)
        (result,) = harness.create(
            harness.new_prediction(id=id, pinned=version, entry=ENTRY)
        ).results
        created[id] = result.prediction.queue_position

    assert created == {"1": 1, "2": 1, "3": 2, "4": 3, "5": 3}
    assert {id: harness.get(id).queue_position for id in created} == created
    harness.cancel("2")
    assert [harness.get(id).queue_position for id in "1345"] == [1, 1, 2, 2]


def calls(harness: LedgerHarness) -> dict[str, int]:
    stats = harness.redis.info("commandstats")
    return {command: row["calls"] for command, row in stats.items()}


def cost(harness: LedgerHarness, expected: list[str]) -> dict[str, int]:
    """How many commands a claim by B runs in Redis."""
    before = calls(harness)
    assert taken(harness, B) == expected
    after = calls(harness)
    ran = {command: count - before.get(command, 0) for command, count in after.items()}
    return {command: count for command, count in ran.items() if count and "info" not in command}


def test_a_claim_costs_the_same_however_many_are_pinned_to_others(harness: LedgerHarness) -> None:
    say(harness, A)
    harness.claim(version=B)  # the script is known from here on
    accept(harness, "first")
    alone = cost(harness, ["first"])
    for start in range(0, 10_000, 500):
        ids = range(start, start + 500)
        harness.create(
            *(
                harness.new_prediction(
                    id=f"p{n}", pinned=A, entry=ENTRY, max_queue=20_000, input="1"
                )
                for n in ids
            )
        )
    harness.advance(1)
    accept(harness, "last", max_queue=20_000)
    harness.redis.delete(harness.ledger.key("wakeups", "m"))
    behind = cost(harness, ["last"])

    assert behind == alone
    assert sum(behind.values()) < 30
    assert sum(cost(harness, []).values()) < 15


def test_what_is_pinned_to_others_makes_no_claim_send_wakeups(harness: LedgerHarness) -> None:
    """Or two workers would pass messages to each other without end."""
    say(harness, A)
    harness.create(*(harness.new_prediction(pinned=A, entry=ENTRY) for _ in range(50)))
    for wakeup in harness.wakeups:
        harness.claim("w2", version=B, wakeup=wakeup)
    sent = len(harness.wakeups)
    harness.claim("w2", version=B)
    harness.sweep()

    assert len(harness.wakeups) == sent == 1
    assert harness.redis.zcard(harness.ledger.key("wakeups", "m")) == 0


def test_the_keeper_wakes_workers_for_what_waits_for_a_version_that_is_there(
    harness: LedgerHarness,
) -> None:
    say(harness, A)
    say(harness, B, "w2")
    harness.create(*(harness.new_prediction(pinned=A, entry=ENTRY) for _ in range(50)))
    for wakeup in harness.wakeups:
        harness.claim("w2", version=B, wakeup=wakeup)

    assert harness.sweep().pins == 1
    assert len(sweep_pinned(harness).wakeups) == 2, "as many as there are workers"
    assert sweep_pinned(harness).wakeups == []
    harness.advance(16)
    say(harness, B, "w2")
    harness.redis.delete(harness.ledger.key("wakeups", "m"))
    assert sweep_pinned(harness, end_gone=False).wakeups == [], "nobody is there to hear it"


def test_a_claim_says_that_more_waits_for_its_version(harness: LedgerHarness) -> None:
    say(harness, A)
    for id in "abcde":
        accept(harness, id, A)
    accept(harness, "f")
    more = [harness.run(claim(harness.terms(version=A), 0)).more for _ in range(2)]

    assert more == [True, False]


def test_a_version_may_be_named_that_a_worker_or_the_catalog_has(harness: LedgerHarness) -> None:
    assert not unserved(harness, A), "nobody knows the files yet"
    assert unserved(harness, C)
    say(harness, A)
    say(harness, C, "w2", state="starting")
    assert [unserved(harness, version) for version in (A, B, C)] == [False, True, False]
    harness.advance(16)
    assert [unserved(harness, version) for version in (A, B, C)] == [False, True, True]
    say(harness, B)
    assert [unserved(harness, version) for version in (A, B, C)] == [True, False, True]
    assert not harness.record("refused")


def test_a_repeat_gives_the_original_though_its_version_is_gone(harness: LedgerHarness) -> None:
    say(harness, A)
    accept(harness, "a", A, digest="d", idempotency_key="k")
    say(harness, B)
    harness.advance(16)
    for id in ("a", "another"):
        again = harness.new_prediction(
            id=id, pinned=A, entry=ENTRY, digest="d", idempotency_key="k"
        )
        (result,) = harness.create(again).results
        assert isinstance(result, Created)
        assert result.prediction.id == "a"


def test_what_is_served_is_current_first(harness: LedgerHarness) -> None:
    assert harness.run(read_models(["m"]))["m"].versions(ENTRY) == []
    say(harness, A, "w1")
    say(harness, C, "w2")
    say(harness, B, "w3")
    say(harness, "f" * 64, "w4", state="draining")
    seen = harness.run(read_models(["m"]))["m"]
    assert seen.versions(ENTRY) == [B, A, C]
    assert seen.versions(OTHER) == [C, A, B]
    harness.advance(16)
    seen = harness.run(read_models(["m"]))["m"]

    assert (seen.versions(ENTRY), seen.versions(OTHER)) == ([B], [C])


def test_entries_that_nobody_has_any_more_are_forgotten(harness: LedgerHarness) -> None:
    harness.run(register_catalog({"m": ENTRY}, 1000))
    say(harness, A)
    for number in range(100):
        harness.advance(16)
        say(harness, f"{number:064x}"[::-1])
    served = harness.run(read_models(["m"]))["m"].served

    assert len(served) <= 17
    assert served[ENTRY] == A


def test_what_waits_for_a_version_that_is_gone_fails_and_says_so(harness: LedgerHarness) -> None:
    say(harness, A)
    accept(harness, "a", A)
    accept(harness, "b")
    harness.advance(16)
    found = sweep_pinned(harness, entries=OTHER)

    assert found.ended == 1
    assert [(ending.id, ending.what, ending.outcome) for ending in found.endings] == [
        ("a", "version_gone", "failed")
    ]
    gone = harness.get("a")
    assert (gone.status, gone.error_code, gone.attempt) == (Status.FAILED, "version_gone", 0)
    assert A in (gone.error or "")
    assert harness.status("b") is Status.STARTING
    assert harness.sweep().counts["failed:version_gone"] == 1


def test_a_worker_of_an_older_catalog_keeps_its_version(harness: LedgerHarness) -> None:
    say(harness, A)
    accept(harness, "a", A)
    assert sweep_pinned(harness, entries=OTHER).ended == 0
    say(harness, A, state="draining")
    assert sweep_pinned(harness, entries=OTHER).ended == 1


def test_a_version_that_the_catalog_names_waits_without_any_worker(harness: LedgerHarness) -> None:
    say(harness, A)
    accept(harness, "a", A)
    harness.advance(1000)

    assert sweep_pinned(harness).ended == 0


def test_files_that_changed_since_are_another_version(harness: LedgerHarness) -> None:
    say(harness, A)
    accept(harness, "a", A)
    harness.advance(16)
    say(harness, B, state="starting")
    assert sweep_pinned(harness).ended == 0, "it has not proved that it loads"
    say(harness, B)
    assert sweep_pinned(harness).ended == 1


def test_a_catalog_that_another_process_has_counts_like_the_keepers_own(
    harness: LedgerHarness,
) -> None:
    """A gateway rolls before the keeper: the keeper does not know yet what was just accepted."""
    accept(harness, "a", A)
    harness.run(register_catalog({"m": ENTRY}, LIFETIME))
    assert sweep_pinned(harness, entries=OTHER).ended == 0
    harness.advance(16)
    assert sweep_pinned(harness, entries=OTHER, end_gone=False).ended == 0
    assert sweep_pinned(harness, entries=OTHER).ended == 1


def test_one_sweep_ends_so_many_at_most(harness: LedgerHarness) -> None:
    say(harness, A)
    harness.create(*(harness.new_prediction(pinned=A, entry=ENTRY) for _ in range(25)))
    harness.advance(16)

    assert [sweep_pinned(harness, entries=OTHER, most=10).ended for _ in range(4)] == [10, 10, 5, 0]
