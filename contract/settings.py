"""Every setting of every process, read once from the environment (`SOLOIST_*`)."""

import os
import socket
from pathlib import Path
from typing import Any, Literal, get_args

from pydantic import Field, SecretStr, ValidationError, ValidationInfo, field_validator
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, SettingsConfigDict

from contract.errors import SettingsInvalid

PREFIX = "SOLOIST_"


class Settings(BaseSettings):
    """What can be set from outside. Durations are seconds, sizes are bytes."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="forbid")

    redis_url: SecretStr = Field(
        SecretStr("redis://127.0.0.1:6379/0"),
        description="The ledger: redis:// or rediss:// (TLS).",
    )
    broker_url: SecretStr | None = Field(
        None,
        description="The broker: redis://, rediss://, amqp:// or amqps://. The ledger's Redis if not set.",
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
        15.0, gt=0, description="How long a worker's claim holds without a sign of life."
    )
    renew_seconds: float = Field(
        1.0,
        gt=0,
        description="How often a worker extends its leases and learns what was canceled.",
    )
    max_attempts: int = Field(3, ge=1, description="How often one prediction may be started.")
    sweep_seconds: float = Field(1.0, gt=0, description="How often the keeper looks at the ledger.")
    priority_credit_seconds: float = Field(
        300.0,
        ge=0,
        description="How much earlier `high` counts as accepted, and how much later `low` does.",
    )
    dead_ttl_seconds: float = Field(
        7 * 86400.0, gt=0, description="How long a dead prediction can be replayed."
    )
    body_limit_bytes: int = Field(1024 * 1024, gt=0, description="Largest request body.")
    max_wait_seconds: float = Field(
        60.0, gt=0, le=60, description="Longest that `Prefer: wait` holds a request."
    )
    ledger_timeout_seconds: float = Field(
        2.0, gt=0, description="How long the ledger may take to answer."
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

    @property
    def broker(self) -> str:
        """The broker's URL with its password: the ledger's Redis serves where none is set."""
        return (self.broker_url or self.redis_url).get_secret_value()

    @property
    def ledger(self) -> str:
        """The ledger's URL with its password."""
        return self.redis_url.get_secret_value()


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
    return f"`{plain:g}`" if isinstance(plain, float) else f"`{plain}`"


def _values(field: FieldInfo) -> str:
    """The words that are allowed, or what kind of value it is, with its bounds."""
    kinds = get_args(field.annotation) or (field.annotation,)
    if isinstance(kinds[0], str):
        return ", ".join(f"`{word}`" for word in kinds)
    kind = {int: "whole number", float: "number", Path: "path"}.get(kinds[0], "text")
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
