"""What the keeper puts right: lost workers, lost messages, what is late and what is old."""

import pytest
from desk import Desk

from contract.ledger.transitions import Report, dead, report
from contract.prediction import Status


def test_an_expired_lease_gives_its_predictions_back(desk: Desk) -> None:
    desk.create(*(desk.submission(id=id) for id in "ab"))
    desk.claim(wakeup=1)
    desk.advance(14.9)
    assert desk.sweep().taken_back == 0
    desk.advance(0.2)
    swept = desk.sweep()

    assert (swept.taken_back, swept.dead) == (2, 0)
    assert (swept.queued, swept.running, swept.busy) == (2, 0, 0)
    assert len(swept.wakeups) == 1
    assert desk.members("queued") == ["a", "b"]
    assert desk.get("a").status is Status.STARTING
    assert desk.get("a").queue_position == 1
    assert [(c.id, c.attempt) for c in desk.claim("w2")] == [("a", 2)], "a suspect runs alone"


def test_a_prediction_whose_every_worker_was_lost_is_dead(desk: Desk) -> None:
    desk.accept(id="poison", watcher="gw")
    desk.lose(2)
    assert desk.status("poison") is Status.STARTING
    desk.claim()
    desk.advance(16)
    swept = desk.sweep()

    assert (swept.taken_back, swept.dead, swept.dead_total) == (1, 1, 1)
    found = desk.get("poison")
    assert (found.status, found.error_code, found.attempt) == (Status.FAILED, "worker_lost", 3)
    assert [p.id for p in desk.run(dead("m"))] == ["poison"]
    assert desk.claim() == []


def test_the_innocent_in_a_batch_with_poison_are_unaffected(desk: Desk) -> None:
    desk.create(*(desk.submission(id=id) for id in ("poison", "b", "c")))
    for _ in range(10):
        claimed = desk.claim()
        if any(c.id == "poison" for c in claimed):
            desk.advance(16)  # its worker dies
            desk.sweep()
        else:
            desk.finish(claimed)

    assert desk.get("poison").error_code == "worker_lost"
    for id in "bc":
        assert desk.status(id) is Status.SUCCEEDED
        assert desk.get(id).attempt == 2


def test_a_sweep_touches_a_bounded_number_of_predictions(desk: Desk) -> None:
    desk.create(*(desk.submission() for _ in range(8)))
    desk.claim()
    desk.claim("w2")
    desk.advance(16)

    assert [desk.sweep(most=5).taken_back for _ in range(3)] == [5, 3, 0]


def test_a_lost_worker_is_no_longer_busy(desk: Desk) -> None:
    desk.accept()
    desk.claim()
    desk.cancel(desk.members("running")[0])
    desk.advance(16)

    assert desk.sweep().busy == 0


def test_a_sweep_tells_how_long_each_busy_worker_has_its_batch(desk: Desk) -> None:
    assert desk.sweep().workers == {}
    desk.create(*(desk.submission() for _ in range(12)))
    first = desk.claim("w1")
    desk.advance(7)
    second = desk.claim("w2")
    desk.advance(3)
    swept = desk.sweep()

    assert swept.workers == pytest.approx({"w1": 10, "w2": 3}, abs=1e-3)
    assert swept.busy == 2
    desk.finish(first, worker="w1")
    desk.release(second, worker="w2")
    assert desk.sweep().workers == {}
    assert desk.members("claimed") == []


def test_a_batch_keeps_its_age_while_its_lease_is_extended_and_the_next_starts_anew(
    desk: Desk,
) -> None:
    desk.create(*(desk.submission() for _ in range(8)))
    claimed = desk.claim(limit=4)
    for _ in range(10):
        desk.advance(10)
        desk.extend(claimed)
    assert desk.sweep().workers == pytest.approx({"w1": 100}, abs=1e-3)
    desk.finish(claimed[:2], idle=False)
    assert desk.sweep().workers == pytest.approx({"w1": 100}, abs=1e-3)
    desk.finish(claimed[2:])
    desk.claim()
    desk.advance(1)

    assert desk.sweep().workers == pytest.approx({"w1": 1}, abs=1e-3)


def test_a_worker_that_comes_back_under_its_old_name_has_a_new_batch(desk: Desk) -> None:
    desk.create(*(desk.submission() for _ in range(8)))
    desk.claim()
    desk.advance(10)  # its container starts again, before the lease is over
    desk.claim()
    desk.advance(2)

    assert desk.sweep().workers == pytest.approx({"w1": 2}, abs=1e-3)


def test_a_worker_that_does_not_say_since_when_is_busy_all_the_same(desk: Desk) -> None:
    desk.create(*(desk.submission() for _ in range(8)))
    desk.claim("old")
    desk.redis.delete(desk.ledger.key("claimed", "m"))  # an older version does not write it
    desk.claim("new")
    desk.advance(5)

    assert desk.sweep().workers == pytest.approx({"old": 0, "new": 5}, abs=1e-3)


def test_a_claim_is_forgotten_with_its_worker(desk: Desk) -> None:
    desk.create(*(desk.submission() for _ in range(8)))
    desk.claim("lost")
    desk.advance(10)
    kept = desk.claim("kept")
    desk.advance(6)
    assert desk.sweep().workers == pytest.approx({"kept": 6}, abs=1e-3)
    assert desk.members("claimed") == ["kept"]
    desk.redis.zrem(desk.ledger.key("busy", "m"), "kept")  # an older version finishes so

    assert desk.sweep().workers == {}
    assert desk.members("claimed") == []
    desk.finish(kept, worker="kept")


def test_a_thousand_busy_workers_are_told_in_one_sweep(desk: Desk) -> None:
    names = [f"w-{n}" for n in range(1000)]
    desk.redis.zadd(desk.ledger.key("busy", "m"), dict.fromkeys(names, desk.now + 15))
    desk.redis.zadd(desk.ledger.key("claimed", "m"), dict.fromkeys(names, desk.now - 60))
    swept = desk.sweep()

    assert swept.workers == pytest.approx(dict.fromkeys(names, 60), abs=1e-3)


def test_a_lost_message_is_sent_again_once_it_was_given_time(desk: Desk) -> None:
    desk.accept()
    assert desk.sweep(depth=0).wakeups == [], "it may be on its way"
    desk.advance(2.1)
    (wakeup,) = desk.sweep(depth=0).wakeups

    assert wakeup == 2
    assert desk.members("wakeups") == ["2"]


def test_only_as_many_messages_as_are_missing_are_sent_again(desk: Desk) -> None:
    desk.create(*(desk.submission() for _ in range(16)))
    desk.advance(3)
    swept = desk.sweep(depth=3)

    assert len(swept.wakeups) == 1
    assert len(desk.members("wakeups")) == 4


def test_without_an_answer_of_the_broker_no_wakeup_counts_as_lost(desk: Desk) -> None:
    desk.accept()
    desk.advance(1000)

    assert desk.sweep(depth=None).wakeups == []


def test_a_steady_state_sends_no_more_messages(desk: Desk) -> None:
    desk.create(*(desk.submission() for _ in range(40)))
    messages = len(desk.wakeups)
    desk.wakeups.clear()
    for _ in range(30):
        desk.advance(1)
        desk.sweep(depth=messages)

    assert desk.wakeups == []


def test_a_message_that_a_busy_worker_holds_back_is_sent_again_once(desk: Desk) -> None:
    desk.create(*(desk.submission() for _ in range(4)))
    depth = 0  # the worker took the message from the broker and computes
    for _ in range(30):
        desk.advance(1)
        depth += len(desk.sweep(depth=depth).wakeups)

    assert depth == 1


def test_wakeups_of_a_queue_that_is_empty_are_forgotten(desk: Desk) -> None:
    desk.cancel(desk.accept())
    desk.advance(3)
    desk.sweep(depth=0)

    assert desk.members("wakeups") == []


def test_a_sweep_tells_how_long_the_oldest_waits_and_the_queue_takes(desk: Desk) -> None:
    assert desk.sweep().oldest_seconds == 0
    desk.create(*(desk.submission() for _ in range(8)))
    desk.finish(desk.claim())
    desk.advance(7)
    swept = desk.sweep()

    assert swept.oldest_seconds == pytest.approx(7, abs=1e-3)
    assert swept.eta_seconds == 0.5
    assert (swept.queued, swept.running) == (4, 0)


def test_a_record_that_was_evicted_does_not_stop_the_sweep(desk: Desk) -> None:
    desk.create(*(desk.submission(id=id) for id in "ab"))
    desk.claim()
    desk.redis.delete(desk.ledger.key("prediction", "a"))
    desk.advance(16)
    desk.sweep()

    assert desk.members("running") == []
    assert desk.members("queued") == ["b"]


def test_a_deadline_ends_what_waits(desk: Desk) -> None:
    desk.accept(id="a", deadline_seconds=10)
    desk.advance(9.9)
    assert desk.expire().deadlines == 0
    desk.advance(0.1)

    assert desk.expire().deadlines == 1
    found = desk.get("a")
    assert (found.status, found.error_code) == (Status.CANCELED, "deadline_exceeded")
    assert "before it was started" in (found.error or "")
    assert desk.members("queued") == []
    assert desk.expire().deadlines == 0


def test_a_deadline_ends_what_runs(desk: Desk) -> None:
    desk.accept(id="a", deadline_seconds=10)
    claimed = desk.claim()
    desk.advance(10)

    assert desk.expire().deadlines == 1
    found = desk.get("a")
    assert (found.status, found.error_code) == (Status.CANCELED, "deadline_exceeded")
    assert "while it ran" in (found.error or "")
    assert desk.extend(claimed) == ["a"]
    assert desk.finish(claimed) == ["a"]


def test_a_deadline_ends_what_waits_again(desk: Desk) -> None:
    desk.accept(id="a", deadline_seconds=20)
    desk.lose(1)
    desk.advance(5)

    assert desk.expire().deadlines == 1
    assert desk.status("a") is Status.CANCELED


def test_a_deadline_does_not_touch_what_is_over(desk: Desk) -> None:
    desk.accept(id="a", deadline_seconds=10)
    desk.finish(desk.claim())
    desk.advance(100)

    assert desk.expire().deadlines == 0
    assert desk.status("a") is Status.SUCCEEDED


def test_what_runs_past_its_hard_limit_fails_a_little_after_its_own_watchdog(desk: Desk) -> None:
    desk.accept(id="a")
    claimed = desk.claim(timeout_seconds=60.0)
    desk.advance(61.9)
    desk.extend(claimed)
    assert desk.expire().limits == 0
    desk.advance(0.2)

    assert desk.expire().limits == 1
    found = desk.get("a")
    assert (found.status, found.error_code) == (Status.FAILED, "timeout")
    assert desk.extend(claimed) == ["a"]
    assert desk.finish(claimed, error="late", error_code="timeout") == []
    assert desk.get("a").error == found.error


def test_a_batch_that_ran_past_its_hard_limit_gets_another_start_each_alone(desk: Desk) -> None:
    desk.create(*(desk.submission(id=id) for id in ("hangs", "b", "c")))
    claimed = desk.claim(wakeup=1, timeout_seconds=60.0)
    desk.advance(62.1)
    desk.extend(claimed)
    assert desk.expire().limits == 3
    assert desk.members("running") == []
    assert len(desk.sweep().wakeups) == 1

    for _ in range(3):
        (alone,) = desk.claim(timeout_seconds=60.0)
        if alone.id == "hangs":
            desk.advance(62.1)
            desk.extend([alone])
            desk.expire()
        else:
            desk.finish([alone])
    assert desk.get("hangs").error_code == "timeout"
    assert [desk.status(id) for id in "bc"] == [Status.SUCCEEDED] * 2
    assert desk.members("dead") == []


def test_the_hard_limit_is_counted_from_each_start(desk: Desk) -> None:
    desk.accept(id="a")
    desk.claim(timeout_seconds=20.0)
    desk.advance(16)
    desk.sweep()
    desk.advance(30)
    assert desk.expire().limits == 0
    desk.claim("w2", timeout_seconds=20.0)
    desk.advance(21)

    assert desk.expire().limits == 0


def test_what_outlived_its_retention_is_deleted_with_all_its_traces(desk: Desk) -> None:
    desk.accept(id="a", idempotency_key="k", digest="d", result_ttl=60, deadline_seconds=50)
    desk.accept(id="b", result_ttl=3600)
    desk.finish(desk.claim())
    desk.advance(59.9)
    assert desk.prune() == 0
    desk.advance(0.2)

    assert desk.prune() == 1
    assert desk.view("a") is None
    assert desk.members("created", "local") == ["b"]
    traces = [key for key in desk.redis.keys(desk.ledger.key("*")) if key.endswith(b":a")]
    assert traces == []
    assert not desk.redis.exists(desk.ledger.key("idempotency", "local"))
    assert desk.status("b") is Status.SUCCEEDED
    desk.accept(id="c", idempotency_key="k", digest="other")


def test_what_is_not_over_is_never_deleted(desk: Desk) -> None:
    desk.accept(id="waits", result_ttl=1)
    desk.advance(10_000_000)

    assert desk.prune() == 0
    assert desk.status("waits") is Status.STARTING


def test_a_dead_prediction_is_kept_longer_and_then_leaves_the_dead_list(desk: Desk) -> None:
    desk.accept(id="a", result_ttl=60)
    desk.lose(3)
    desk.advance(7 * 86400 - 1)
    assert desk.prune() == 0
    assert desk.members("dead") == ["a"]
    desk.advance(2)

    assert desk.prune() == 1
    assert desk.members("dead") == []
    assert desk.view("a") is None


def test_events_are_deleted_with_their_prediction(desk: Desk) -> None:
    desk.accept(id="a", result_ttl=1)
    claimed = desk.claim()
    desk.run(report([Report("a", 1, events=[("output", "x")])]))
    desk.finish(claimed)
    desk.advance(2)
    desk.prune()

    assert not desk.redis.exists(desk.ledger.key("events", "a"))
