"""The ledger at the start of a process: whether it is safe, what an error means then, and what the log says of the wait.

A ledger that is away may come yet, so it is waited for. One that answers and would lose predictions, or does not do
what it is asked for, is refused: the process ends and says why.
"""

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import redis

from contract.errors import (
    LedgerNewer,
    LedgerRefuses,
    LedgerUnavailable,
    LedgerUnsafe,
    SoloistError,
)
from contract.ledger.keys import SCHEMA
from contract.ledger.redis_errors import is_stranger
from contract.settings import Settings


def check_safety(info: Mapping[str, Any], durability: str) -> None:
    """Refuse a Redis that would lose what was accepted.

    Args:
        info: the answer of INFO.

    Raises:
        LedgerUnsafe: it may evict keys, or keeps nothing on disk, and `durability: none` was not said.
        LedgerUnavailable: it reads its files yet, and meanwhile says that it keeps none; or it is a replica.
    """
    if int(info.get("loading", 0)):
        raise LedgerUnavailable("the ledger loads its data")
    if info.get("role") == "slave":
        raise LedgerUnavailable("a replica answers in the ledger's place")
    policy = info.get("maxmemory_policy", "noeviction")
    way_out = "or accept losses with SOLOIST_DURABILITY=none"
    if durability == "none":
        return
    if policy != "noeviction":
        raise LedgerUnsafe(
            f"the ledger's maxmemory-policy is {policy!r}, which deletes predictions; "
            f"set it to noeviction {way_out}"
        )
    if not int(info.get("aof_enabled", 0)):
        raise LedgerUnsafe(
            f"the ledger has no append-only file, so a restart would lose predictions; "
            f"set appendonly to yes {way_out}"
        )


def check_schema(found: int) -> None:
    """Refuse a ledger that a newer release has written to.

    Raises:
        LedgerNewer: this release would misread it.
    """
    if found > SCHEMA:
        raise LedgerNewer(
            f"a newer release has written to the ledger (schema {found}; this release reads up to {SCHEMA}): "
            "start that release, or restore a backup from before it (docs/backup.md)"
        )


def read_info(answer: bytes) -> dict[str, str]:
    """The answer of INFO (https://redis.io/docs/latest/commands/info/)."""
    lines = answer.decode("utf-8", "replace").splitlines()
    return dict(line.split(":", 1) for line in lines if ":" in line)


@contextmanager
def start_errors(settings: Settings, renew: Callable[[], None]) -> Iterator[None]:
    """Make of what a check raises an error that says whether to wait.

    Args:
        renew: called after any error, as the ledger's name may lead elsewhere.

    Raises:
        LedgerUnavailable: it is away; or it answered what nobody expected, and may come right.
        StartRefused: it is there, and wrong for us.
    """
    try:
        yield
    except (LedgerUnsafe, LedgerNewer):
        raise
    except Exception as error:
        renew()
        if refusal := _refusal(settings, error):
            raise refusal from error
        if isinstance(error, LedgerUnavailable):
            raise
        what = f"the ledger's answer cannot be read ({type(error).__name__})"
        raise LedgerUnavailable(what) from error


def _refusal(settings: Settings, error: Exception) -> LedgerRefuses | None:
    if isinstance(error, LedgerUnavailable) and is_stranger(error.__cause__):
        what = error.detail
    elif isinstance(error, redis.ResponseError):
        what = f"the ledger does not do what it is asked for ({error})"
    else:
        return None
    where = settings.whereabouts("ledger")
    return LedgerRefuses(f"{what} at {where['address']}; see {where['settings']}")


def describe_trouble(settings: Settings, error: SoloistError) -> dict[str, str]:
    """What a process logs of a ledger that it cannot use. Clients get `error.detail` only."""
    where = settings.whereabouts("ledger")
    return {"detail": error.detail, "cause": str(error.__cause__ or ""), **where}


class WaitLog:
    """The log of a wait for the ledger: a line for each trouble, and not for each try."""

    def __init__(self, settings: Settings, logger: logging.Logger) -> None:
        self._settings = settings
        self._logger = logger
        self._reported: set[str] = set()

    def report_trouble(self, error: SoloistError) -> None:
        """Log what keeps the process waiting, once."""
        if error.detail not in self._reported:
            extra = describe_trouble(self._settings, error)
            self._logger.warning("waiting for the ledger", extra=extra)
        self._reported.add(error.detail)

    def report_end(self) -> None:
        """Log that the ledger is there, if it was waited for."""
        if self._reported:
            self._logger.info("the ledger is there")
