"""An outage of the ledger is no sign of death and no computing time; what is dead comes back all the same."""

import pytest
from desk import Desk

from contract.ledger.transitions import Claimed, announce, claim, state
from contract.ledger.workers import Worker
from contract.prediction import Status

LEASE = 15.0
LIMIT = 4.0


def started(desk: Desk, *ids: str, limit: float = LIMIT) -> list[Claimed]:
    """These, claimed by one worker with this hard limit."""
    desk.create(*(desk.submission(id=id) for id in ids or ("a",)))
    return desk.claim(timeout_seconds=limit)


def sweeps(desk: Desk, seconds: float) -> int:
    """How many predictions the keeper ends or takes back, looking each second for so long."""
    touched = 0
    for _ in range(int(seconds)):
        desk.be_away(1)  # nobody but the keeper uses the ledger
        touched += desk.expire().limits + desk.sweep().taken_back
    return touched


@pytest.mark.parametrize("outage", [6.0, 20.0, 600.0, 86400.0])
def test_what_was_computed_before_an_outage_is_written_after_it(desk: Desk, outage: float) -> None:
    claimed = started(desk)
    desk.advance(1)  # it is computed, and then the ledger is away
    desk.be_away(outage)
    assert desk.expire().limits == 0
    assert desk.sweep().taken_back == 0
    assert sweeps(desk, LEASE - 1) == 0

    assert desk.finish(claimed) == []
    found = desk.get("a")
    assert (found.status, found.attempt) == (Status.SUCCEEDED, 1)


def test_after_an_outage_the_workers_have_a_full_lease_and_no_more(desk: Desk) -> None:
    claimed = started(desk, "a", limit=300)
    desk.advance(1)
    desk.be_away(100)
    assert desk.sweep().taken_back == 0
    assert sweeps(desk, LEASE - 1) == 0
    assert sweeps(desk, 2) == 1

    assert [c.id for c in desk.claim("w2")] == ["a"]
    assert desk.finish(claimed) == ["a"]


def test_a_hard_limit_that_passed_in_an_outage_holds_again_after_a_lease(desk: Desk) -> None:
    claimed = started(desk)
    desk.be_away(100)
    desk.extend(claimed)
    for _ in range(13):
        desk.advance(1)
        desk.extend(claimed)
        assert desk.expire().limits == 0
    desk.advance(3)

    assert desk.expire().limits == 1
    assert desk.get("a").error_code == "timeout"


@pytest.mark.parametrize("limit", [LIMIT, 12.0, 60.0, 300.0])
@pytest.mark.parametrize("computed", [True, False])
def test_a_worker_that_is_gone_after_an_outage_was_lost_in_it_and_hung_in_no_time(
    desk: Desk, limit: float, computed: bool
) -> None:
    """Its node is gone with the ledger's, or its grace was over before the ledger came."""
    claimed = started(desk, limit=limit)
    desk.advance(1)
    if computed:
        desk.extend(claimed, left={"a": None})
    desk.be_away(400)
    assert sweeps(desk, LEASE + 2) == 1
    assert desk.status("a") is Status.STARTING

    (again,) = desk.claim("w2", timeout_seconds=limit)
    assert again.attempt == 2


def test_one_that_hangs_after_an_outage_is_timed_out_as_ever(desk: Desk) -> None:
    desk.advance(1)
    started(desk, "before")
    desk.be_away(100)
    sweeps(desk, LEASE + 2)
    (again,) = desk.claim("w2", timeout_seconds=LIMIT)
    assert again.id == "before"
    assert sweeps(desk, LIMIT + 5) == 1
    assert desk.get("before").error_code == "timeout"


def test_a_second_keeper_sees_what_the_first_one_found_out(desk: Desk) -> None:
    started(desk)
    desk.advance(1)
    desk.be_away(60)
    for _ in range(2):
        assert desk.expire().limits == 0
        assert desk.sweep().taken_back == 0


def test_a_keeper_that_was_away_alone_finds_no_outage(desk: Desk) -> None:
    desk.create(*(desk.submission(id=id) for id in "ab"))
    dead = desk.claim("dead", limit=1)
    alive = desk.claim("alive", limit=1)
    for _ in range(30):
        desk.be_away(1)
        assert desk.extend(alive, "alive") == []

    assert desk.sweep().taken_back == 1
    assert desk.status(dead[0].id) is Status.STARTING
    assert desk.status(alive[0].id) is Status.PROCESSING


def test_an_idle_worker_that_announces_itself_shows_that_the_ledger_is_there(desk: Desk) -> None:
    started(desk)
    for _ in range(30):
        desk.be_away(1)
        desk.run(announce("m", Worker("idle", "ready"), LEASE))

    assert desk.sweep().taken_back == 1


def test_a_keeper_that_dies_with_a_worker_gives_its_predictions_back_within_30_seconds(
    desk: Desk,
) -> None:
    started(desk, "a", limit=300)
    desk.advance(0.5)
    desk.be_away(12)  # nobody is left to use the ledger, until there is a keeper again
    assert desk.sweep().taken_back == 0

    assert sweeps(desk, 30 - 12) == 1


def test_a_worker_that_was_dead_before_the_outage_gets_no_reprieve(desk: Desk) -> None:
    started(desk, "a", limit=300)
    desk.advance(LEASE + 1)
    desk.be_away(100)

    assert desk.sweep().taken_back == 1


def test_outages_in_a_row_give_the_living_their_time_and_do_not_keep_the_dead(desk: Desk) -> None:
    desk.create(*(desk.submission(id=id) for id in "ab"))
    alive = desk.claim("alive", limit=1, timeout_seconds=3000)
    desk.claim("dead", limit=1, timeout_seconds=3000)
    taken_back = []
    for _ in range(20):  # there for 3 s, away for 20 s
        desk.be_away(20)
        taken_back.append(desk.sweep().taken_back)
        for _ in range(3):
            desk.be_away(1)
            taken_back.append(desk.sweep().taken_back)
        assert desk.extend(alive, "alive") == []

    assert sum(taken_back) == 1
    assert desk.status("a") is Status.PROCESSING
    assert desk.status("b") is Status.STARTING


def test_a_keeper_that_is_slow_and_alone_still_takes_back_what_is_dead(desk: Desk) -> None:
    """Each of its rounds looks like an outage."""
    started(desk, "a", limit=300)
    taken_back = 0
    for _ in range(10):
        desk.be_away(6)
        taken_back += desk.sweep().taken_back

    assert taken_back == 1


def test_a_silence_that_is_no_longer_than_a_third_of_the_lease_is_no_outage(desk: Desk) -> None:
    started(desk, "a", limit=300)
    taken_back = 0
    for _ in range(4):
        desk.be_away(LEASE / 3)
        taken_back += desk.sweep().taken_back

    assert taken_back == 1


def test_deadlines_hold_over_an_outage(desk: Desk) -> None:
    desk.accept(id="a", deadline_seconds=10)
    claimed = desk.claim()
    desk.be_away(60)

    assert desk.expire().deadlines == 1
    assert desk.get("a").error_code == "deadline_exceeded"
    assert desk.finish(claimed) == ["a"]


def test_workers_are_still_known_after_an_outage_until_they_had_time_to_say_so(desk: Desk) -> None:
    desk.run(announce("m", Worker("idle", "ready"), LEASE))
    started(desk, "a", limit=300)
    desk.be_away(100)
    swept = desk.sweep()

    assert list(swept.workers) == ["w1"]
    seen = desk.run(state(["m"]))["m"]
    assert {w.name: w.state for w in seen.workers} == {"idle": "ready", "w1": "busy"}
    sweeps(desk, LEASE + 1)
    assert desk.run(state(["m"]))["m"].workers == []


def test_when_the_model_has_returned_no_hard_limit_holds(desk: Desk) -> None:
    claimed = started(desk, "a", "b")
    desk.extend(claimed, left={"a": None})
    for _ in range(10):
        desk.advance(1)
        desk.extend(claimed)
    assert desk.expire().limits == 1

    assert desk.status("a") is Status.PROCESSING
    assert desk.finish(claimed[:1]) == []


def test_a_hard_limit_counts_from_when_the_worker_got_the_answer_to_its_claim(desk: Desk) -> None:
    claimed = started(desk)
    desk.advance(3.5)
    desk.extend(claimed, left={"a": LIMIT})
    desk.advance(5)
    desk.extend(claimed)
    assert desk.expire().limits == 0
    desk.advance(1.1)

    assert desk.expire().limits == 1


def test_a_claim_that_is_sent_again_gets_what_it_took_already(desk: Desk) -> None:
    desk.create(*(desk.submission(id=id) for id in "abcdef"))
    asked = claim(desk.holder(timeout_seconds=60.0), 1)
    first = desk.run(asked)
    desk.advance(5)
    second = desk.run(asked)

    assert [(c.id, c.attempt, c.input) for c in first.predictions] == [
        (c.id, c.attempt, c.input) for c in second.predictions
    ]
    assert [c.id for c in first.predictions] == list("abcd")
    assert desk.members("queued") == ["e", "f"]
    assert desk.redis.zscore(desk.ledger.key("running", "m"), "a") == desk.now + LEASE
    assert [c.id for c in desk.run(claim(desk.holder("w2"), 2)).predictions] == ["e", "f"]


def test_a_claim_that_is_sent_again_gets_only_what_is_still_its_own(desk: Desk) -> None:
    desk.create(*(desk.submission(id=id) for id in "abc"))
    asked = claim(desk.holder(), 1)
    desk.run(asked)
    desk.cancel("b")
    assert [c.id for c in desk.run(asked).predictions] == ["a", "c"]
    desk.advance(16)
    desk.sweep()
    desk.claim("w2")

    assert [(c.id, c.attempt) for c in desk.run(asked).predictions] == [("c", 2)], "as a new one"


def test_a_claim_is_remembered_no_longer_than_its_worker_is_busy(desk: Desk) -> None:
    desk.create(*(desk.submission(id=id) for id in "ab"))
    done = desk.claim("done", limit=1)
    desk.claim("dead", limit=1)
    claims = desk.ledger.key("claims", "m")
    assert desk.redis.hlen(claims) == 2
    desk.finish(done, worker="done")
    assert desk.redis.hkeys(claims) == [b"dead"]
    desk.advance(16)
    desk.sweep()

    assert not desk.redis.exists(claims)


def test_nothing_is_noted_of_a_model_that_nobody_serves(desk: Desk) -> None:
    desk.accept()
    desk.sweep()
    assert not desk.redis.exists(desk.ledger.key("heard", "m"))
    desk.finish(desk.claim())
    assert desk.redis.exists(desk.ledger.key("heard", "m"))
    desk.sweep()

    assert not desk.redis.exists(desk.ledger.key("heard", "m"))


def test_a_clock_of_the_ledger_that_jumps_ahead_costs_nobody_a_lease(desk: Desk) -> None:
    claimed = started(desk, "a", limit=300)
    desk.be_away(600)
    assert desk.sweep().taken_back == 0
    assert desk.extend(claimed) == []
    desk.advance(1)

    assert desk.sweep().taken_back == 0


def test_a_clock_of_the_ledger_that_falls_back_is_no_outage(desk: Desk) -> None:
    started(desk, "a", limit=300)
    desk.be_away(-600)
    desk.sweep()
    desk.be_away(1)
    desk.sweep()

    assert b"till" not in desk.redis.hgetall(desk.ledger.key("heard", "m"))


def test_a_clock_that_jumps_ahead_and_back_and_ahead_again_ends_nothing(desk: Desk) -> None:
    started(desk, "before")
    for seconds in (600, -1200):
        desk.be_away(seconds)
        desk.expire()
        desk.sweep()
    claimed = started(desk, "a")
    desk.advance(1)
    desk.be_away(600)
    assert desk.expire().limits == 0
    assert desk.sweep().taken_back == 0
    assert desk.finish(claimed) == []
