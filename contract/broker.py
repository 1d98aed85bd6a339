"""The broker: the only place where the Celery app is built, and the notifier that sends workers their wake-ups.

A message carries nothing but a wake-up number. What waits, in what order and who may run it is the ledger's;
a message only says "look". So a lost, late or doubled message can lose, reorder or double nothing.
"""

import logging
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import wait as futures_wait
from contextlib import suppress
from functools import partial
from typing import Any
from urllib.parse import quote, urlsplit
from uuid import uuid4

import redis
from amqp.exceptions import AccessRefused
from celery import Celery
from kombu import Connection, Queue  # type: ignore[attr-defined]

from contract.addresses import behind_sentinel, read_sentinels
from contract.sentinel import sentinel_options
from contract.settings import Settings

logger = logging.getLogger(__name__)

TASK = "soloist.predict"
LEAVE_SECONDS = 0.5
"""How long who ends waits for what is on its way to the broker."""


def queue_name(model: str) -> str:
    """The broker's queue of a model."""
    return f"soloist.{model}"


def is_amqp(url: str) -> bool:
    return urlsplit(url).scheme in ("amqp", "amqps")


def broker_trouble(error: BaseException | None) -> str:
    """What an error of a transport says of the broker, in our words."""
    while error is not None:  # kombu wraps them
        if isinstance(error, redis.AuthenticationError | AccessRefused):
            return "the broker refuses our user or password"
        error = error.__cause__ or error.__context__
    return "the broker does not answer"


def create_app(settings: Settings) -> Celery:
    """The Celery app of every process: JSON only, no results, no remote control, no events.

    There is no result backend: outcomes go to the ledger, and a backend that is away would make a worker
    run its last task again and again.
    """
    app = Celery("soloist", broker=_kombu_url(settings.broker), set_as_current=False)
    app.conf.update(
        accept_content=["json"],
        task_serializer="json",
        result_backend=None,
        task_ignore_result=True,
        task_acks_late=False,
        worker_prefetch_multiplier=1,
        worker_enable_remote_control=False,
        worker_send_task_events=False,
        worker_hijack_root_logger=False,
        worker_redirect_stdouts=False,
        worker_cancel_long_running_tasks_on_connection_loss=False,
        worker_detect_quorum_queues=False,
        worker_soft_shutdown_timeout=0,
        broker_connection_timeout=settings.broker_timeout_seconds,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        broker_channel_error_retry=True,
        broker_heartbeat=settings.amqp_heartbeat_seconds,
        broker_transport_options=_transport_options(settings),
    )
    if urlsplit(settings.broker).scheme.startswith("rediss"):
        # Else kombu takes any certificate.
        app.conf.broker_use_ssl = {"ssl_cert_reqs": "required"}
    return app


def _kombu_url(url: str) -> str:
    """The URL as kombu wants it. It has a form of its own for sentinels, one URL each; whichever it tries
    next, it takes user, password and database from there.
    """
    if not behind_sentinel(url):
        return url
    known = read_sentinels(url)
    login = ""
    if known.username or known.password:
        login = f"{quote(known.username or '', safe='')}:{quote(known.password or '', safe='')}@"
    hosts = [f"[{host}]" if ":" in host else host for host, _ in known.addresses]
    ports = [port for _, port in known.addresses]
    return ";".join(
        f"sentinel://{login}{host}:{port}/{known.database}"
        for host, port in zip(hosts, ports, strict=True)
    )


def _transport_options(settings: Settings) -> dict[str, Any]:
    if is_amqp(settings.broker):
        return {"confirm_publish": True}
    options = {
        "global_keyprefix": f"{settings.prefix}broker:",
        "socket_timeout": settings.broker_timeout_seconds,
        "socket_connect_timeout": settings.broker_timeout_seconds,
        "socket_keepalive": True,
        # kombu's name for how long one BRPOP waits, which a message ends at once: an idle worker asks this seldom.
        "polling_interval": 2,
        # How soon a worker notices that the Redis which it listens to is silent: so much after the end of a BRPOP,
        # looked at as often as this.
        "health_check_interval": 2,
        "priority_steps": [0],
    }
    if behind_sentinel(settings.broker):
        known = read_sentinels(settings.broker)
        options |= {
            "master_name": known.service,
            "sentinel_kwargs": sentinel_options(known, settings.sentinel_login("broker")),
        }
    return options


def model_queue(model: str) -> Queue:
    """The durable queue of a model."""
    return Queue(queue_name(model), routing_key=queue_name(model), durable=True)


class _Link:
    """One connection for publishing, with bounded waits. Used by one thread."""

    def __init__(self, app: Celery, settings: Settings) -> None:
        self._app = app
        self._timeout = settings.broker_timeout_seconds
        options = dict(app.conf.broker_transport_options)
        if is_amqp(settings.broker):
            # Bounds the wait for a confirm too: py-amqp reads it from the socket.
            options |= {"read_timeout": self._timeout, "write_timeout": self._timeout}
        else:
            options |= {"socket_timeout": self._timeout}
        self._connection: Connection = app.connection_for_write().clone(
            transport_options=options, connect_timeout=self._timeout, heartbeat=0
        )
        self._amqp = is_amqp(settings.broker)
        self._channel: Any = None
        self._declared: set[str] = set()

    def publish(self, model: str, wakeup: int) -> None:
        """Send one wake-up to a model's queue, durable, routed and confirmed where the broker can.

        Raises:
            Exception: whatever the transport raises when the broker is away.
        """
        started = time.monotonic()
        try:
            self._publish(model, wakeup)
        except (*self._connection.channel_errors, *self._connection.connection_errors):
            if time.monotonic() - started > self._timeout / 2:
                raise  # it keeps silent, and would again
            # Somebody deleted the queue, or the broker was restarted: once more, on a fresh connection.
            self.close()
            self._publish(model, wakeup)

    def _publish(self, model: str, wakeup: int) -> None:
        channel = self._ready(model)
        message = self._app.amqp.create_task_message(
            str(uuid4()), TASK, args=(wakeup,), kwargs={}, ignore_result=True
        )
        with channel.connection.client.Producer(channel, auto_declare=False) as producer:
            # The default exchange leads to the queue by name, also on a broker that lost its data.
            producer.publish(
                message.body,
                exchange="",
                routing_key=queue_name(model),
                serializer="json",
                headers=message.headers,
                delivery_mode=2,
                mandatory=True,
                retry=False,
                **message.properties,
            )

    def count_messages(self, model: str) -> int:
        """How many messages wait for a worker."""
        # Declared, not asked for passively: Redis has no empty list that could be found.
        declared = self._ready(model).queue_declare(
            queue_name(model), durable=True, auto_delete=False
        )
        return int(declared.message_count)

    def delete_queue(self, model: str) -> None:
        """Delete a model's queue with its messages, unless a worker listens to it."""
        self._declared.discard(model)
        channel = self._open()
        if not self._amqp:  # a list, which is there as long as it holds messages
            channel.queue_purge(queue_name(model))
            return
        try:
            channel.queue_delete(queue_name(model), if_unused=True)
        except self._connection.channel_errors:
            self.close()  # a worker listens to it: the broker has closed the channel

    def _ready(self, model: str) -> Any:
        channel = self._open()
        if model not in self._declared:
            model_queue(model).bind(channel).declare()
            self._declared.add(model)
        return channel

    def _open(self) -> Any:
        if self._channel is None:
            # kombu's pause before its second try is 2 s, whatever the timeout.
            self._connection.ensure_connection(
                max_retries=1, interval_start=0, timeout=self._timeout
            )
            self._channel = self._connection.default_channel
        return self._channel

    def close(self) -> None:
        """Drop the connection; the next use opens a fresh one."""
        self._channel = None
        self._declared.clear()
        with suppress(Exception):
            self._connection.collect(socket_timeout=0.5)


class Notifier:
    """Sends wake-ups to workers, off the caller's thread. A wake-up that cannot be sent in time is dropped: the
    prediction is recorded, and the keeper sends it again when the broker is back.
    """

    def __init__(
        self,
        settings: Settings,
        app: Celery | None = None,
        observe: Callable[[str, float], None] = lambda outcome, seconds: None,
    ) -> None:
        """`observe` gets every publish: `ok`, `failed` or `dropped`, and its seconds."""
        self._link = _Link(app or create_app(settings), settings)
        self._timeout = settings.broker_timeout_seconds
        self._where = settings.whereabouts("broker")
        self._observe = observe
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="notifier")
        self.up = True
        self._left = False
        self._closed: Future[None] | None = None

    def send_wakeups(self, model: str, wakeups: Sequence[int]) -> None:
        """Send wake-ups to a model's workers. Returns at once."""
        if wakeups:
            self._thread.submit(self._send, model, list(wakeups), time.monotonic())

    def _send(self, model: str, wakeups: list[int], asked_at: float) -> None:
        for wakeup in wakeups:
            if self._left or time.monotonic() - asked_at > self._timeout:
                self._observe("dropped", 0.0)
                continue
            started = time.monotonic()
            self._attempt("wake", partial(self._link.publish, model, wakeup))
            self._observe("ok" if self.up else "failed", time.monotonic() - started)

    def count_messages(self, model: str) -> "Future[int | None]":
        """How many messages wait for a worker of this model; None when the broker does not say."""
        return self._thread.submit(self._attempt, "ask", partial(self._link.count_messages, model))

    def delete_queue(self, model: str) -> "Future[None]":
        """Delete the queue of a model that nobody serves or asks any more."""
        return self._thread.submit(self._attempt, "forget", partial(self._link.delete_queue, model))

    def open_queues(self, models: Sequence[str]) -> "Future[list[int | None]]":
        """Connect and declare the queues of these models."""
        return self._thread.submit(
            lambda: [
                self._attempt("open", partial(self._link.count_messages, model)) for model in models
            ]
        )

    def _attempt(self, what: str, act: Callable[[], Any]) -> Any:
        if self._left:
            return None
        try:
            answer = act()
        except Exception as error:  # every transport has errors of its own
            if self.up:
                self._log_trouble(what, error)
            self.up = False
            self._link.close()
            return None
        if not self.up:
            logger.info("the broker answers again")
        self.up = True
        return answer

    def _log_trouble(self, what: str, error: BaseException) -> None:
        logger.warning(
            "%s (%s)", broker_trouble(error), what, extra={"cause": str(error), **self._where}
        )

    def close(self, *, wait: bool = False) -> None:
        """End the thread; with `wait`, send what was asked for first. A look-up of the broker's name may hang, and
        is left behind. Once more does nothing more.
        """
        self._left = not wait
        if self._closed is None:
            self._closed = self._thread.submit(self._link.close)
            self._thread.shutdown(wait=False)
        futures_wait([self._closed], 3 * self._timeout if wait else LEAVE_SECONDS)
