"""An outage of the ledger is no sign of death and no computing time; what is dead comes back all the same."""

import pytest

from contract.ledger.transitions import Claimed, claim, read_models, register
from contract.ledger.workers import Worker
from contract.prediction import Status
from tests.support.ledger_harness import LedgerHarness

LEASE = 15.0
LIMIT = 4.0


def started(harness: LedgerHarness, *ids: str, limit: float = LIMIT) -> list[Claimed]:
    """These, claimed by one worker with this hard limit."""
    harness.create(*(harness.new_prediction(id=id) for id in ids or ("a",)))
    return harness.claim(timeout_seconds=limit)


def sweeps(harness: LedgerHarness, seconds: float) -> int:
    """How many predictions the keeper ends or takes back, looking each second for so long."""
    touched = 0
    for _ in range(int(seconds)):
        harness.be_away(1)  # nobody but the keeper uses the ledger
        touched += harness.expire().limits + harness.sweep().taken_back
    return touched


@pytest.mark.parametrize("outage", [6.0, 20.0, 600.0, 86400.0])
def test_what_was_computed_before_an_outage_is_written_after_it(
    harness: LedgerHarness, outage: float
) -> None:
    claimed = started(harness)
    harness.advance(1)  # it is computed, and then the ledger is away
    harness.be_away(outage)
    assert harness.expire().limits == 0
    assert harness.sweep().taken_back == 0
    assert sweeps(harness, LEASE - 1) == 0

    assert harness.finish(claimed) == []
    found = harness.get("a")
    assert (found.status, found.attempt) == (Status.SUCCEEDED, 1)


def test_after_an_outage_the_workers_have_a_full_lease_and_no_more(harness: LedgerHarness) -> None:
    claimed = started(harness, "a", limit=300)
    harness.advance(1)
    harness.be_away(100)
    assert harness.sweep().taken_back == 0
    assert sweeps(harness, LEASE - 1) == 0
    assert sweeps(harness, 2) == 1

    assert [c.id for c in harness.claim("w2")] == ["a"]
    assert harness.finish(claimed) == ["a"]


def test_a_hard_limit_that_passed_in_an_outage_holds_again_after_a_lease(
    harness: LedgerHarness,
) -> None:
    claimed = started(harness)
    harness.be_away(100)
    harness.extend(claimed)
    for _ in range(13):
        harness.advance(1)
        harness.extend(claimed)
        assert harness.expire().limits == 0
    harness.advance(3)

    assert harness.expire().limits == 1
    assert harness.get("a").error_code == "timeout"


@pytest.mark.parametrize("limit", [LIMIT, 12.0, 60.0, 300.0])
@pytest.mark.parametrize("computed", [True, False])
def test_a_worker_that_is_gone_after_an_outage_was_lost_in_it_and_hung_in_no_time(
    harness: LedgerHarness, limit: float, computed: bool
) -> None:
    """Its node is gone with the ledger's, or its grace was over before the ledger came."""
    claimed = started(harness, limit=limit)
    harness.advance(1)
    if computed:
        harness.extend(claimed, left={"a": None})
    harness.be_away(400)
    assert sweeps(harness, LEASE + 2) == 1
    assert harness.status("a") is Status.STARTING

    (again,) = harness.claim("w2", timeout_seconds=limit)
    assert again.attempt == 2


def test_one_that_hangs_after_an_outage_is_timed_out_as_ever(harness: LedgerHarness) -> None:
    harness.advance(1)
    started(harness, "before")
    harness.be_away(100)
    sweeps(harness, LEASE + 2)
    (again,) = harness.claim("w2", timeout_seconds=LIMIT)
    assert again.id == "before"
    assert sweeps(harness, LIMIT + 5) == 1
    assert harness.get("before").error_code == "timeout"


def test_a_second_keeper_sees_what_the_first_one_found_out(harness: LedgerHarness) -> None:
    started(harness)
    harness.advance(1)
    harness.be_away(60)
    for _ in range(2):
        assert harness.expire().limits == 0
        assert harness.sweep().taken_back == 0


def test_a_keeper_that_was_away_alone_finds_no_outage(harness: LedgerHarness) -> None:
    harness.create(*(harness.new_prediction(id=id) for id in "ab"))
    dead = harness.claim("dead", limit=1)
    alive = harness.claim("alive", limit=1)
    for _ in range(30):
        harness.be_away(1)
        assert harness.extend(alive, "alive") == []

    assert harness.sweep().taken_back == 1
    assert harness.status(dead[0].id) is Status.STARTING
    assert harness.status(alive[0].id) is Status.PROCESSING


def test_an_idle_worker_that_announces_itself_shows_that_the_ledger_is_there(
    harness: LedgerHarness,
) -> None:
    started(harness)
    for _ in range(30):
        harness.be_away(1)
        harness.run(register("m", Worker("idle", "ready"), LEASE))

    assert harness.sweep().taken_back == 1


def test_a_keeper_that_dies_with_a_worker_gives_its_predictions_back_within_30_seconds(
    harness: LedgerHarness,
) -> None:
    started(harness, "a", limit=300)
    harness.advance(0.5)
    harness.be_away(12)  # nobody is left to use the ledger, until there is a keeper again
    assert harness.sweep().taken_back == 0

    assert sweeps(harness, 30 - 12) == 1


def test_a_worker_that_was_dead_before_the_outage_gets_no_reprieve(harness: LedgerHarness) -> None:
    started(harness, "a", limit=300)
    harness.advance(LEASE + 1)
    harness.be_away(100)

    assert harness.sweep().taken_back == 1


def test_outages_in_a_row_give_the_living_their_time_and_do_not_keep_the_dead(
    harness: LedgerHarness,
) -> None:
    harness.create(*(harness.new_prediction(id=id) for id in "ab"))
    alive = harness.claim("alive", limit=1, timeout_seconds=3000)
    harness.claim("dead", limit=1, timeout_seconds=3000)
    taken_back = []
    for _ in range(20):  # there for 3 s, away for 20 s
        harness.be_away(20)
        taken_back.append(harness.sweep().taken_back)
        for _ in range(3):
            harness.be_away(1)
            taken_back.append(harness.sweep().taken_back)
        assert harness.extend(alive, "alive") == []

    assert sum(taken_back) == 1
    assert harness.status("a") is Status.PROCESSING
    assert harness.status("b") is Status.STARTING


def test_a_keeper_that_is_slow_and_alone_still_takes_back_what_is_dead(
    harness: LedgerHarness,
) -> None:
    """Each of its rounds looks like an outage."""
    started(harness, "a", limit=300)
    taken_back = 0
    for _ in range(10):
        harness.be_away(6)
        taken_back += harness.sweep().taken_back

    assert taken_back == 1


def test_a_silence_that_is_no_longer_than_a_third_of_the_lease_is_no_outage(
    harness: LedgerHarness,
) -> None:
    started(harness, "a", limit=300)
    taken_back = 0
    for _ in range(4):
        harness.be_away(LEASE / 3)
        taken_back += harness.sweep().taken_back

    assert taken_back == 1


def test_deadlines_hold_over_an_outage(harness: LedgerHarness) -> None:
    harness.accept(id="a", deadline_seconds=10)
    claimed = harness.claim()
    harness.be_away(60)

    assert harness.expire().deadlines == 1
    assert harness.get("a").error_code == "deadline_exceeded"
    assert harness.finish(claimed) == ["a"]


def test_workers_are_still_known_after_an_outage_until_they_had_time_to_say_so(
    harness: LedgerHarness,
) -> None:
    harness.run(register("m", Worker("idle", "ready"), LEASE))
    started(harness, "a", limit=300)
    harness.be_away(100)
    swept = harness.sweep()

    assert list(swept.workers) == ["w1"]
    seen = harness.run(read_models(["m"]))["m"]
    assert {w.name: w.state for w in seen.workers} == {"idle": "ready", "w1": "busy"}
    sweeps(harness, LEASE + 1)
    assert harness.run(read_models(["m"]))["m"].workers == []


def test_when_the_model_has_returned_no_hard_limit_holds(harness: LedgerHarness) -> None:
    claimed = started(harness, "a", "b")
    harness.extend(claimed, left={"a": None})
    for _ in range(10):
        harness.advance(1)
        harness.extend(claimed)
    assert harness.expire().limits == 1

    assert harness.status("a") is Status.PROCESSING
    assert harness.finish(claimed[:1]) == []


def test_a_hard_limit_counts_from_when_the_worker_got_the_answer_to_its_claim(
    harness: LedgerHarness,
) -> None:
    claimed = started(harness)
    harness.advance(3.5)
    harness.extend(claimed, left={"a": LIMIT})
    harness.advance(5)
    harness.extend(claimed)
    assert harness.expire().limits == 0
    harness.advance(1.1)

    assert harness.expire().limits == 1


def test_a_claim_that_is_sent_again_gets_what_it_took_already(harness: LedgerHarness) -> None:
    harness.create(*(harness.new_prediction(id=id) for id in "abcdef"))
    asked = claim(harness.terms(timeout_seconds=60.0), 1)
    first = harness.run(asked)
    harness.advance(5)
    second = harness.run(asked)

    assert [(c.id, c.attempt, c.input) for c in first.predictions] == [
        (c.id, c.attempt, c.input) for c in second.predictions
    ]
    assert [c.id for c in first.predictions] == list("abcd")
    assert harness.members("queued") == ["e", "f"]
    assert harness.redis.zscore(harness.ledger.key("running", "m"), "a") == harness.now + LEASE
    assert [c.id for c in harness.run(claim(harness.terms("w2"), 2)).predictions] == ["e", "f"]


def test_a_claim_that_is_sent_again_gets_only_what_is_still_its_own(harness: LedgerHarness) -> None:
    harness.create(*(harness.new_prediction(id=id) for id in "abc"))
    asked = claim(harness.terms(), 1)
    harness.run(asked)
    harness.cancel("b")
    assert [c.id for c in harness.run(asked).predictions] == ["a", "c"]
    harness.advance(16)
    harness.sweep()
    harness.claim("w2")

    assert [(c.id, c.attempt) for c in harness.run(asked).predictions] == [("c", 2)], "as a new one"


def test_a_claim_is_remembered_no_longer_than_its_worker_is_busy(harness: LedgerHarness) -> None:
    harness.create(*(harness.new_prediction(id=id) for id in "ab"))
    done = harness.claim("done", limit=1)
    harness.claim("dead", limit=1)
    claims = harness.ledger.key("claims", "m")
    assert harness.redis.hlen(claims) == 2
    harness.finish(done, worker="done")
    assert harness.redis.hkeys(claims) == [b"dead"]
    harness.advance(16)
    harness.sweep()

    assert not harness.redis.exists(claims)


def test_nothing_is_noted_of_a_model_that_nobody_serves(harness: LedgerHarness) -> None:
    harness.accept()
    harness.sweep()
    assert not harness.redis.exists(harness.ledger.key("heard", "m"))
    harness.finish(harness.claim())
    assert harness.redis.exists(harness.ledger.key("heard", "m"))
    harness.sweep()

    assert not harness.redis.exists(harness.ledger.key("heard", "m"))


def test_a_clock_of_the_ledger_that_jumps_ahead_costs_nobody_a_lease(
    harness: LedgerHarness,
) -> None:
    claimed = started(harness, "a", limit=300)
    harness.be_away(600)
    assert harness.sweep().taken_back == 0
    assert harness.extend(claimed) == []
    harness.advance(1)

    assert harness.sweep().taken_back == 0


def test_a_clock_of_the_ledger_that_falls_back_is_no_outage(harness: LedgerHarness) -> None:
    started(harness, "a", limit=300)
    harness.be_away(-600)
    harness.sweep()
    harness.be_away(1)
    harness.sweep()

    assert b"till" not in harness.redis.hgetall(harness.ledger.key("heard", "m"))


def test_a_clock_that_jumps_ahead_and_back_and_ahead_again_ends_nothing(
    harness: LedgerHarness,
) -> None:
    started(harness, "before")
    for seconds in (600, -1200):
        harness.be_away(seconds)
        harness.expire()
        harness.sweep()
    claimed = started(harness, "a")
    harness.advance(1)
    harness.be_away(600)
    assert harness.expire().limits == 0
    assert harness.sweep().taken_back == 0
    assert harness.finish(claimed) == []
