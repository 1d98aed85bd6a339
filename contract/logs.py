"""Log lines of every process: JSON on stdout, or one readable line a record on a terminal."""

import logging
import sys
from datetime import UTC, datetime
from typing import Any

import orjson

from contract.settings import Settings

_PLAIN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


def _extras(record: logging.LogRecord) -> dict[str, Any]:
    """What the caller gave as `extra`."""
    return {name: value for name, value in vars(record).items() if name not in _PLAIN}


def _trace(record: logging.LogRecord) -> str | None:
    return logging.Formatter().formatException(record.exc_info) if record.exc_info else None


class JsonFormatter(logging.Formatter):
    """One JSON object a line; newlines in values are escaped, so no input can forge a line."""

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **_extras(record),
        }
        if trace := _trace(record):
            line["trace"] = trace
        return orjson.dumps(line, default=str).decode()


class TextFormatter(logging.Formatter):
    """For people: time, level, message, then the extras as name=value."""

    def format(self, record: logging.LogRecord) -> str:
        at = datetime.fromtimestamp(record.created).strftime("%H:%M:%S.%f")[:-3]
        extras = " ".join(f"{name}={value!s}" for name, value in _extras(record).items())
        line = f"{at} {record.levelname.lower():7} {record.getMessage()} {extras}".rstrip()
        line = line.replace("\n", "\\n").replace("\r", "\\r")
        trace = _trace(record)
        return f"{line}\n{trace}" if trace else line


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
