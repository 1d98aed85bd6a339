"""What a running `soloist up` leaves in its folder, so that the other commands find it."""

import contextlib
import json
import os
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from contract.catalog import Catalog, load_catalog
from contract.errors import StartRefused
from contract.ledger.client import Ledger
from contract.settings import Settings, load_settings


@dataclass(frozen=True, slots=True)
class RunningSoloist:
    """What the run file says of a `soloist up` on this machine."""

    pid: int
    url: str
    redis_url: str
    catalog: str


def run_file_path(settings: Settings) -> Path:
    return settings.state_dir / "up.json"


def write_run_file(settings: Settings, running: RunningSoloist) -> None:
    """Write it for the other commands, readable by this user alone: the ledger's address may hold a password.

    Raises:
        StartRefused: the folder cannot be written.
    """
    file = run_file_path(settings)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.unlink(missing_ok=True)
        with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as stream:
            json.dump(asdict(running), stream)
    except OSError as error:
        raise StartRefused(
            f"cannot write to {file.parent}: {error.strerror}; set SOLOIST_STATE_DIR"
        ) from None


def remove_run_file(settings: Settings) -> None:
    run_file_path(settings).unlink(missing_ok=True)


def read_run_file(settings: Settings) -> RunningSoloist | None:
    """The `soloist up` of this folder, if one runs."""
    with contextlib.suppress(OSError, ValueError, TypeError):
        running = RunningSoloist(**json.loads(run_file_path(settings).read_text(encoding="utf-8")))
        if sys.platform == "win32":
            return running
        os.kill(running.pid, 0)
        return running
    return None


def gateway_url(settings: Settings, url: str | None) -> str:
    """Where the gateway is: by --url, by the settings, or where the running `soloist up` has it."""
    if url:
        return url.rstrip("/")
    running = read_run_file(settings)
    if running and not settings.model_fields_set & {"host", "port"}:
        return running.url
    return local_url(settings.host, settings.port)


def local_url(host: str, port: int) -> str:
    """The address at which this machine reaches what listens on `host`."""
    host = {"0.0.0.0": "127.0.0.1", "::": "[::1]", "": "127.0.0.1"}.get(host, host)  # noqa: S104
    return f"http://[{host}]:{port}" if ":" in host and "[" not in host else f"http://{host}:{port}"


def with_ledger(settings: Settings) -> Settings:
    """The settings with the ledger and the catalog of the running `soloist up`, where none are set."""
    running = read_run_file(settings)
    if not running:
        return settings
    found = {"redis_url": running.redis_url, "catalog": running.catalog}
    return Settings.model_validate(
        settings.model_dump()
        | {k: v for k, v in found.items() if k not in settings.model_fields_set}
    )


@contextlib.contextmanager
def open_ledger() -> Iterator[tuple[Settings, Catalog, Ledger]]:
    """The ledger itself, for commands that the gateway has no route for.

    Raises:
        StartRefused: settings, catalog or ledger do not allow it.
        LedgerUnavailable: it does not answer.
    """
    settings = with_ledger(load_settings())
    catalog = load_catalog(settings.catalog)
    ledger = Ledger(settings)
    try:
        ledger.check()
        yield settings, catalog, ledger
    finally:
        ledger.close()
