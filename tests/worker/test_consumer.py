"""The three points in which our consumer differs from Celery's."""

import threading
import time
from collections.abc import Callable
from threading import Event
from types import SimpleNamespace
from typing import Any

import pytest

from contract.broker import TASK
from tests.support.waiting import until
from worker.consumer import AmqpHeartbeat, SoloConsumer


class Connection:
    """An AMQP connection that notes who writes, and fails when two do at once."""

    def __init__(self) -> None:
        self.beats: list[str] = []
        self.gate = Event()
        self.gate.set()
        self.inside = Event()
        self.error: Exception | None = None
        self.last_heartbeat_received = 0.0
        self._writing = threading.Lock()

    def send_heartbeat(self) -> None:
        assert self._writing.acquire(blocking=False), "two writers at once"
        try:
            self.inside.set()
            assert self.gate.wait(10)
            if self.error:
                raise self.error
            self.beats.append(threading.current_thread().name)
        finally:
            self._writing.release()


class Link(SimpleNamespace):
    """kombu's connection around it."""

    def __init__(self, driver: str = "amqp", heartbeat: float = 0.03) -> None:
        super().__init__(connection=Connection(), transport=SimpleNamespace(driver_type=driver))
        self.get_heartbeat_interval = lambda: heartbeat


class Message:
    """What the consumer sees of a message."""

    def __init__(self, events: list[str], task: str = TASK) -> None:
        self.headers = {"task": task}
        self.acknowledged = False
        self._events = events

    def ack_log_error(self, logger: Any, errors: Any) -> None:
        self._events.append("ack")
        self.acknowledged = True

    reject_log_error = ack_log_error

    def reject(self) -> None:
        self._events.append("reject")


def consumer(
    events: list[str],
    compute: Callable[[], Any] = lambda: None,
    *,
    link: Link | None = None,
    pool: str = "solo",
) -> SoloConsumer:
    """One whose task accepts its message as Celery's does, and then computes."""
    made = SoloConsumer.__new__(SoloConsumer)
    made.hub = SimpleNamespace(call_soon=lambda p: events.append("parked"))
    made.connection = link or Link()
    made.pool = SimpleNamespace(__module__=f"celery.concurrency.{pool}")
    made.task_consumer = SimpleNamespace(
        cancel=lambda: events.append("cancel"), consume=lambda: events.append("consume")
    )
    made.on_task_message = set()
    made.restart_count, made._maximum_prefetch_restored = 0, True

    def strategy(message: Message, payload: Any, ack: Any, reject: Any, callbacks: Any) -> None:
        ack(None, ())
        events.append("compute")
        compute()

    made.strategies = {TASK: strategy}
    return made


def test_a_message_is_acknowledged_before_its_batch_computes() -> None:
    events: list[str] = []
    consumer(events, link=Link("redis")).create_task_handler()(Message(events))
    assert events == ["ack", "compute"]


def test_on_rabbitmq_a_busy_worker_is_sent_no_second_message() -> None:
    events: list[str] = []
    handle = consumer(events).create_task_handler()
    handle(Message(events))
    assert events == ["cancel", "ack", "compute", "consume"]
    handle(Message(events))
    assert events[4:] == events[:4]


def test_a_batch_that_raises_leaves_the_consumer_listening() -> None:
    events: list[str] = []

    def fail() -> None:
        raise ValueError("no")

    handle = consumer(events, fail).create_task_handler()
    for _ in range(2):
        with pytest.raises(ValueError, match="no"):
            handle(Message(events))
    assert events == ["cancel", "ack", "compute", "consume"] * 2


def test_a_worker_that_was_told_to_end_listens_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("worker.consumer.draining", lambda: True)
    events: list[str] = []
    consumer(events).create_task_handler()(Message(events))
    assert events == ["cancel", "ack", "compute"]


@pytest.mark.parametrize("pool", ["prefork", "thread", "gevent", "eventlet"])
def test_in_the_other_pools_the_consumer_goes_on_listening(pool: str) -> None:
    events: list[str] = []
    made = consumer(events, pool=pool)
    made.create_task_handler()(Message(events))
    assert events == ["ack", "compute"]
    assert made._heart is None


def test_a_message_that_is_not_ours_is_dropped() -> None:
    events: list[str] = []
    consumer(events).create_task_handler()(Message(events, "somebody.elses"))
    assert events == ["reject"]


def test_an_acknowledgement_that_the_broker_refuses_is_a_lost_connection() -> None:
    """Celery keeps silent about it, and the worker would wait for room for ever."""
    events: list[str] = []
    message = Message(events)
    message.ack_log_error = lambda logger, errors: None
    with pytest.raises(ConnectionError):
        consumer(events, link=Link("redis")).create_task_handler()(message)


def test_heartbeats_go_out_while_the_main_thread_computes() -> None:
    events: list[str] = []
    link = Link()

    def compute() -> None:
        while len(link.connection.beats) < 3:
            sum(range(1000))

    began = time.monotonic()
    consumer(events, compute, link=link).create_task_handler()(Message(events))
    beats = link.connection.beats
    assert len(beats) >= 3
    assert set(beats) == {"heart"}
    # What came from the broker meanwhile lies unread, and must not count as silence.
    assert link.connection.last_heartbeat_received > began


def test_the_heart_beats_only_between_acknowledgement_and_listening_again() -> None:
    link = Link()
    events: list[str] = []
    hearts: list[Any] = []
    made = consumer(events, lambda: hearts.append(made._heart), link=link)
    note = made.task_consumer
    for name in ("cancel", "consume"):
        setattr(note, name, lambda name=name: hearts.append((name, made._heart)))
    made.create_task_handler()(Message(events))
    assert hearts[0] == ("cancel", None)
    assert isinstance(hearts[1], AmqpHeartbeat)
    assert hearts[2] == ("consume", None)


def test_no_heart_beats_where_the_broker_wants_none() -> None:
    events: list[str] = []
    hearts: list[Any] = []
    for link in (Link(heartbeat=0), Link("redis")):
        made = consumer(events, link=link)
        made.strategies[TASK] = lambda _, __, ack, *___, made=made: hearts.append(
            (ack(None, ()), made._heart)[1]
        )
        made.create_task_handler()(Message(events))
    assert hearts == [None, None]


def test_stopping_waits_for_the_heartbeat_under_way() -> None:
    connection = Connection()
    connection.gate.clear()
    heart = AmqpHeartbeat(connection, 0.003)
    assert connection.inside.wait(10)
    stopped = Event()
    stopping = threading.Thread(target=lambda: (heart.stop(), stopped.set()))
    stopping.start()
    assert not stopped.wait(0.1)
    connection.gate.set()
    assert stopped.wait(10)
    stopping.join(10)
    # And none follows: now the main thread may write.
    written = len(connection.beats)
    heart._thread.join(10)
    assert not heart._thread.is_alive()
    assert len(connection.beats) == written


def test_a_heart_stops_before_its_first_beat_when_the_batch_is_short() -> None:
    connection = Connection()
    AmqpHeartbeat(connection, 60).stop()
    assert connection.beats == []


def test_a_lost_connection_ends_the_heart_quietly() -> None:
    connection = Connection()
    connection.error = BrokenPipeError("gone")
    heart = AmqpHeartbeat(connection, 0.003)
    until("the thread has ended", lambda: not heart._thread.is_alive())
    heart.stop()
    assert connection.beats == []
