"""Settings: read once, refused by name, and documented."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from contract.addresses import FORM, NO_URL, Sentinels, read_sentinels
from contract.errors import SettingsInvalid
from contract.settings import PREFIX, Settings, document, load_settings

PAGE = Path(__file__).parents[2] / "docs" / "settings.md"


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    for name in os.environ:
        if name.upper().startswith(PREFIX):
            monkeypatch.delenv(name)


def test_every_setting_is_read_from_a_variable_of_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    values = {
        "redis_url": "rediss+sentinel://ledger:1/main/2",
        "broker_url": "redis+sentinel://broker/main",
        "redis_username": "alice",
        "redis_password": "secret-1",
        "broker_username": "bob",
        "broker_password": "secret-2",
        "redis_sentinel_username": "carol",
        "redis_sentinel_password": "secret-3",
        "broker_sentinel_username": "dave",
        "broker_sentinel_password": "secret-4",
        "ledger_replicas": "2",
        "prefix": "other:",
        "durability": "none",
        "catalog": "models.yaml",
        "host": "0.0.0.0",
        "allowed_hosts": "models.example.org",
        "port": "1",
        "keeper_port": "2",
        "worker_port": "3",
        "public_url": "https://example.org/api",
        "worker_name": "pod-1",
        "lease_seconds": "1.5",
        "renew_seconds": "0.25",
        "max_attempts": "7",
        "sweep_seconds": "3.5",
        "priority_credit_seconds": "4.5",
        "dead_ttl_seconds": "5.5",
        "body_limit_bytes": "9",
        "max_wait_seconds": "6.5",
        "ledger_timeout_seconds": "7.5",
        "ledger_reserve_bytes": "20000000",
        "broker_timeout_seconds": "8.5",
        "grace_seconds": "9.5",
        "amqp_heartbeat_seconds": "11",
        "log_level": "debug",
        "log_format": "json",
        "otlp_endpoint": "http://collector:4318",
        "trace_ratio": "0.25",
        "pod_namespace": "models",
        "pod_selector": "app=worker",
        "protect_busy_pods": "True",
        "state_dir": "state",
    }
    assert set(values) == set(Settings.model_fields), "a new setting belongs in this test"
    defaults = load_settings()
    for name, value in values.items():
        monkeypatch.setenv(PREFIX + name.upper(), value)
    loaded = load_settings()

    for name, value in values.items():
        read = getattr(loaded, name)
        plain = read.get_secret_value() if hasattr(read, "get_secret_value") else read
        assert str(plain) == value
        assert read != getattr(defaults, name), f"{name} has the value of its default"


def test_a_variable_that_is_no_setting_is_refused_by_its_name(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SOLOIST_REDIS_URI", "redis://x")
    monkeypatch.setenv("SOLOIST_PORT_8000_TCP", "tcp://10.0.0.1:8000")
    with pytest.raises(SettingsInvalid) as caught:
        load_settings()

    line = str(caught.value)
    assert "SOLOIST_PORT_8000_TCP, SOLOIST_REDIS_URI" in line
    assert "enableServiceLinks" in line
    assert "\n" not in line


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PORT", "many"),
        ("PORT", "70000"),
        ("PREFIX", "no colon"),
        ("DURABILITY", "some"),
        ("LEASE_SECONDS", "0"),
        ("RENEW_SECONDS", "6"),
        ("MAX_ATTEMPTS", "0"),
        ("MAX_WAIT_SECONDS", "61"),
        ("WORKER_NAME", "a b"),
        ("PUBLIC_URL", "ftp://example.org"),
        ("LOG_LEVEL", "loud"),
        ("OTLP_ENDPOINT", "collector:4317"),
        ("OTLP_ENDPOINT", "http://user:secret@collector:4318"),
        ("TRACE_RATIO", "1.5"),
        ("POD_SELECTOR", ""),
        ("PROTECT_BUSY_PODS", "maybe"),
    ],
)
def test_a_wrong_value_is_refused_with_the_variables_name(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(PREFIX + name, value)
    with pytest.raises(SettingsInvalid) as caught:
        load_settings()

    assert str(caught.value).startswith(f"SOLOIST_{name}: ")
    assert "\n" not in str(caught.value)


def test_passwords_are_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOLOIST_REDIS_URL", "redis://:hunter2@ledger/0")
    monkeypatch.setenv("SOLOIST_BROKER_URL", "amqp://user:hunter3@broker//")
    loaded = load_settings()

    for shown in (repr(loaded), str(loaded), loaded.model_dump_json()):
        assert "hunter" not in shown
    assert loaded.ledger == "redis://:hunter2@ledger/0"
    assert loaded.broker == "amqp://user:hunter3@broker//"


def test_the_ledgers_redis_is_the_broker_where_none_is_set(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SOLOIST_REDIS_URL", "redis://:pw@ledger/0")

    assert load_settings().broker == "redis://:pw@ledger/0"


ODD = "p@ss/w:rd#%"
ENCODED = "p%40ss%2Fw%3Ard%23%25"


@pytest.mark.parametrize(
    ("set_to", "ledger", "broker"),
    [
        (
            {"REDIS_URL": "redis://ledger:6380/2?x=1", "REDIS_PASSWORD": ODD},
            f"redis://:{ENCODED}@ledger:6380/2?x=1",
            f"redis://:{ENCODED}@ledger:6380/2?x=1",
        ),
        (
            {
                "REDIS_URL": "rediss://[fd00::1]:6379",
                "REDIS_USERNAME": "a b",
                "REDIS_PASSWORD": "x",
                "BROKER_URL": "amqp://broker:5672//",
                "BROKER_USERNAME": "us:er",
                "BROKER_PASSWORD": ODD,
            },
            "rediss://a%20b:x@[fd00::1]:6379",
            f"amqp://us%3Aer:{ENCODED}@broker:5672//",
        ),
        (
            {
                "REDIS_URL": "redis://:pw@ledger",
                "REDIS_USERNAME": "alice",
                "BROKER_URL": "amqp://guest@broker/vhost",
                "BROKER_PASSWORD": "x",
            },
            "redis://alice:pw@ledger",
            "amqp://guest:x@broker/vhost",
        ),
        (
            {"REDIS_URL": "redis://ledger", "REDIS_PASSWORD": "x", "BROKER_URL": "redis://broker"},
            "redis://:x@ledger",
            "redis://broker",
        ),
        ({"REDIS_URL": "redis://u:p@ledger", "REDIS_PASSWORD": ""}, "redis://u:p@ledger", None),
        (
            {"REDIS_URL": "redis+sentinel://a:1,[fd00::1]:2/main/3", "REDIS_PASSWORD": ODD},
            f"redis+sentinel://:{ENCODED}@a:1,[fd00::1]:2/main/3",
            None,
        ),
    ],
)
def test_user_and_password_may_be_given_apart_from_the_url(
    monkeypatch: pytest.MonkeyPatch, set_to: dict[str, str], ledger: str, broker: str | None
) -> None:
    for name, value in set_to.items():
        monkeypatch.setenv(PREFIX + name, value)
    loaded = load_settings()

    assert loaded.ledger == ledger
    assert loaded.broker == (broker or ledger)
    assert "%" not in repr(loaded)
    assert ODD not in repr(loaded)


@pytest.mark.parametrize("kind", ["REDIS", "BROKER"])
def test_a_password_in_two_places_is_refused(monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    monkeypatch.setenv(f"SOLOIST_{kind}_URL", "redis://user:hunter2@host")
    monkeypatch.setenv(f"SOLOIST_{kind}_PASSWORD", "hunter3")
    refused(
        f"SOLOIST_{kind}_PASSWORD: SOLOIST_{kind}_URL holds a password already; "
        "give it in one of the two"
    )
    monkeypatch.delenv(f"SOLOIST_{kind}_PASSWORD")
    monkeypatch.setenv(f"SOLOIST_{kind}_USERNAME", "other")
    refused(
        f"SOLOIST_{kind}_USERNAME: SOLOIST_{kind}_URL holds a username already; "
        "give it in one of the two"
    )


def test_a_password_for_a_broker_that_is_not_named_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SOLOIST_BROKER_PASSWORD", "hunter2")
    refused(
        "SOLOIST_BROKER_PASSWORD: needs SOLOIST_BROKER_URL; "
        "the ledger's credentials serve for the ledger's Redis"
    )


REDIS = "redis://, rediss://, redis+sentinel://, rediss+sentinel://"


@pytest.mark.parametrize(
    ("name", "schemes"),
    [
        ("SOLOIST_REDIS_URL", REDIS),
        ("SOLOIST_BROKER_URL", f"{REDIS}, amqp://, amqps://"),
    ],
)
@pytest.mark.parametrize("value", ["http://:hunter2@host", "host:6379", "redis:host", "REDIS://h"])
def test_another_scheme_is_refused(
    monkeypatch: pytest.MonkeyPatch, name: str, schemes: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    refused(f"{name}: must begin with one of {schemes}")


@pytest.mark.parametrize(
    "value",
    [
        "redis://:hunter2/3@host",
        "redis://:hunter#2@host",
        "redis://:12/hunter@host",
        "redis://user:12?hunter@host",
        "redis://:12#hunter@host",
        "redis://[::1",
        "redis://host:hunter",
    ],
)
def test_a_password_that_is_not_encoded_is_refused_and_not_shown(
    monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    monkeypatch.setenv("SOLOIST_REDIS_URL", value)
    refused(
        "SOLOIST_REDIS_URL: is no URL; a password in it must be percent-encoded, or given apart from it"
    )


def test_a_selector_of_pods_needs_their_namespace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOLOIST_POD_SELECTOR", "app=worker")
    refused(
        "SOLOIST_POD_SELECTOR: needs SOLOIST_POD_NAMESPACE, the namespace of these pods",
    )


def refused(line: str) -> None:
    """The settings are refused, with this line and nothing else."""
    with pytest.raises(SettingsInvalid) as caught:
        load_settings()
    assert str(caught.value) == line


def test_whereabouts_say_what_decides_how_something_is_reached_and_no_password() -> None:
    both = Settings(
        redis_url="rediss://ledger",
        redis_password=ODD,
        broker_url="amqp://user:hunter3@broker//",
    )
    one = Settings(redis_url="redis:///0")

    assert both.whereabouts("ledger") == {
        "address": "ledger:6379",
        "settings": "SOLOIST_REDIS_URL, SOLOIST_REDIS_USERNAME, SOLOIST_REDIS_PASSWORD",
    }
    assert both.whereabouts("broker") == {
        "address": "broker:5672",
        "settings": "SOLOIST_BROKER_URL, SOLOIST_BROKER_USERNAME, SOLOIST_BROKER_PASSWORD",
    }
    assert one.whereabouts("broker") == one.whereabouts("ledger")
    assert one.whereabouts("broker")["address"] == "localhost:6379"


def test_a_url_with_sentinels_is_taken_apart() -> None:
    full = Settings(
        redis_url=f"rediss+sentinel://us%3Aer:{ENCODED}@A.example.org:1,[fd00::1],10.0.0.1:3/my.main/2"
    )
    short = Settings(redis_url="redis+sentinel://sentinel/main")

    assert read_sentinels(full.ledger) == Sentinels(
        (("a.example.org", 1), ("fd00::1", 26379), ("10.0.0.1", 3)),
        service="my.main",
        database=2,
        username="us:er",
        password=ODD,
        tls=True,
    )
    assert read_sentinels(short.ledger) == Sentinels((("sentinel", 26379),), service="main")
    assert full.whereabouts("ledger") == {
        "address": "my.main (sentinels a.example.org:1, [fd00::1]:26379, 10.0.0.1:3)",
        "settings": "SOLOIST_REDIS_URL, SOLOIST_REDIS_USERNAME, SOLOIST_REDIS_PASSWORD, "
        "SOLOIST_REDIS_SENTINEL_USERNAME, SOLOIST_REDIS_SENTINEL_PASSWORD",
    }
    assert full.whereabouts("broker") == full.whereabouts("ledger")


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ("redis+sentinel://a:1,b:2", f"names no service of Sentinel; {FORM}"),
        ("redis+sentinel://a:1/", f"names no service of Sentinel; {FORM}"),
        ("redis+sentinel://a:1/main/x", f"names no service of Sentinel; {FORM}"),
        ("redis+sentinel://a:1/main?db=2", f"names no service of Sentinel; {FORM}"),
        ("redis+sentinel://a:1,,b:2/main", f"names a sentinel without a host; {FORM}"),
        ("redis+sentinel:///main", f"names a sentinel without a host; {FORM}"),
        ("redis+sentinel://:hunter2/3@a:1/main", NO_URL),
        ("redis+sentinel://:hunter#2@a:1/main", NO_URL),
        ("redis+sentinel://:12?hunter@a:1/main", NO_URL),
        ("redis+sentinel://a:hunter/main", NO_URL),
        ("redis+sentinel://[::1/main", NO_URL),
    ],
)
def test_a_url_with_sentinels_that_leads_nowhere_is_refused_and_not_shown(
    monkeypatch: pytest.MonkeyPatch, value: str, why: str
) -> None:
    monkeypatch.setenv("SOLOIST_REDIS_URL", value)
    refused(f"SOLOIST_REDIS_URL: {why}")


def test_a_login_of_sentinels_needs_sentinels(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOLOIST_REDIS_SENTINEL_PASSWORD", "hunter2")
    refused(
        "SOLOIST_REDIS_SENTINEL_PASSWORD: needs sentinels: SOLOIST_REDIS_URL with redis+sentinel://"
    )
    monkeypatch.setenv("SOLOIST_REDIS_URL", "redis+sentinel://a:1/main")
    assert load_settings().sentinel_login("ledger") == {"password": "hunter2"}
    assert load_settings().sentinel_login("broker") == {"password": "hunter2"}

    monkeypatch.setenv("SOLOIST_BROKER_SENTINEL_USERNAME", "me")
    refused(
        "SOLOIST_BROKER_SENTINEL_USERNAME: needs sentinels: SOLOIST_BROKER_URL with redis+sentinel://"
    )
    monkeypatch.setenv("SOLOIST_BROKER_URL", "redis+sentinel://b/main")
    assert load_settings().sentinel_login("broker") == {"username": "me"}


def test_settings_cannot_be_changed_or_misspelled() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        Settings().port = 1
    with pytest.raises(ValidationError, match="extra"):
        Settings(prot=1)


def test_every_worker_has_a_name_of_its_own() -> None:
    import os
    import socket

    assert Settings().worker_name == f"{socket.gethostname()}-{os.getpid()}"


def test_every_setting_is_described_in_a_sentence() -> None:
    for name, field in Settings.model_fields.items():
        assert field.description, name
        assert field.description.endswith("."), name
        assert "|" not in field.description, "it stands in a table"


def test_the_page_of_settings_is_what_the_code_says() -> None:
    assert PAGE.read_text(encoding="utf-8") == document(), (
        "run: python -m contract.settings > docs/settings.md"
    )


def test_the_page_names_every_setting_once() -> None:
    page = document()
    for name in Settings.model_fields:
        assert page.count(f"| `SOLOIST_{name.upper()}` |") == 1
    assert "| `15` | number, above 0 |" in page
    assert "| `false` | `true`, `false` |" in page
    assert "| `info` | `debug`, `info`, `warning`, `error` |" in page
