"""Why a worker could not start, recorded in the ledger for those who see the API and not the log."""

import logging
import re
from threading import Thread

from contract.errors import LedgerNewer, LedgerUnsafe, SettingsInvalid, SoloistError, StartRefused
from contract.ledger.client import Ledger
from contract.ledger.transitions import MOST_FAILURE_CHARACTERS, note_start_failure
from contract.settings import Settings, load_ledger_settings, load_settings, secret_values

logger = logging.getLogger(__name__)

CUT = "…"
MOST_READ = 4 * MOST_FAILURE_CHARACTERS
"""Of a text; the patterns need a time that grows with its square, and hold the interpreter's lock."""
SECRETS = (
    re.compile(
        r"\b(?:hf_|sk-|gh[a-z]_|xox[a-z]-|AKIA|eyJ)[\w.-]{8,}"
    ),  # as their issuers make them
    re.compile(r"\b[A-Za-z0-9+_]{40,}={0,2}"),
)
NAMED = re.compile(
    r"(\b[\w-]*(?:token|secret|passw\w*|api_?key|authorization|credential\w*)\b[\"']?\s*[=:]\s*)"
    r"(?:(?:bearer|basic)\s+)?[^\s,;]+",
    re.IGNORECASE,
)
URL = re.compile(r"\b([a-z][a-z0-9+.-]*://)[^\s'\"<>)]+", re.IGNORECASE)
ADDRESS = re.compile(r"\b\d{1,3}(?:\.\d{1,3}){3}(?::\d+)?\b")
PATH = re.compile(r"(?<![\w.…])(?:~|[A-Za-z]:)?(?:[\\/][\w.@+~-]+)*[\\/]([\w.@+~-]+)[\\/]?")


def redact(text: str) -> str:
    """A sentence that everybody may read: without secrets, addresses and folders of the machine, and no longer than
    the ledger keeps. Of a path its last part stays, of a URL its scheme.
    """
    for secret in sorted(secret_values(), key=len, reverse=True):
        text = text.replace(secret, CUT)
    if len(text) > MOST_READ:  # what is cut in two may look like no secret any more
        text = re.sub(r"\S{0,200}$", CUT, text[:MOST_READ], count=1)
    text = "".join(c if c.isprintable() else " " for c in text)
    text = NAMED.sub(rf"\1{CUT}", URL.sub(rf"\1{CUT}", text))
    for pattern in (*SECRETS, ADDRESS):
        text = pattern.sub(CUT, text)
    text = " ".join(PATH.sub(rf"{CUT}/\1", text).split())
    return (
        text if len(text) <= MOST_FAILURE_CHARACTERS else text[: MOST_FAILURE_CHARACTERS - 1] + CUT
    )


def record_start_failure(model: str, error: StartRefused, worker: str = "") -> None:
    """Record in the ledger why a worker of this model does not start. Best effort, and soon over: nothing is recorded in
    a ledger that is away, or wrong for this worker.
    """
    if isinstance(error, LedgerUnsafe | LedgerNewer):
        return
    try:
        settings = load_ledger_settings() if isinstance(error, SettingsInvalid) else load_settings()
    except StartRefused:  # it does not say where the ledger is
        return
    # In a thread: a name may take long to be looked up.
    thread = Thread(target=_record, args=(settings, model, error, worker), daemon=True)
    thread.start()
    thread.join(2 * settings.ledger_timeout_seconds)


def _record(settings: Settings, model: str, error: StartRefused, worker: str) -> None:
    ledger = Ledger(settings)
    try:
        ledger.check()
        ledger.run(
            note_start_failure(
                model, worker or settings.worker_name, error.code, redact(error.detail)
            )
        )
    except SoloistError:
        logger.debug("no last words", exc_info=True)
    finally:
        ledger.close()
