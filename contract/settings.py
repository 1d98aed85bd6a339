"""Every setting of every process, read once from the environment (`SOLOIST_*`)."""

import os
import socket
from pathlib import Path
from typing import Any, Literal, get_args

from pydantic import Field, SecretStr, ValidationError, ValidationInfo, field_validator
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, SettingsConfigDict

from contract import addresses
from contract.errors import SettingsInvalid
from contract.ledger.lease_terms import LEASE_SECONDS
from contract.ledger.retry import DEAD_TTL_SECONDS, MAX_ATTEMPTS, RetryPolicy

PREFIX = "SOLOIST_"
REDIS = ("redis", "rediss", "redis+sentinel", "rediss+sentinel")
SCHEMES = {"redis_url": REDIS, "broker_url": (*REDIS, "amqp", "amqps")}


class Settings(BaseSettings):
    """What can be set from outside. Durations are seconds, sizes are bytes."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="forbid")

    redis_url: SecretStr = Field(
        SecretStr("redis://127.0.0.1:6379/0"),
        description="The ledger: redis:// or rediss:// (TLS), or behind Sentinel "
        "redis+sentinel://host:26379,host:26379/SERVICE[/DATABASE], with TLS rediss+sentinel://.",
    )
    broker_url: SecretStr | None = Field(
        None,
        description="The broker: amqp://, amqps:// or one of the ledger's forms. The ledger's Redis if not set.",
    )
    redis_username: str | None = Field(
        None,
        description="The ledger's user, where the URL names none. As it is, not percent-encoded.",
    )
    redis_password: SecretStr | None = Field(
        None,
        description="The ledger's password, where the URL has none. As it is, not percent-encoded.",
    )
    broker_username: str | None = Field(
        None,
        description="The broker's user, where its URL names none. As it is, not percent-encoded.",
    )
    broker_password: SecretStr | None = Field(
        None,
        description="The broker's password, where its URL has none. As it is, not percent-encoded.",
    )
    redis_sentinel_username: str | None = Field(
        None, description="The user of the ledger's sentinels themselves, where they ask for one."
    )
    redis_sentinel_password: SecretStr | None = Field(
        None, description="The password of the ledger's sentinels themselves, where they have one."
    )
    broker_sentinel_username: str | None = Field(
        None, description="The user of the broker's sentinels themselves, where they ask for one."
    )
    broker_sentinel_password: SecretStr | None = Field(
        None, description="The password of the broker's sentinels themselves, where they have one."
    )
    ledger_replicas: int = Field(
        0,
        ge=0,
        description="How many replicas of the ledger must have a create or a cancel before it is answered, and "
        "an outcome before it is announced. At 0 a failover may lose what was answered last.",
    )
    prefix: str = Field(
        "soloist:",
        pattern=r"^[A-Za-z0-9._-]{1,40}:$",
        description="Begins every key of the ledger; ends in a colon.",
    )
    durability: Literal["aof", "none"] = Field(
        "aof",
        description="`aof`: start only against a ledger with an append-only file and `noeviction`. "
        "`none`: accept one that may lose predictions.",
    )
    catalog: Path = Field(
        Path("catalog.yaml"), description="The catalog: which models are served, and how."
    )
    host: str = Field("127.0.0.1", description="Address on which HTTP is served.")
    port: int = Field(8000, ge=0, le=65535, description="The gateway's port.")
    keeper_port: int = Field(
        8001, ge=0, le=65535, description="The keeper's port for probes and metrics."
    )
    worker_port: int = Field(
        8002, ge=0, le=65535, description="The worker's port for probes and metrics."
    )
    allowed_hosts: str = Field(
        "",
        pattern=r"^(\*|(\*\.)?[A-Za-z0-9._-]+)?([\s,]+(\*|(\*\.)?[A-Za-z0-9._-]+))*$",
        description="Names that requests may call the processes by (`Host`), separated by commas: `api.example.org`, "
        "`*.example.org`, `*`. Addresses and loopback names always may. If not set: loopback names alone "
        "where SOLOIST_HOST is a loopback address, any name elsewhere.",
    )
    public_url: str | None = Field(
        None,
        pattern=r"^https?://[^/]+(/.*[^/])?$",
        description="Begins the URLs in answers. Taken from the request's Host if not set.",
    )
    worker_name: str = Field(
        default_factory=lambda: f"{socket.gethostname()}-{os.getpid()}",
        pattern=r"^[A-Za-z0-9._-]{1,253}$",
        description="The worker's name in the ledger; in a cluster the pod's name. Host and process id "
        "if not set.",
    )
    lease_seconds: float = Field(
        LEASE_SECONDS, gt=0, description="How long a worker's claim holds without a sign of life."
    )
    renew_seconds: float = Field(
        1.0,
        gt=0,
        description="How often a worker extends its leases and learns what was canceled.",
    )
    max_attempts: int = Field(
        MAX_ATTEMPTS, ge=1, description="How many workers one prediction may lose."
    )
    sweep_seconds: float = Field(1.0, gt=0, description="How often the keeper looks at the ledger.")
    priority_credit_seconds: float = Field(
        300.0,
        ge=0,
        description="How much earlier `high` counts as accepted, and how much later `low` does.",
    )
    dead_ttl_seconds: float = Field(
        DEAD_TTL_SECONDS, gt=0, description="How long a dead prediction can be replayed."
    )
    body_limit_bytes: int = Field(1024 * 1024, gt=0, description="Largest request body.")
    max_wait_seconds: float = Field(
        60.0, gt=0, le=60, description="Longest that `Prefer: wait` holds a request."
    )
    ledger_timeout_seconds: float = Field(
        2.0, gt=0, description="How long the ledger may take to answer."
    )
    ledger_reserve_bytes: int | None = Field(
        None,
        ge=0,
        description="Memory that new predictions leave in the ledger's Redis, so that what was accepted can end. "
        "An eighth of its maxmemory, at least 16 MiB and at most half, if not set.",
    )
    broker_timeout_seconds: float = Field(
        2.0, gt=0, description="How long the broker may take to accept a message."
    )
    grace_seconds: float = Field(
        30.0,
        gt=0,
        description="After SIGTERM a worker hands its batch back when this time has passed.",
    )
    amqp_heartbeat_seconds: int = Field(
        60, ge=0, description="Heartbeat asked of RabbitMQ; 0 is none."
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="The least severe log lines that are written."
    )
    log_format: Literal["auto", "json", "text"] = Field(
        "auto", description="`auto`: text on a terminal, JSON elsewhere."
    )
    otlp_endpoint: str | None = Field(
        None,
        pattern=r"^https?://[^/?#@]+(/[^?#]*)?$",
        description="The collector that gets traces, by OTLP over HTTP, as in http://collector:4318. No traces "
        "if not set.",
    )
    trace_ratio: float = Field(
        1.0,
        ge=0,
        le=1,
        description="Of the requests that bring no trace of their own, the share that is traced.",
    )
    pod_namespace: str | None = Field(
        None, min_length=1, description="In a cluster: the namespace of the worker pods."
    )
    pod_selector: str | None = Field(
        None,
        min_length=1,
        description="In a cluster: the label selector of the worker pods. The keeper then sets their "
        "deletion cost, so that a scale-in picks idle ones. Kubernetes is left alone if not set.",
    )
    protect_busy_pods: bool = Field(
        False,
        description="The keeper also annotates busy pods so that Cluster Autoscaler and Karpenter do not "
        "evict them, and takes that back when they are idle.",
    )
    state_dir: Path = Field(
        Path(".soloist"), description="Where `soloist up` keeps the embedded ledger's data."
    )

    @field_validator("renew_seconds")
    @classmethod
    def _renewed_in_time(cls, renew: float, info: ValidationInfo) -> float:
        lease = info.data.get("lease_seconds")
        if lease is not None and renew > lease / 3:
            raise ValueError(f"must be at most a third of {PREFIX}LEASE_SECONDS ({lease:g})")
        return renew

    @field_validator("redis_url", "broker_url")
    @classmethod
    def _reachable(cls, url: SecretStr | None, info: ValidationInfo) -> SecretStr | None:
        if url is not None:
            beginnings = tuple(f"{scheme}://" for scheme in SCHEMES[str(info.field_name)])
            if not url.get_secret_value().startswith(beginnings):
                raise ValueError(f"must begin with one of {', '.join(beginnings)}")
            addresses.read_url(url.get_secret_value())
        return url

    @field_validator("redis_username", "redis_password", "broker_username", "broker_password")
    @classmethod
    def _said_once(cls, value: Any, info: ValidationInfo) -> Any:
        field, _, what = str(info.field_name).partition("_")
        if not value or f"{field}_url" not in info.data:
            return value
        name, url = f"{PREFIX}{field.upper()}_URL", info.data[f"{field}_url"]
        if url is None:
            raise ValueError(f"needs {name}; the ledger's credentials serve for the ledger's Redis")
        if getattr(addresses.read_url(url.get_secret_value()), what):
            raise ValueError(f"{name} holds a {what} already; give it in one of the two")
        return value

    @field_validator(
        "redis_sentinel_username",
        "redis_sentinel_password",
        "broker_sentinel_username",
        "broker_sentinel_password",
    )
    @classmethod
    def _of_sentinels(cls, value: Any, info: ValidationInfo) -> Any:
        field = f"{str(info.field_name).partition('_')[0]}_url"
        if not value or field not in info.data:
            return value
        url = info.data[field]
        if url is None or not addresses.behind_sentinel(url.get_secret_value()):
            raise ValueError(f"needs sentinels: {PREFIX}{field.upper()} with redis+sentinel://")
        return value

    @field_validator("pod_selector")
    @classmethod
    def _in_a_namespace(cls, selector: str | None, info: ValidationInfo) -> str | None:
        if selector is not None and info.data.get("pod_namespace") is None:
            raise ValueError(f"needs {PREFIX}POD_NAMESPACE, the namespace of these pods")
        return selector

    @property
    def retry(self) -> RetryPolicy:
        """When the ledger gives a prediction up."""
        return RetryPolicy(self.max_attempts, self.dead_ttl_seconds)

    @property
    def broker(self) -> str:
        """The broker's URL with its password: the ledger's Redis serves where none is set."""
        if self.broker_url is None:
            return self.ledger
        return _whole(self.broker_url, self.broker_username, self.broker_password)

    @property
    def ledger(self) -> str:
        """The ledger's URL with its password."""
        return _whole(self.redis_url, self.redis_username, self.redis_password)

    def sentinel_login(self, of: Literal["ledger", "broker"]) -> dict[str, str]:
        """The `username` and the `password` of the sentinels themselves, as far as they are set."""
        name = self._name(of)
        password = getattr(self, f"{name}_sentinel_password")
        login = {
            "username": getattr(self, f"{name}_sentinel_username"),
            "password": password and password.get_secret_value(),
        }
        return {what: said for what, said in login.items() if said}

    def whereabouts(self, of: Literal["ledger", "broker"]) -> dict[str, str]:
        """For a log line: `address`, where it is, and `settings`, what decides how it is reached."""
        name = self._name(of)
        url = self.ledger if name == "redis" else self.broker
        parts = ["URL", "USERNAME", "PASSWORD"]
        if addresses.behind_sentinel(url):
            parts += ["SENTINEL_USERNAME", "SENTINEL_PASSWORD"]
        return {
            "address": addresses.describe_place(url),
            "settings": ", ".join(f"{PREFIX}{name.upper()}_{part}" for part in parts),
        }

    def _name(self, of: Literal["ledger", "broker"]) -> str:
        """What begins the names of the settings that say how it is reached."""
        return "broker" if of == "broker" and self.broker_url is not None else "redis"


def _whole(url: SecretStr, username: str | None, password: SecretStr | None) -> str:
    secret = password.get_secret_value() if password else None
    return addresses.with_credentials(url.get_secret_value(), username, secret)


def load_settings() -> Settings:
    """Read the environment.

    Raises:
        SettingsInvalid: a variable's value is wrong, or a `SOLOIST_*` variable does not exist.
    """
    known = {f"{PREFIX}{name}".upper() for name in Settings.model_fields}
    unknown = sorted(name for name in os.environ if name.startswith(PREFIX) and name not in known)
    if unknown:
        raise SettingsInvalid(
            f"unknown setting {', '.join(unknown)}; docs/settings.md lists those that exist "
            "(in Kubernetes set enableServiceLinks: false)"
        )
    try:
        return Settings()
    except ValidationError as error:
        first = error.errors()[0]
        name = PREFIX + str(first["loc"][0]).upper()
        raise SettingsInvalid(f"{name}: {first['msg'].removeprefix('Value error, ')}") from None


OF_THE_LEDGER = ("redis_", "ledger_", "prefix", "durability", "worker_name")


def load_ledger_settings() -> Settings:
    """As far as they say where the ledger is and who we are; all others as if nobody had set them.

    Raises:
        SettingsInvalid: one of these is wrong.
    """
    others = {
        name: field.get_default(call_default_factory=True)
        for name, field in Settings.model_fields.items()
        if not name.startswith(OF_THE_LEDGER)
    }
    try:
        return Settings(**others)
    except ValidationError:
        raise SettingsInvalid from None


SECRET_NAMES = ("TOKEN", "SECRET", "PASSW", "KEY", "CREDENTIAL")
SHORTEST_SECRET = 6


def secret_values() -> set[str]:
    """What the environment holds under names of secrets, and the passwords of its URLs: nothing that leaves the
    process may have any of it.
    """
    found = {
        v for name, v in os.environ.items() if any(word in name.upper() for word in SECRET_NAMES)
    }
    for value in os.environ.values():
        if "://" in value and "@" in value:
            found.add(value.partition("://")[2].rpartition("@")[0].partition(":")[2])
    return {value for value in found if len(value) >= SHORTEST_SECRET}


PAGE = """# Settings

Every process reads them once, from the environment, when it starts. A variable that begins with `SOLOIST_`
and is not listed here stops the start and is named. Durations are seconds, sizes are bytes.

| variable | default | values | what it sets |
|---|---|---|---|
{rows}

This page is written by `python -m contract.settings > docs/settings.md`.
"""


def document() -> str:
    """docs/settings.md: every setting with its default, its values and what it sets."""
    rows = [
        f"| `{PREFIX}{name.upper()}` | {_default(field)} | {_values(field)} | {field.description} |"
        for name, field in Settings.model_fields.items()
    ]
    return PAGE.format(rows="\n".join(rows))


def _default(field: FieldInfo) -> str:
    default: Any = field.default
    if default is None or field.default_factory:
        return ""
    plain = default.get_secret_value() if isinstance(default, SecretStr) else default
    if isinstance(plain, bool):
        return f"`{str(plain).lower()}`"
    return f"`{plain:g}`" if isinstance(plain, float) else f"`{plain}`"


def _values(field: FieldInfo) -> str:
    """The words that are allowed, or what kind of value it is, with its bounds."""
    kinds = get_args(field.annotation) or (field.annotation,)
    if isinstance(kinds[0], str):
        return ", ".join(f"`{word}`" for word in kinds)
    named = {bool: "`true`, `false`", int: "whole number", float: "number", Path: "path"}
    kind = named.get(kinds[0], "text")
    signs = {"gt": "above", "ge": "at least", "le": "at most"}
    bounds = [
        f"{words} {getattr(bound, sign):g}"
        for bound in field.metadata
        for sign, words in signs.items()
        if hasattr(bound, sign)
    ]
    return ", ".join([kind, *bounds])


if __name__ == "__main__":
    print(document(), end="")
