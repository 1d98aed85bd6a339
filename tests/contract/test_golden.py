"""Gateway and worker roll at different times: what either wrote before, or will write, can be read.

The files in golden/ stay as they are. A format that changes gets another file beside them.
"""

import json
import uuid
from dataclasses import replace
from pathlib import Path
from typing import Any

import kombu
import msgpack
import pytest
import redis
from celery.worker.request import Request

from contract.broker import TASK, Notifier, create_app, model_queue, queue_name
from contract.ledger.transitions import Report, claim, report
from contract.prediction import Prediction, Priority, Status
from contract.settings import Settings
from tests.support.ledger_harness import LedgerHarness

GOLDEN = Path(__file__).parent / "golden"


def load(name: str) -> dict[str, Any]:
    return json.loads((GOLDEN / f"{name}.json").read_text(encoding="utf-8"))


def test_a_record_of_this_version_reads_in_full() -> None:
    assert Prediction.from_record(load("record")) == Prediction(
        id="4dq2vkc7xw5rjm3ntz6hye8a2b",
        model="m",
        owner="alice",
        version="5f" * 32,
        input='{"inputs": "café 🙂"}',
        digest="d1" * 32,
        status=Status.SUCCEEDED,
        priority=Priority.HIGH,
        attempt=2,
        worker="pod-1",
        created_at=1700000000.000001,
        started_at=1700000001.5,
        completed_at=1700000001.75,
        deadline=1700000120.0,
        output='[{"label": "positive", "score": 0.98}]',
        logs="loading\n",
        progress=1.0,
        predict_seconds=0.5,
        result_ttl=3600.0,
        sequence=1,
        idempotency_key="order-7",
    )


def test_a_record_of_a_failure_reads_in_full() -> None:
    failed = Prediction.from_record(load("record_failed"))

    assert (failed.status, failed.error_code, failed.attempt) == (Status.FAILED, "worker_lost", 3)
    assert failed.replay_of == "a" * 26
    assert failed.output is None


def test_a_record_that_lacks_newer_fields_reads_with_their_defaults() -> None:
    old = Prediction.from_record(load("record_old"))

    assert old.output == '[{"label": "positive", "score": 0.98}]'
    assert (old.owner, old.priority, old.logs, old.progress) == ("local", "normal", "", None)


def test_a_record_with_fields_of_the_future_reads_without_them() -> None:
    assert Prediction.from_record(load("record_future")) == Prediction.from_record(load("record"))


def test_a_record_of_a_traced_prediction_reads_with_its_trace() -> None:
    traced = Prediction.from_record(load("record_traced"))

    assert traced.traceparent == "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    assert traced.tracestate == "vendor=t61rcWkgMzE"
    assert replace(traced, traceparent=None, tracestate=None) == Prediction.from_record(
        load("record")
    )


def test_a_record_of_what_was_handed_back_reads_with_how_often() -> None:
    handed_back = Prediction.from_record(load("record_handed_back"))

    assert (handed_back.attempt, handed_back.handed_back) == (3, 1)
    assert Prediction.from_record(load("record_old")).handed_back == 0


def test_a_record_of_a_streamed_prediction_reads_as_any_other() -> None:
    assert Prediction.from_record(load("record_streamed")) == Prediction.from_record(load("record"))


def test_a_record_of_a_pinned_prediction_reads_with_its_pin() -> None:
    pinned = Prediction.from_record(load("record_pinned"))

    assert pinned.pinned == "5f" * 32
    assert replace(pinned, pinned=None) == Prediction.from_record(load("record"))


@pytest.mark.parametrize(
    "name",
    [
        "record",
        "record_failed",
        "record_old",
        "record_future",
        "record_traced",
        "record_handed_back",
        "record_streamed",
        "record_pinned",
    ],
)
def test_the_ledger_reads_every_record(harness: LedgerHarness, name: str) -> None:
    record = load(name)
    harness.redis.hset(harness.ledger.key("prediction", record["id"]), mapping=record)

    assert harness.get(record["id"]) == Prediction.from_record(record)


@pytest.mark.parametrize("extra", [{}, {"shard": "7"}])
def test_what_an_older_or_newer_gateway_recorded_runs(
    harness: LedgerHarness, extra: dict[str, str]
) -> None:
    waits = {"id": "a", "model": "m", "owner": "o", "input": "1", "status": "starting"}
    waits |= {"attempt": "0", "created_at": "1700000000.0", "score": "1700000000.0"}
    waits |= {"result_ttl": "60", **extra}
    harness.redis.hset(harness.ledger.key("prediction", "a"), mapping=waits)
    harness.redis.zadd(harness.ledger.key("queued", "m"), {"a": 1700000000.0})
    harness.lose(1)
    claimed = harness.claim()

    assert [(c.id, c.attempt) for c in claimed] == [("a", 2)]
    assert harness.finish(claimed) == []
    assert harness.status("a") is Status.SUCCEEDED


def test_every_field_that_the_ledger_writes_stands_in_a_golden_record(
    harness: LedgerHarness,
) -> None:
    seen: set[str] = set()
    harness.accept(
        id="a",
        watcher="gw",
        idempotency_key="k",
        deadline_seconds=1000,
        traceparent=load("record_traced")["traceparent"],
        tracestate="a=1",
    )
    harness.lose(1)
    claimed = harness.claim()
    harness.run(report([Report("a", 2, 0.5, "log", [("output", "x")])]))
    harness.finish(claimed, said=1)
    harness.accept(id="b", pinned="5f" * 32, entry="5f" * 16)
    harness.run(claim(harness.terms(version="5f" * 32), 0))
    harness.finish(harness.claim(), error="no", error_code="model_error")
    for id in "ab":
        seen |= {name.decode() for name in harness.record(id)}

    names = ("record", "record_failed", "record_traced", "record_handed_back")
    names += ("record_streamed", "record_pinned")
    golden = {field for name in names for field in load(name)}
    assert seen <= golden, "a new field needs a golden record"


@pytest.mark.parametrize("name", ["announcement", "announcement_versioned"])
def test_an_announcement_reads_as_the_outcome(name: str) -> None:
    ((id, kind, fields),) = msgpack.unpackb((GOLDEN / f"{name}.bin").read_bytes())
    # An older one says nothing of the version: who waits knows what the record said before.
    told = Prediction(id, "m", version="5f" * 32 if name == "announcement" else "")
    told.update(fields)

    assert kind == "outcome"
    assert told.outcome == Prediction.from_record(load("record")).outcome


def test_an_announcement_with_fields_of_the_future_reads_without_them() -> None:
    told = Prediction("a", "m")
    told.update({"status": "succeeded", "output": "1", "cost_usd": 0.1})

    assert told == Prediction("a", "m", status=Status.SUCCEEDED, output="1")


def take(settings: Settings) -> kombu.Message:
    """The next message, as a worker's consumer gets it."""
    app = create_app(settings)
    taken: list[kombu.Message] = []
    with app.connection_for_read() as connection:
        consumer = connection.Consumer(
            model_queue("m"),
            accept=app.conf.accept_content,
            on_message=taken.append,
            no_ack=True,
        )
        with consumer:
            connection.drain_events(timeout=5)
    return taken[0]


@pytest.mark.parametrize("headers", [{}, {"from_the_future": 1}])
def test_a_message_of_this_version_wakes_a_worker(
    settings: Settings, headers: dict[str, Any]
) -> None:
    message = load("message")
    message["headers"] |= headers
    with redis.Redis.from_url(settings.broker) as connection:
        connection.lpush(f"{settings.prefix}broker:{queue_name('m')}", json.dumps(message).encode())
    taken = take(settings)
    app = create_app(settings)

    @app.task(name=TASK, shared=False)
    def predict(wakeup: int) -> None:
        """What the worker registers."""

    request = Request(taken, app=app, task=app.tasks[TASK])

    assert request.name == TASK
    assert (request.args, request.kwargs) == ([41], {})


def test_the_message_that_is_sent_has_the_shape_of_the_golden_one(settings: Settings) -> None:
    notifier = Notifier(settings)
    notifier.send_wakeups("m", [41])
    notifier.close(wait=True)
    with redis.Redis.from_url(settings.broker) as connection:
        sent = json.loads(connection.lrange(f"{settings.prefix}broker:{queue_name('m')}", 0, 0)[0])
    golden = load("message")

    assert sent["body"] == golden["body"]
    for part in ("headers", "properties"):
        assert sent[part].keys() == golden[part].keys()
    assert uuid.UUID(sent["headers"]["id"])
