"""What the keeper puts right: lost workers, lost messages, what is late and what is old."""

import pytest

from contract.ledger.transitions import Report, read_dead_list, report
from contract.prediction import Status
from tests.support.ledger_harness import LedgerHarness


def test_an_expired_lease_gives_its_predictions_back(harness: LedgerHarness) -> None:
    harness.create(*(harness.new_prediction(id=id) for id in "ab"))
    harness.claim(wakeup=1)
    harness.advance(14.9)
    assert harness.sweep().taken_back == 0
    harness.advance(0.2)
    swept = harness.sweep()

    assert (swept.taken_back, swept.dead) == (2, 0)
    assert (swept.queued, swept.running, swept.busy) == (2, 0, 0)
    assert len(swept.wakeups) == 1
    assert harness.members("queued") == ["a", "b"]
    assert harness.get("a").status is Status.STARTING
    assert harness.get("a").queue_position == 1
    assert [(c.id, c.attempt) for c in harness.claim("w2")] == [("a", 2)], "a suspect runs alone"


def test_a_prediction_whose_every_worker_was_lost_is_dead(harness: LedgerHarness) -> None:
    harness.accept(id="poison", watcher="gw")
    harness.lose(2)
    assert harness.status("poison") is Status.STARTING
    harness.claim()
    harness.advance(16)
    swept = harness.sweep()

    assert (swept.taken_back, swept.dead, swept.dead_total) == (1, 1, 1)
    found = harness.get("poison")
    assert (found.status, found.error_code, found.attempt) == (Status.FAILED, "worker_lost", 3)
    assert [p.id for p in harness.run(read_dead_list("m"))] == ["poison"]
    assert harness.claim() == []


def test_the_innocent_in_a_batch_with_poison_are_unaffected(harness: LedgerHarness) -> None:
    harness.create(*(harness.new_prediction(id=id) for id in ("poison", "b", "c")))
    for _ in range(10):
        claimed = harness.claim()
        if any(c.id == "poison" for c in claimed):
            harness.advance(16)  # its worker dies
            harness.sweep()
        else:
            harness.finish(claimed)

    assert harness.get("poison").error_code == "worker_lost"
    for id in "bc":
        assert harness.status(id) is Status.SUCCEEDED
        assert harness.get(id).attempt == 2


def test_a_sweep_touches_a_bounded_number_of_predictions(harness: LedgerHarness) -> None:
    harness.create(*(harness.new_prediction() for _ in range(8)))
    harness.claim()
    harness.claim("w2")
    harness.advance(16)

    assert [harness.sweep(most=5).taken_back for _ in range(3)] == [5, 3, 0]


def test_a_lost_worker_is_no_longer_busy(harness: LedgerHarness) -> None:
    harness.accept()
    harness.claim()
    harness.cancel(harness.members("running")[0])
    harness.advance(16)

    assert harness.sweep().busy == 0


def test_a_sweep_shows_how_long_each_busy_worker_has_its_batch(harness: LedgerHarness) -> None:
    assert harness.sweep().workers == {}
    harness.create(*(harness.new_prediction() for _ in range(12)))
    first = harness.claim("w1")
    harness.advance(7)
    second = harness.claim("w2")
    harness.advance(3)
    swept = harness.sweep()

    assert swept.workers == pytest.approx({"w1": 10, "w2": 3}, abs=1e-3)
    assert swept.busy == 2
    harness.finish(first, worker="w1")
    harness.release(second, worker="w2")
    assert harness.sweep().workers == {}
    assert harness.members("claimed") == []


def test_a_batch_keeps_its_age_while_its_lease_is_extended_and_the_next_starts_anew(
    harness: LedgerHarness,
) -> None:
    harness.create(*(harness.new_prediction() for _ in range(8)))
    claimed = harness.claim(limit=4)
    for _ in range(10):
        harness.advance(10)
        harness.extend(claimed)
    assert harness.sweep().workers == pytest.approx({"w1": 100}, abs=1e-3)
    harness.finish(claimed[:2], idle=False)
    assert harness.sweep().workers == pytest.approx({"w1": 100}, abs=1e-3)
    harness.finish(claimed[2:])
    harness.claim()
    harness.advance(1)

    assert harness.sweep().workers == pytest.approx({"w1": 1}, abs=1e-3)


def test_a_worker_that_comes_back_under_its_old_name_has_a_new_batch(
    harness: LedgerHarness,
) -> None:
    harness.create(*(harness.new_prediction() for _ in range(8)))
    harness.claim()
    harness.advance(10)  # its container starts again, before the lease is over
    harness.claim()
    harness.advance(2)

    assert harness.sweep().workers == pytest.approx({"w1": 2}, abs=1e-3)


def test_a_worker_that_does_not_say_since_when_is_busy_all_the_same(harness: LedgerHarness) -> None:
    harness.create(*(harness.new_prediction() for _ in range(8)))
    harness.claim("old")
    harness.redis.delete(harness.ledger.key("claimed", "m"))  # an older version does not write it
    harness.claim("new")
    harness.advance(5)

    assert harness.sweep().workers == pytest.approx({"old": 0, "new": 5}, abs=1e-3)


def test_a_claim_is_forgotten_with_its_worker(harness: LedgerHarness) -> None:
    harness.create(*(harness.new_prediction() for _ in range(8)))
    harness.claim("lost")
    harness.advance(10)
    kept = harness.claim("kept")
    harness.advance(6)
    assert harness.sweep().workers == pytest.approx({"kept": 6}, abs=1e-3)
    assert harness.members("claimed") == ["kept"]
    harness.redis.zrem(harness.ledger.key("busy", "m"), "kept")  # an older version finishes so

    assert harness.sweep().workers == {}
    assert harness.members("claimed") == []
    harness.finish(kept, worker="kept")


def test_a_thousand_busy_workers_are_found_in_one_sweep(harness: LedgerHarness) -> None:
    names = [f"w-{n}" for n in range(1000)]
    harness.redis.zadd(harness.ledger.key("busy", "m"), dict.fromkeys(names, harness.now + 15))
    harness.redis.zadd(harness.ledger.key("claimed", "m"), dict.fromkeys(names, harness.now - 60))
    swept = harness.sweep()

    assert swept.workers == pytest.approx(dict.fromkeys(names, 60), abs=1e-3)


def test_a_lost_message_is_sent_again_once_it_was_given_time(harness: LedgerHarness) -> None:
    harness.accept()
    assert harness.sweep(depth=0).wakeups == [], "it may be on its way"
    harness.advance(2.1)
    (wakeup,) = harness.sweep(depth=0).wakeups

    assert wakeup == 2
    assert harness.members("wakeups") == ["2"]


def test_only_as_many_messages_as_are_missing_are_sent_again(harness: LedgerHarness) -> None:
    harness.create(*(harness.new_prediction() for _ in range(16)))
    harness.advance(3)
    swept = harness.sweep(depth=3)

    assert len(swept.wakeups) == 1
    assert len(harness.members("wakeups")) == 4


def test_without_an_answer_of_the_broker_no_wakeup_counts_as_lost(harness: LedgerHarness) -> None:
    harness.accept()
    harness.advance(1000)

    assert harness.sweep(depth=None).wakeups == []


def test_a_steady_state_sends_no_more_messages(harness: LedgerHarness) -> None:
    harness.create(*(harness.new_prediction() for _ in range(40)))
    messages = len(harness.wakeups)
    harness.wakeups.clear()
    for _ in range(30):
        harness.advance(1)
        harness.sweep(depth=messages)

    assert harness.wakeups == []


def test_a_message_that_a_busy_worker_holds_back_is_sent_again_once(harness: LedgerHarness) -> None:
    harness.create(*(harness.new_prediction() for _ in range(4)))
    depth = 0  # the worker took the message from the broker and computes
    for _ in range(30):
        harness.advance(1)
        depth += len(harness.sweep(depth=depth).wakeups)

    assert depth == 1


def test_wakeups_of_a_queue_that_is_empty_are_forgotten(harness: LedgerHarness) -> None:
    harness.cancel(harness.accept())
    harness.advance(3)
    harness.sweep(depth=0)

    assert harness.members("wakeups") == []


def test_a_sweep_shows_how_long_the_oldest_waits_and_the_queue_takes(
    harness: LedgerHarness,
) -> None:
    assert harness.sweep().oldest_seconds == 0
    harness.create(*(harness.new_prediction() for _ in range(8)))
    harness.finish(harness.claim())
    harness.advance(7)
    swept = harness.sweep()

    assert swept.oldest_seconds == pytest.approx(7, abs=1e-3)
    assert swept.eta_seconds == 0.5
    assert (swept.queued, swept.running) == (4, 0)


def test_a_record_that_was_evicted_does_not_stop_the_sweep(harness: LedgerHarness) -> None:
    harness.create(*(harness.new_prediction(id=id) for id in "ab"))
    harness.claim()
    harness.redis.delete(harness.ledger.key("prediction", "a"))
    harness.advance(16)
    harness.sweep()

    assert harness.members("running") == []
    assert harness.members("queued") == ["b"]


def test_a_deadline_ends_what_waits(harness: LedgerHarness) -> None:
    harness.accept(id="a", deadline_seconds=10)
    harness.advance(9.9)
    assert harness.expire().deadlines == 0
    harness.advance(0.1)

    assert harness.expire().deadlines == 1
    found = harness.get("a")
    assert (found.status, found.error_code) == (Status.CANCELED, "deadline_exceeded")
    assert "before it was started" in (found.error or "")
    assert harness.members("queued") == []
    assert harness.expire().deadlines == 0


def test_a_deadline_ends_what_runs(harness: LedgerHarness) -> None:
    harness.accept(id="a", deadline_seconds=10)
    claimed = harness.claim()
    harness.advance(10)

    assert harness.expire().deadlines == 1
    found = harness.get("a")
    assert (found.status, found.error_code) == (Status.CANCELED, "deadline_exceeded")
    assert "while it ran" in (found.error or "")
    assert harness.extend(claimed) == ["a"]
    assert harness.finish(claimed) == ["a"]


def test_a_deadline_ends_what_waits_again(harness: LedgerHarness) -> None:
    harness.accept(id="a", deadline_seconds=20)
    harness.lose(1)
    harness.advance(5)

    assert harness.expire().deadlines == 1
    assert harness.status("a") is Status.CANCELED


def test_a_deadline_does_not_touch_what_is_over(harness: LedgerHarness) -> None:
    harness.accept(id="a", deadline_seconds=10)
    harness.finish(harness.claim())
    harness.advance(100)

    assert harness.expire().deadlines == 0
    assert harness.status("a") is Status.SUCCEEDED


def test_what_runs_past_its_hard_limit_fails_a_little_after_its_own_watchdog(
    harness: LedgerHarness,
) -> None:
    harness.accept(id="a")
    claimed = harness.claim(timeout_seconds=60.0)
    harness.advance(61.9)
    harness.extend(claimed)
    assert harness.expire().limits == 0
    harness.advance(0.2)

    assert harness.expire().limits == 1
    found = harness.get("a")
    assert (found.status, found.error_code) == (Status.FAILED, "timeout")
    assert harness.extend(claimed) == ["a"]
    assert harness.finish(claimed, error="late", error_code="timeout") == []
    assert harness.get("a").error == found.error


def test_a_batch_that_ran_past_its_hard_limit_gets_another_start_each_alone(
    harness: LedgerHarness,
) -> None:
    harness.create(*(harness.new_prediction(id=id) for id in ("hangs", "b", "c")))
    claimed = harness.claim(wakeup=1, timeout_seconds=60.0)
    harness.advance(62.1)
    harness.extend(claimed)
    assert harness.expire().limits == 3
    assert harness.members("running") == []
    assert len(harness.sweep().wakeups) == 1

    for _ in range(3):
        (alone,) = harness.claim(timeout_seconds=60.0)
        if alone.id == "hangs":
            harness.advance(62.1)
            harness.extend([alone])
            harness.expire()
        else:
            harness.finish([alone])
    assert harness.get("hangs").error_code == "timeout"
    assert [harness.status(id) for id in "bc"] == [Status.SUCCEEDED] * 2
    assert harness.members("dead") == []


def test_the_hard_limit_is_counted_from_each_start(harness: LedgerHarness) -> None:
    harness.accept(id="a")
    harness.claim(timeout_seconds=20.0)
    harness.advance(16)
    harness.sweep()
    harness.advance(30)
    assert harness.expire().limits == 0
    harness.claim("w2", timeout_seconds=20.0)
    harness.advance(21)

    assert harness.expire().limits == 0


def test_what_outlived_its_retention_is_deleted_with_all_its_traces(harness: LedgerHarness) -> None:
    harness.accept(id="a", idempotency_key="k", digest="d", result_ttl=60, deadline_seconds=50)
    harness.accept(id="b", result_ttl=3600)
    harness.finish(harness.claim())
    harness.advance(59.9)
    assert harness.prune() == 0
    harness.advance(0.2)

    assert harness.prune() == 1
    assert harness.view("a") is None
    assert harness.members("created", "local") == ["b"]
    traces = [key for key in harness.redis.keys(harness.ledger.key("*")) if key.endswith(b":a")]
    assert traces == []
    assert not harness.redis.exists(harness.ledger.key("idempotency", "local"))
    assert harness.status("b") is Status.SUCCEEDED
    harness.accept(id="c", idempotency_key="k", digest="other")


def test_what_is_not_over_is_never_deleted(harness: LedgerHarness) -> None:
    harness.accept(id="waits", result_ttl=1)
    harness.advance(10_000_000)

    assert harness.prune() == 0
    assert harness.status("waits") is Status.STARTING


def test_a_dead_prediction_is_kept_longer_and_then_leaves_the_dead_list(
    harness: LedgerHarness,
) -> None:
    harness.accept(id="a", result_ttl=60)
    harness.lose(3)
    harness.advance(7 * 86400 - 1)
    assert harness.prune() == 0
    assert harness.members("dead") == ["a"]
    harness.advance(2)

    assert harness.prune() == 1
    assert harness.members("dead") == []
    assert harness.view("a") is None


def test_events_are_deleted_with_their_prediction(harness: LedgerHarness) -> None:
    harness.accept(id="a", result_ttl=1)
    claimed = harness.claim()
    harness.run(report([Report("a", 1, events=[("output", "x")])]))
    harness.finish(claimed)
    harness.advance(2)
    harness.prune()

    assert not harness.redis.exists(harness.ledger.key("events", "a"))
