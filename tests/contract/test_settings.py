"""Settings: read once, refused by name, and documented."""

from pathlib import Path

import pytest
from pydantic import ValidationError

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
        "redis_url": "rediss://:pw@ledger:1/2",
        "broker_url": "amqp://broker",
        "prefix": "other:",
        "durability": "none",
        "catalog": "models.yaml",
        "host": "0.0.0.0",
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
        "broker_timeout_seconds": "8.5",
        "grace_seconds": "9.5",
        "amqp_heartbeat_seconds": "11",
        "log_level": "debug",
        "log_format": "json",
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
    assert "| `info` | `debug`, `info`, `warning`, `error` |" in page
