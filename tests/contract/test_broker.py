"""The notifier: a message says nothing but "look", and who sends one never waits for the broker."""

import base64
import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import kombu
import pytest
import redis
from amqp.exceptions import AccessRefused

from contract.broker import (
    TASK,
    Notifier,
    _Link,
    broker_trouble,
    create_app,
    is_amqp,
    model_queue,
    queue_name,
)
from contract.prediction import new_id
from contract.settings import Settings
from local.rabbitmq import RabbitMQ
from local.redis import EmbeddedRedis
from tests.support.sentinels import Guarded
from tests.support.waiting import until


@pytest.fixture
def open_notifier() -> Iterator[Callable[[Settings], Notifier]]:
    notifiers = []

    def notifier_at(settings: Settings, **options: Any) -> Notifier:
        notifiers.append(Notifier(settings, **options))
        return notifiers[-1]

    yield notifier_at
    for notifier in notifiers:
        notifier.close()


@pytest.fixture
def notifier(open_notifier: Callable[[Settings], Notifier], settings: Settings) -> Notifier:
    return open_notifier(settings)


@pytest.fixture(scope="module")
def rabbitmq(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    if not RabbitMQ.installed():
        pytest.skip("RabbitMQ is not installed")
    with RabbitMQ(tmp_path_factory.mktemp("rabbitmq")) as broker:
        yield broker.url


def client(settings: Settings) -> "redis.Redis[bytes]":
    return redis.Redis.from_url(settings.broker)


def waiting(settings: Settings, model: str = "m") -> list[dict[str, Any]]:
    """The messages that wait on Redis, the next one first."""
    with client(settings) as connection:
        raw = connection.lrange(f"{settings.prefix}broker:{queue_name(model)}", 0, -1)
    return [json.loads(message) for message in reversed(raw)]


def test_a_message_carries_a_wakeup_number_and_nothing_else(
    notifier: Notifier, settings: Settings
) -> None:
    notifier.send_wakeups("m", [41, 42])
    assert notifier.count_messages("m").result(5) == 2
    first, second = waiting(settings)

    for message, wakeup in ((first, 41), (second, 42)):
        assert message["content-type"] == "application/json"
        args, kwargs, embed = json.loads(base64.b64decode(message["body"]))
        assert (args, kwargs) == ([wakeup], {})
        assert not any(embed.values())
        headers = message["headers"]
        assert headers["task"] == TASK
        assert headers["ignore_result"] is True
        assert not headers["stamps"]


def test_models_have_queues_of_their_own(notifier: Notifier, settings: Settings) -> None:
    notifier.send_wakeups("a", [1])
    notifier.send_wakeups("b", [2, 3])

    assert (notifier.count_messages("a").result(5), notifier.count_messages("b").result(5)) == (
        1,
        2,
    )
    assert notifier.count_messages("c").result(5) == 0
    assert len(waiting(settings, "b")) == 2


def test_opening_tells_how_much_waits_for_each_model(notifier: Notifier) -> None:
    notifier.send_wakeups("b", [1])

    assert notifier.open_queues(["a", "b"]).result(5) == [0, 1]


def test_no_wakeups_are_no_message(notifier: Notifier, settings: Settings) -> None:
    notifier.send_wakeups("m", [])

    assert notifier.count_messages("m").result(5) == 0


def test_all_keys_of_the_broker_begin_with_our_prefix(
    notifier: Notifier, settings: Settings
) -> None:
    with client(settings) as connection:
        before = set(connection.keys("*"))
        notifier.send_wakeups("m", [1])
        notifier.count_messages("m").result(5)
        fresh = set(connection.keys("*")) - before

    assert fresh
    assert all(key.startswith(f"{settings.prefix}broker:".encode()) for key in fresh)


def test_a_message_goes_to_a_queue_that_was_deleted(notifier: Notifier, settings: Settings) -> None:
    notifier.send_wakeups("m", [1])
    assert notifier.count_messages("m").result(5) == 1
    with client(settings) as connection:
        connection.delete(*connection.keys(f"{settings.prefix}broker:*"))
    assert notifier.count_messages("m").result(5) == 0
    notifier.send_wakeups("m", [2])

    assert notifier.count_messages("m").result(5) == 1


def test_a_model_that_is_forgotten_leaves_nothing_in_the_broker_and_may_come_back(
    notifier: Notifier, settings: Settings
) -> None:
    notifier.send_wakeups("m", [1, 2])
    assert notifier.count_messages("m").result(5) == 2
    notifier.delete_queue("m").result(5)
    with client(settings) as connection:
        assert connection.keys(f"{settings.prefix}broker:*") == []
    notifier.send_wakeups("m", [3])

    assert notifier.count_messages("m").result(5) == 1


def test_who_sends_wakeups_does_not_wait_for_a_frozen_broker(
    own_redis: EmbeddedRedis, open_notifier: Callable[..., Notifier]
) -> None:
    seen: list[str] = []
    settings = Settings(redis_url=own_redis.url, broker_timeout_seconds=0.3)
    notifier = open_notifier(settings, observe=lambda outcome, seconds: seen.append(outcome))
    assert notifier.open_queues(["m"]).result(5) == [0]
    own_redis.pause()
    try:
        for wakeup in range(1, 51):
            notifier.send_wakeups("m", [wakeup])
        depth = notifier.count_messages("m")
        assert seen == [], "fifty calls came back before the first of them was given up"
        assert not depth.done()
        assert depth.result(10) is None
        assert not notifier.up
    finally:
        own_redis.resume()

    assert set(seen) == {"failed", "dropped"}
    assert seen.count("dropped") >= 40, "what could not be sent in time is not sent late"
    assert notifier.count_messages("m").result(5) is not None
    assert notifier.up


def test_a_broker_that_is_gone_is_found_again(
    own_redis: EmbeddedRedis, open_notifier: Callable[..., Notifier]
) -> None:
    notifier = open_notifier(Settings(redis_url=own_redis.url, broker_timeout_seconds=0.5))
    assert notifier.open_queues(["m"]).result(5) == [0]
    own_redis.stop()
    notifier.send_wakeups("m", [1])
    assert notifier.count_messages("m").result(5) is None
    own_redis.wipe()
    notifier.send_wakeups("m", [2])

    assert notifier.count_messages("m").result(5) == 1
    assert notifier.up


def test_a_broker_that_was_never_there_costs_no_more_than_its_timeout(
    own_redis: EmbeddedRedis, open_notifier: Callable[..., Notifier]
) -> None:
    own_redis.stop()
    notifier = open_notifier(Settings(redis_url=own_redis.url, broker_timeout_seconds=0.5))

    assert notifier.open_queues(["m"]).result(10) == [None]


def test_trouble_is_logged_once_and_so_is_its_end(
    own_redis: EmbeddedRedis,
    open_notifier: Callable[..., Notifier],
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO", "contract.broker")
    notifier = open_notifier(Settings(redis_url=own_redis.url, broker_timeout_seconds=0.5))
    own_redis.stop()
    for _ in range(3):
        notifier.count_messages("m").result(5)
    own_redis.restart()
    for _ in range(3):
        notifier.count_messages("m").result(5)

    told = [record.getMessage() for record in caplog.records if record.name == "contract.broker"]
    assert len(told) == 2
    assert "does not answer" in told[0]
    assert told[1] == "the broker answers again"
    assert str(own_redis.port) not in told[0]


ODD = "p@ss/w:rd#%"
WRONG = "hunter2"


def test_a_password_of_any_signs_opens_the_broker(
    own_redis: EmbeddedRedis, open_notifier: Callable[..., Notifier]
) -> None:
    with redis.Redis(port=own_redis.port) as plain:
        plain.config_set("requirepass", ODD)
    own = Settings(broker_url=own_redis.url, broker_password=ODD)
    shared = Settings(redis_url=own_redis.url, redis_password=ODD)

    assert open_notifier(own).open_queues(["m"]).result(5) == [0]
    assert open_notifier(shared).open_queues(["m"]).result(5) == [0]


def test_a_broker_that_refuses_us_is_logged_with_the_settings_that_decide_and_no_password(
    own_redis: EmbeddedRedis,
    open_notifier: Callable[..., Notifier],
    caplog: pytest.LogCaptureFixture,
) -> None:
    with redis.Redis(port=own_redis.port) as plain:
        plain.config_set("requirepass", ODD)
    notifier = open_notifier(Settings(broker_url=own_redis.url, broker_password=WRONG))
    for _ in range(3):
        assert notifier.count_messages("m").result(5) is None
    (record,) = [record for record in caplog.records if record.name == "contract.broker"]

    assert record.getMessage() == "the broker refuses our user or password (ask)"
    assert vars(record)["address"] == f"127.0.0.1:{own_redis.port}"
    assert "SOLOIST_BROKER_PASSWORD" in vars(record)["settings"]
    assert "hunter2" not in str(vars(record))


def test_a_password_of_any_signs_reaches_rabbitmq_as_it_is() -> None:
    settings = Settings(
        broker_url="amqp://broker:5672//", broker_username="us:er", broker_password=ODD
    )
    with create_app(settings).connection_for_write() as connection:
        assert (connection.userid, connection.password) == ("us:er", ODD)
        assert (connection.hostname, connection.port) == ("broker", 5672)
        assert connection.virtual_host == "/"


def test_kombu_gets_each_sentinel_with_the_login_and_the_database() -> None:
    settings = Settings(
        redis_url="redis+sentinel://a:1,[fd00::1]:2/main/3",
        redis_username="us:er",
        redis_password=ODD,
        redis_sentinel_username="watcher",
        redis_sentinel_password=WRONG,
    )
    app = create_app(settings)
    with app.connection_for_write() as connection:
        for host, port in (("a", 1), ("fd00::1", 2), ("a", 1)):
            assert (connection.transport_cls, connection.hostname) == ("sentinel", host)
            assert (connection.port, connection.virtual_host) == (port, "3")
            assert (connection.userid, connection.password) == ("us:er", ODD)
            connection.maybe_switch_next()
    options = app.conf.broker_transport_options
    assert options["master_name"] == "main"
    asked = options["sentinel_kwargs"]
    assert (asked["username"], asked["password"], asked["ssl"]) == ("watcher", WRONG, False)
    assert asked["retry"].get_retries() == 0
    assert ODD not in connection.as_uri()


@pytest.mark.parametrize("url", ["rediss://broker", "rediss+sentinel://sentinel/main"])
def test_a_broker_with_tls_must_show_a_certificate_that_holds(url: str) -> None:
    with create_app(Settings(broker_url=url)).connection_for_write() as connection:
        assert connection.ssl == {"ssl_cert_reqs": "required"}
    plain = create_app(Settings(broker_url=url.replace("rediss", "redis")))
    with plain.connection_for_write() as connection:
        assert not connection.ssl


@pytest.mark.slow
@pytest.mark.parametrize("how", ["killed", "frozen"])
def test_wakeups_follow_the_primary_that_the_sentinels_name(
    tmp_path: Path, open_notifier: Callable[..., Notifier], how: str
) -> None:
    with Guarded(tmp_path, password=ODD, sentinel_password=WRONG) as guarded:
        settings = Settings(
            redis_url=guarded.url,
            redis_password=ODD,
            redis_sentinel_password=WRONG,
            broker_timeout_seconds=0.5,
        )
        notifier = open_notifier(settings)
        notifier.send_wakeups("m", [1])
        assert notifier.count_messages("m").result(5) == 1
        first = guarded.primary
        with first.client() as client:
            assert client.keys("*") == [f"{settings.prefix}broker:{queue_name('m')}".encode()]
            client.wait(1, 1000)
        first.kill() if how == "killed" else first.pause()
        guarded.promoted(first)
        until("it answers again", lambda: notifier.count_messages("m").result(5) is not None)
        notifier.send_wakeups("m", [2])

        assert notifier.count_messages("m").result(5) == 2
        assert guarded.primary is not first


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (AccessRefused("Login was refused"), "the broker refuses our user or password"),
        (redis.AuthenticationError("WRONGPASS"), "the broker refuses our user or password"),
        (ConnectionRefusedError(), "the broker does not answer"),
    ],
)
def test_what_a_transport_says_is_logged_in_our_words_however_it_is_wrapped(
    error: Exception, told: str
) -> None:
    wrapped = kombu.exceptions.OperationalError("it failed")
    wrapped.__cause__ = error

    assert broker_trouble(error) == broker_trouble(wrapped) == told


def test_closing_may_wait_until_all_is_sent(settings: Settings) -> None:
    notifier = Notifier(settings)
    notifier.send_wakeups("m", list(range(1, 21)))
    notifier.close(wait=True)

    assert len(waiting(settings)) == 20


def test_a_name_that_is_looked_up_for_ever_does_not_hold_up_the_end(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked_up, found = threading.Event(), threading.Event()

    def look_up(link: _Link) -> None:
        looked_up.set()
        found.wait(60)
        raise ConnectionError

    monkeypatch.setattr(_Link, "_open", look_up)
    notifier = Notifier(settings)
    notifier.send_wakeups("m", [1, 2, 3])
    assert looked_up.wait(10)
    notifier.close()
    assert not found.is_set(), "it is still being looked up"
    found.set()


def test_the_app_takes_json_only_and_keeps_no_results(settings: Settings) -> None:
    app = create_app(settings)

    assert app.conf.accept_content == ["json"]
    assert app.conf.result_accept_content is None
    assert app.conf.task_serializer == "json"
    assert app.conf.result_backend is None
    assert not app.conf.worker_enable_remote_control
    assert not app.conf.task_acks_late
    assert model_queue("m").durable


@pytest.mark.parametrize(
    ("url", "amqp"),
    [("amqp://x", True), ("amqps://x", True), ("redis://x", False), ("rediss://x", False)],
)
def test_a_url_tells_which_broker_it_is(url: str, amqp: bool) -> None:
    assert is_amqp(url) is amqp


@pytest.mark.slow
@pytest.mark.rabbitmq
def test_rabbitmq_carries_the_same_message_and_keeps_it(
    rabbitmq: str, redis_url: str, open_notifier: Callable[..., Notifier]
) -> None:
    settings = Settings(redis_url=redis_url, broker_url=rabbitmq)
    notifier = open_notifier(settings)
    notifier.send_wakeups("carries", [7])
    assert notifier.count_messages("carries").result(10) == 1
    with kombu.Connection(rabbitmq) as connection:
        message = connection.default_channel.basic_get(queue_name("carries"), no_ack=True)

    assert json.loads(message.body)[0] == [7]
    assert message.headers["task"] == TASK
    assert message.delivery_info["routing_key"] == queue_name("carries")
    assert message.properties["delivery_mode"] == 2


@pytest.mark.slow
@pytest.mark.rabbitmq
def test_a_queue_that_was_deleted_in_rabbitmq_is_declared_again(
    rabbitmq: str, redis_url: str, open_notifier: Callable[..., Notifier]
) -> None:
    seen: list[str] = []
    gone = new_id()
    settings = Settings(redis_url=redis_url, broker_url=rabbitmq)
    notifier = open_notifier(settings, observe=lambda outcome, seconds: seen.append(outcome))
    assert notifier.open_queues([gone]).result(10) == [0]
    with kombu.Connection(rabbitmq) as connection:
        connection.default_channel.queue_delete(queue_name(gone))
    notifier.send_wakeups(gone, [1])

    assert notifier.count_messages(gone).result(10) == 1
    assert set(seen) == {"ok"}


@pytest.mark.slow
@pytest.mark.rabbitmq
def test_the_queue_of_a_forgotten_model_goes_unless_a_worker_listens_to_it(
    rabbitmq: str, redis_url: str, open_notifier: Callable[..., Notifier]
) -> None:
    idle, served = new_id(), new_id()
    notifier = open_notifier(Settings(redis_url=redis_url, broker_url=rabbitmq))
    assert notifier.open_queues([idle, served]).result(10) == [0, 0]
    notifier.send_wakeups(idle, [1])
    with kombu.Connection(rabbitmq) as connection:
        channel = connection.default_channel
        channel.basic_consume(queue_name(served), callback=print)
        for model in (idle, served):
            notifier.delete_queue(model).result(10)
        assert channel.queue_declare(queue_name(served), passive=True).consumer_count == 1
        with pytest.raises(connection.channel_errors):
            channel.queue_declare(queue_name(idle), passive=True)
    assert notifier.up
    notifier.send_wakeups(idle, [2])

    assert notifier.count_messages(idle).result(10) == 1


@pytest.mark.slow
@pytest.mark.rabbitmq
def test_who_sends_wakeups_does_not_wait_for_a_frozen_rabbitmq(
    tmp_path: Path, redis_url: str, open_notifier: Callable[..., Notifier]
) -> None:
    if not RabbitMQ.installed():
        pytest.skip("RabbitMQ is not installed")
    with RabbitMQ(tmp_path / "rabbitmq") as broker:
        settings = Settings(redis_url=redis_url, broker_url=broker.url, broker_timeout_seconds=0.5)
        notifier = open_notifier(settings)
        assert notifier.open_queues(["m"]).result(10) == [0]
        broker.pause()
        notifier.send_wakeups("m", [1])
        depth = notifier.count_messages("m")
        assert not depth.done()
        assert depth.result(20) is None
        broker.resume()

        notifier.send_wakeups("m", [2])
        assert notifier.count_messages("m").result(20) >= 1
