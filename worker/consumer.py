"""Celery's consumer, changed in three points that the solo pool needs.

The solo pool computes in the main thread, so nothing that Celery leaves to its event loop happens
meanwhile. Hence: a message is acknowledged before its batch computes, not when the loop comes round; the
worker takes no second message that it could not look at; and a thread keeps the AMQP connection alive.
"""

import itertools
import logging
import time
from collections.abc import Callable
from contextlib import suppress
from threading import Event, Lock, Thread
from typing import Any

from celery.worker.consumer import Consumer
from vine import ppartial

from contract.broker import TASK, broker_trouble
from worker.drain import draining
from worker.pools import is_solo

logger = logging.getLogger(__name__)

LONGEST_PAUSE = 4
"""Seconds between two tries to reach the broker."""


class SoloConsumer(Consumer):  # type: ignore[misc]
    """Acknowledges at once, takes one message at a time, and stays connected while it computes."""

    _paused = False
    _heart: "AmqpHeartbeat | None" = None

    def call_soon_ack(self, p: Any, *args: Any, **kwargs: Any) -> Any:
        """Acknowledge now. Celery's own waits for the hub, which is blocked until the batch is done."""
        p = ppartial(p, *args, **kwargs)
        if not (is_solo(self.pool) and self._is_amqp) or self._paused:
            p()
            return p
        # Else RabbitMQ would push the next message to this busy worker past every idle one.
        self._paused = True
        self.task_consumer.cancel()
        p()
        # Only now: from here until the batch is done this thread writes nothing.
        if interval := self.connection.get_heartbeat_interval():
            self._heart = AmqpHeartbeat(self.connection.connection, interval)
        return p

    def ensure_connected(self, conn: Any) -> Any:
        """Connect, however long it takes, with pauses of LONGEST_PAUSE seconds at most: kombu's grow to 30 s. Celery
        logs each try; this logs each trouble once, with the settings.
        """
        connect, logged = conn.ensure_connection, ""
        tries = itertools.count(1)

        def ensure_connection(errback: Any, *args: Any, **kwargs: Any) -> Any:
            def log_trouble(error: BaseException, pause: float) -> None:
                nonlocal logged
                trouble = broker_trouble(error)
                if trouble != logged:
                    logger.warning(trouble, extra={"cause": str(error), **self.app.whereabouts})
                logged = self.app.health.waits_for = trouble
                logger.debug("the broker is tried again", extra={"tries": next(tries)})

            pauses = {"interval_start": 1, "interval_step": 1, "interval_max": LONGEST_PAUSE}
            return connect(log_trouble, *args, **kwargs, **pauses)

        conn.ensure_connection = ensure_connection
        connected = super().ensure_connected(conn)
        self.app.health.waits_for = ""
        if logged:
            logger.info("the broker answers again")
        return connected

    def create_task_handler(self, *args: Any, **kwargs: Any) -> Callable[[Any], Any]:
        handle = super().create_task_handler(*args, **kwargs)

        def on_message(message: Any) -> None:
            if (message.headers or {}).get("task") != TASK:
                # Celery takes what some of these do to it for a lost connection, and gets them again.
                logger.error("dropped a message that is not ours")
                message.reject()
                return
            try:
                handle(message)
            finally:
                if self._heart:
                    self._heart.stop()
                    self._heart = None
                if self._paused:
                    self._paused = False
                    if not draining():
                        self.task_consumer.consume()
            if is_solo(self.pool) and not message.acknowledged:
                # A Redis without memory or disk refuses it. Celery keeps silent about that, and this
                # worker would wait for ever for room to take the next message.
                raise ConnectionError("the broker did not take an acknowledgement")

        return on_message

    @property
    def _is_amqp(self) -> bool:
        return bool(self.connection and self.connection.transport.driver_type == "amqp")


class AmqpHeartbeat:
    """Sends AMQP heartbeats on the consumer's connection while the main thread computes.

    Only one thread may write to an AMQP connection. The main thread does not while it computes, and
    `stop` returns only when the last heartbeat is out.
    """

    def __init__(self, connection: Any, interval_seconds: float) -> None:
        self._connection = connection
        self._stopped = Event()
        self._writing = Lock()
        self._thread = Thread(
            target=self._beat, args=(interval_seconds / 3,), name="heart", daemon=True
        )
        self._thread.start()

    def _beat(self, pause: float) -> None:
        while not self._stopped.wait(pause):
            with self._writing:
                if self._stopped.is_set():
                    return
                try:
                    self._connection.send_heartbeat()
                except Exception as error:
                    # The message is acknowledged already: the loop will connect anew afterwards.
                    logger.warning("heartbeat failed", extra={"error": type(error).__name__})
                    return

    def stop(self) -> None:
        self._stopped.set()
        with self._writing, suppress(AttributeError):
            # What the broker sent meanwhile is not read yet, and would count as silence.
            self._connection.last_heartbeat_received = time.monotonic()
