"""Replicas of the ledger: what they must have before anybody hears of it."""

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import msgpack
import pytest

from contract.errors import LedgerUnavailable
from contract.ledger.client import AsyncLedger
from contract.ledger.transitions import (
    Created,
    announce_outcomes,
    cancel,
    create,
    expire,
    list_unannounced,
    prune,
    read_predictions,
    read_statuses,
    read_stream,
)
from contract.prediction import Prediction, Status
from contract.settings import Settings
from tests.support.ledger_harness import LedgerHarness
from tests.support.sentinels import Guarded, Node
from tests.support.waiting import until

ODD = "p@ss/w:rd#%"
OTHER = "watchword"


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    """A primary and a replica, both with a password, and sentinels with another. No test ends one."""
    folder = tmp_path_factory.mktemp("guarded")
    with Guarded(folder, sentinels=1, password=ODD, sentinel_password=OTHER) as started:
        yield started


@pytest.fixture
def replica(guarded: Guarded) -> Iterator[Node]:
    """The one replica. A test may freeze it for less than the sentinel's patience, and it wakes after."""
    (node,) = [node for node in guarded.nodes if node.port != guarded.named()]
    yield node
    node.resume()
    until("the replica is back", node.in_step)


@pytest.fixture
def ours(guarded: Guarded, request: pytest.FixtureRequest) -> Settings:
    guarded.primary.asked("flushall")
    return Settings(
        redis_url=guarded.url,
        redis_password=ODD,
        redis_sentinel_password=OTHER,
        ledger_replicas=1,
        # A frozen replica is not waited for; one that is well may be late on a busy machine.
        ledger_timeout_seconds=0.6 if "replica" in request.fixturenames else 10.0,
    )


@pytest.fixture
def harness(ours: Settings) -> Iterator[LedgerHarness]:
    opened = LedgerHarness(ours)
    yield opened
    opened.close()


@pytest.fixture
def announced(harness: LedgerHarness) -> Iterator[Callable[[], list[Any]]]:
    """What the gateway `gw` is told, as often as it is called."""
    with harness.redis.pubsub(ignore_subscribe_messages=True) as channel:
        channel.subscribe(harness.ledger.key("answers", "gw"))
        channel.get_message(timeout=5)

        def told() -> list[Any]:
            harness.redis.publish(harness.ledger.key("answers", "gw"), msgpack.packb("last"))
            found = []
            while True:
                message = channel.get_message(timeout=5)
                assert message
                content = msgpack.unpackb(message["data"], unicode_errors="replace")
                if content == "last":
                    return found
                found += content

        yield told


def waiting_for(harness: LedgerHarness) -> list[str]:
    """The ids that are still to be announced."""
    return [
        id.decode() for id in harness.redis.zrange(harness.ledger.key("unannounced", "m"), 0, -1)
    ]


def test_what_was_answered_is_on_the_replica(harness: LedgerHarness, replica: Node) -> None:
    for _ in range(20):
        id = harness.accept()
        with replica.client() as client:
            assert client.hget(harness.ledger.key("prediction", id), "status") == b"starting"

        canceled = harness.cancel(id)
        assert canceled
        with replica.client() as client:
            assert client.hget(harness.ledger.key("prediction", id), "status") == b"canceled"


def test_a_script_that_redis_forgot_is_sent_again_and_awaited(
    harness: LedgerHarness, replica: Node
) -> None:
    harness.redis.script_flush()
    id = harness.accept()

    with replica.client() as client:
        assert client.exists(harness.ledger.key("prediction", id))


def test_a_create_without_its_replica_is_unknown_until_it_is_repeated(
    harness: LedgerHarness, replica: Node
) -> None:
    new = harness.new_prediction(id="a")
    replica.pause()
    for _ in range(2):
        with pytest.raises(LedgerUnavailable) as caught:
            harness.run(create([new]))
        assert caught.value.sent, "it is recorded, and may be lost"
    replica.resume()
    until("the replica is back", replica.in_step)
    (result,) = harness.create(new).results or []

    assert isinstance(result, Created)
    assert not result.repeated, "it was this same new"
    with replica.client() as client:
        assert client.exists(harness.ledger.key("prediction", "a"))


def test_a_cancel_without_its_replica_is_unknown_and_tells_nobody_until_it_is_back(
    harness: LedgerHarness, replica: Node, announced: Callable[[], list[Any]]
) -> None:
    id = harness.accept(watcher="gw")
    replica.pause()
    with pytest.raises(LedgerUnavailable) as caught:
        harness.run(cancel(id, "local"))
    assert caught.value.sent
    assert announced() == []
    replica.resume()
    until("the replica is back", replica.in_step)

    harness.cancel(id)
    assert [(told[0], told[1], told[2]["status"]) for told in announced()] == [
        (id, "outcome", "canceled")
    ]


def test_an_end_is_announced_once_with_all_that_a_reader_needs(
    harness: LedgerHarness, announced: Callable[[], list[Any]]
) -> None:
    ids = {harness.accept(watcher="gw"), harness.accept(watcher="gw")}
    harness.accept()
    assert harness.finish(harness.claim()) == []
    told = announced()

    assert len(told) == 2
    assert {(id, kind) for id, kind, _ in told} == {(id, "outcome") for id in ids}
    for id, _, outcome in told:
        heard = Prediction(id, "m")
        heard.update(outcome)
        (view,) = harness.run(read_predictions([(id, -1)]))
        assert view
        assert heard.outcome == view.prediction.outcome
        assert (heard.status, heard.output, heard.attempt) == (Status.SUCCEEDED, '"done"', 1)
    assert waiting_for(harness) == []


def test_an_outcome_without_its_replica_is_written_and_announced_when_it_is_back(
    harness: LedgerHarness, replica: Node, announced: Callable[[], list[Any]]
) -> None:
    id = harness.accept(watcher="gw")
    claimed = harness.claim()
    replica.pause()
    assert harness.finish(claimed) == [], "the worker goes on"
    (view,) = harness.run(read_predictions([(id, -1)]))
    assert view
    assert view.prediction.status is Status.SUCCEEDED, "who reads sees it earlier"

    assert announced() == []
    # Who waits does not, whichever way it looks.
    (waits,) = harness.run(read_predictions([(id, -1)], watcher="other"))
    assert waits
    assert waits.prediction.status is Status.PROCESSING
    assert harness.run(read_statuses([id], "other")) == [Status.PROCESSING]
    followed = harness.run(read_stream(id, "local", 0))
    assert followed
    assert (followed.status, followed.output) == (Status.PROCESSING, None)
    assert harness.sweep().unannounced == 1
    with pytest.raises(LedgerUnavailable):
        harness.run(list_unannounced("m"))
    replica.resume()
    until("the replica is back", replica.in_step)

    ids = harness.run(list_unannounced("m"))
    assert [harness.run(announce_outcomes("m", ids)), harness.run(announce_outcomes("m", ids))] == [
        1,
        0,
    ]
    assert [told[0] for told in announced()] == [id]
    assert harness.run(read_statuses([id], "other")) == [Status.SUCCEEDED]


@pytest.mark.parametrize("how", ["deadline in the queue", "deadline", "lost"])
def test_what_ends_in_any_other_way_is_announced_by_the_next_sweep(
    harness: LedgerHarness, how: str, announced: Callable[[], list[Any]]
) -> None:
    deadline = None if how == "lost" else 5.0
    id = harness.accept(watcher="gw", deadline_seconds=deadline)
    if how == "deadline in the queue":
        harness.advance(6)
        harness.claim()
    elif how == "deadline":
        harness.claim()
        harness.advance(6)
        harness.run(expire())
    else:
        for _ in range(3):
            harness.claim()
            harness.advance(16)
            harness.sweep()
    assert announced() == []

    assert harness.sweep().unannounced == 1
    assert harness.run(announce_outcomes("m", harness.run(list_unannounced("m")))) == 1
    assert [(told[0], told[1]) for told in announced()] == [(id, "outcome")]


def test_what_nobody_announced_is_forgotten_with_its_record(
    harness: LedgerHarness, replica: Node
) -> None:
    harness.accept(watcher="gw")
    harness.advance(16)
    claimed = harness.claim()
    replica.pause()
    harness.finish(claimed)
    replica.resume()
    harness.advance(10_000)
    harness.run(prune())

    assert waiting_for(harness) == []


def test_without_replicas_a_call_is_one_command_and_announces_by_itself(ours: Settings) -> None:
    alone = LedgerHarness(ours.model_copy(update={"ledger_replicas": 0}))
    with alone.redis.pubsub(ignore_subscribe_messages=True) as channel:
        channel.subscribe(alone.ledger.key("answers", "gw"))
        channel.get_message(timeout=5)
        alone.accept(watcher="gw")
        claimed = alone.claim()
        alone.redis.config_resetstat()
        alone.finish(claimed)
        stats = alone.redis.info("commandstats")
        message = channel.get_message(timeout=5)
    alone.close()

    assert message
    assert stats["cmdstat_evalsha"]["calls"] == 1
    assert "cmdstat_wait" not in stats


def test_a_repeat_waits_for_what_another_process_wrote(
    harness: LedgerHarness, ours: Settings, replica: Node
) -> None:
    replica.pause()
    new = harness.new_prediction(id="a")
    with pytest.raises(LedgerUnavailable):
        harness.run(create([new]))
    other = LedgerHarness(ours)
    with pytest.raises(LedgerUnavailable):
        other.run(create([new]))
    other.close()


def test_a_call_that_changes_nothing_leaves_a_trace_in_what_the_replicas_get(
    harness: LedgerHarness,
) -> None:
    """Redis 7.2 and later wait for what the same connection wrote, and for nothing else."""
    id = harness.accept()

    def offset() -> int:
        return int(harness.redis.info("replication")["master_repl_offset"])

    harness.cancel(id)
    before = offset()
    harness.cancel(id)
    between = offset()
    harness.run(list_unannounced("m"))

    assert before < between < offset()


def test_an_event_loop_waits_for_replicas_too(
    harness: LedgerHarness, ours: Settings, replica: Node
) -> None:
    async def story() -> None:
        ledger = AsyncLedger(ours)
        try:
            await ledger.run(create([harness.new_prediction(id="a")]))
            replica.pause()
            with pytest.raises(LedgerUnavailable) as caught:
                await ledger.run(create([harness.new_prediction(id="b")]))
            assert caught.value.sent
            replica.resume()
            until("the replica is back", replica.in_step)
            creation = await ledger.run(create([harness.new_prediction(id="b")]))
            assert creation.results
            canceled = await ledger.run(cancel("b", "local"))
            assert canceled
        finally:
            await ledger.close()

    asyncio.run(story())


def test_trouble_with_replicas_is_logged_once_and_so_is_its_end(
    harness: LedgerHarness, replica: Node, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "contract.ledger.replicas")
    replica.pause()
    for _ in range(2):
        with pytest.raises(LedgerUnavailable):
            harness.run(create([harness.new_prediction()]))
    replica.resume()
    until("the replica is back", replica.in_step)
    harness.accept()
    harness.accept()

    told = [
        record.getMessage()
        for record in caplog.records
        if record.name == "contract.ledger.replicas"
    ]
    assert told == [
        "too few replicas of the ledger answer",
        "the ledger's replicas answer again",
    ]
