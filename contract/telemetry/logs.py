"""Log lines of every process: JSON on stdout, or one readable line a record on a terminal."""

import logging
import re
import sys
import threading
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import orjson

from contract import __version__
from contract.settings import Settings

_PLAIN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName", "rows"}

# Control characters, which a terminal obeys (ECMA-48: C0, DEL, C1), and those that reorder a line.
_UNSEEN = "\x7f-\x9f\u2028-\u202e\u2066-\u2069"
_CONTROLS = re.compile(f"[\x00-\x1f{_UNSEEN}]")
_CONTROLS_IN_JSON = re.compile(f"[{_UNSEEN}]")


def printable(text: str) -> str:
    r"""The text on one line, with escapes like `\x1b` for what a terminal would obey and not show."""
    return _CONTROLS.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def printable_json(text: str) -> str:
    """The same JSON, with escapes for what JSON lets through and a terminal would obey."""
    return _CONTROLS_IN_JSON.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def _extras(record: logging.LogRecord) -> dict[str, Any]:
    """What the caller gave as `extra`; what is None is left out."""
    return {
        name: value
        for name, value in vars(record).items()
        if value is not None and name not in _PLAIN
    }


def _rows(record: logging.LogRecord) -> Sequence[dict[str, Any]]:
    """The extras of each line: a record is one, unless `log_each` made it."""
    rows: Sequence[dict[str, Any]] | None = vars(record).get("rows")
    return [_extras(record)] if rows is None else rows


def _trace(record: logging.LogRecord) -> str | None:
    return logging.Formatter().formatException(record.exc_info) if record.exc_info else None


class JsonFormatter(logging.Formatter):
    """One JSON object a line; control characters in values are escaped, so no input can forge a line."""

    def format(self, record: logging.LogRecord) -> str:
        head = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        trace = _trace(record)
        tail = {"trace": trace} if trace else {}
        lines = [orjson.dumps({**head, **extras, **tail}, default=str) for extras in _rows(record)]
        return printable_json(b"\n".join(lines).decode())


class TextFormatter(logging.Formatter):
    """For people: time, level, message, then the extras as name=value."""

    def format(self, record: logging.LogRecord) -> str:
        at = datetime.fromtimestamp(record.created).strftime("%H:%M:%S.%f")[:-3]
        head = f"{at} {record.levelname.lower():7} {record.getMessage()}"
        lines = []
        for extras in _rows(record):
            line = " ".join((head, *(f"{name}={value!s}" for name, value in extras.items())))
            lines.append(printable(line))
        if trace := _trace(record):
            lines += map(printable, trace.splitlines())
        return "\n".join(lines)


def set_up_logging(settings: Settings) -> None:
    """Send every logger's lines to stdout in the format of the settings."""
    text = settings.log_format == "text" or (settings.log_format == "auto" and sys.stdout.isatty())
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(TextFormatter() if text else JsonFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(settings.log_level.upper())
    for chatty in ("celery", "kombu", "amqp", "redis", "httpx", "urllib3", "filelock", "uvicorn"):
        logging.getLogger(chatty).setLevel(max(logging.WARNING, root.level))
    # What no line of ours shows, and half of what a line costs:
    # https://docs.python.org/3/howto/logging.html#optimization
    if threading.excepthook is threading.__excepthook__:
        threading.excepthook = _log_thread_error
    logging._srcfile = None
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False


def _log_thread_error(what: threading.ExceptHookArgs) -> None:
    """A thread that ends by an exception says so like everything else does."""
    name = what.thread.name if what.thread else "?"
    error = (what.exc_type, what.exc_value or what.exc_type(), what.exc_traceback)
    line = "a thread ended"
    logging.getLogger(__name__).critical(line, extra={"thread_name": name}, exc_info=error)


def log_each(
    logger: logging.Logger,
    message: str,
    rows: Sequence[dict[str, Any]],
    level: int = logging.INFO,
) -> None:
    """One line for each row of extras, written together: that costs a tenth of one after the other."""
    if rows:
        logger.log(level, message, extra={"rows": rows})


def start_facts(settings: Settings) -> dict[str, Any]:
    """For a process's first line: its version, and the settings that others must agree on."""
    return {
        "version": __version__,
        "ledger": settings.whereabouts("ledger")["address"],
        "broker": settings.whereabouts("broker")["address"],
        "prefix": settings.prefix,
        "durability": settings.durability,
        "otlp_endpoint": settings.otlp_endpoint,
    }
