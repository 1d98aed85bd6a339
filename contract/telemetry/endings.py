"""Logs what became of predictions otherwise than by the worker that ran them: a line, and a span, of each."""

import logging
from collections.abc import Sequence
from typing import Any

from contract.ledger.endings import Ending
from contract.telemetry.logs import log_each
from contract.telemetry.tracing import Tracing, read_record_context


def log_endings(logger: logging.Logger, tracing: Tracing, endings: Sequence[Ending]) -> None:
    """Log what ended or went back to the queue, and put it into its trace."""
    failed = [_extras(ending) for ending in endings if ending.outcome == "failed"]
    others = [_extras(ending) for ending in endings if ending.outcome != "failed"]
    log_each(logger, "prediction", failed, logging.WARNING)
    log_each(logger, "prediction", others)
    for ending in endings if tracing.on else ():
        trace = read_record_context(ending.traceparent, None)
        if trace is None or not trace.sampled:
            continue
        back = ending.outcome == "queued"
        attributes: dict[str, str | int] = {
            "soloist.prediction": ending.id,
            "soloist.model": ending.model,
            "soloist.attempt": ending.attempt,
        }
        span = tracing.start("queued again" if back else "ended", trace)
        span.end(attributes, error=None if back else ending.what)


def _extras(ending: Ending) -> dict[str, Any]:
    """The extras of its log line."""
    line = {
        "prediction": ending.id,
        "model": ending.model,
        "outcome": ending.outcome,
        "attempt": ending.attempt,
    }
    if ending.what != "queued":
        line["error_code"] = ending.what
    if trace := read_record_context(ending.traceparent, None):
        line["trace_id"] = trace.trace_id
    return line
