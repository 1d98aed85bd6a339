"""The gateway's metrics."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

from prometheus_client import Counter, Gauge, Histogram, disable_created_metrics

from contract.catalog import Catalog
from contract.errors import LedgerFull, LedgerUnavailable, Refused

disable_created_metrics()  # type: ignore[no-untyped-call]

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800)

HTTP_REQUESTS = Counter(
    "soloist_http_requests", "HTTP requests answered.", ["method", "route", "status"]
)
HTTP_SECONDS = Histogram(
    "soloist_http_request_seconds", "Seconds to the end of the answer.", ["route"], buckets=SECONDS
)
HTTP_IN_PROGRESS = Gauge("soloist_http_requests_in_progress", "HTTP requests being answered.")
SUBMITTED = Counter("soloist_predictions_submitted", "Predictions accepted.", ["model"])
REJECTED = Counter(
    "soloist_predictions_rejected",
    "Requests refused, or left unknown (504), by error code (docs/errors.md).",
    ["reason"],
)
UNKNOWN = Gauge(
    "soloist_predictions_unknown",
    "Creates that were answered with 504 and that the gateway still asks the ledger about.",
)
UNKNOWN_ENDED = Counter(
    "soloist_predictions_unknown_ended",
    "What became of creates that were answered with 504: recorded, never_recorded, or given_up when the "
    "ledger was away for too long.",
    ["outcome"],
)
END_TO_END_SECONDS = Histogram(
    "soloist_prediction_seconds",
    "Seconds from acceptance to outcome, of predictions that a request waited for; cold is true where "
    "no worker of the model was ready when it was accepted, else false.",
    ["model", "cold"],
    buckets=SECONDS,
)
CREATED_AT_ONCE = Histogram(
    "soloist_predictions_created_at_once",
    "Predictions that went to the ledger in one call.",
    buckets=(1, 2, 4, 8, 16, 32, 64, 128, 256, 512),
)
LEDGER_SECONDS = Histogram(
    "soloist_ledger_seconds", "Seconds of a create in the ledger.", buckets=SECONDS
)
LEDGER_UP = Gauge("soloist_ledger_up", "1 when the last call to the ledger was answered.")
LEDGER_ERRORS = Counter(
    "soloist_ledger_errors",
    "Calls to the ledger that failed: ledger_unavailable or ledger_full.",
    ["reason"],
)
SUBSCRIBED = Gauge(
    "soloist_outcomes_subscribed",
    "1 while this process hears of outcomes; else requests that wait learn theirs late.",
)
SUBSCRIPTION_FAULTS = Counter(
    "soloist_outcomes_faults",
    "What went wrong with the subscription to outcomes: ledger_unavailable, unreadable (an announcement), "
    "or internal_error.",
    ["reason"],
)
BROKER_PUBLISHES = Counter(
    "soloist_broker_publishes",
    "Messages to the broker: ok, failed, or dropped because it was away for too long.",
    ["outcome"],
)
BROKER_UP = Gauge("soloist_broker_up", "1 when the broker took what it was sent last.")
MODEL_INFO = Gauge(
    "soloist_model_info",
    "1 for each model of the catalog, with its public id and the first half of its versions, which "
    "follows from the catalog.",
    ["model", "id", "task", "version"],
)

# To look a child up by its labels costs as much as to count.
KNOWN = {word: UNKNOWN_ENDED.labels(word) for word in ("recorded", "never_recorded", "given_up")}
PUBLISHED = {word: BROKER_PUBLISHES.labels(word) for word in ("ok", "failed", "dropped")}
for reason in (LedgerUnavailable.code, "unreadable", "internal_error"):
    SUBSCRIPTION_FAULTS.labels(reason)
LEDGER_FAILED = {
    error.code: LEDGER_ERRORS.labels(error.code) for error in (LedgerUnavailable, LedgerFull)
}


@cache
def http_requests(method: str, route: str, status: int) -> Counter:
    """The counter of one kind of answer."""
    return HTTP_REQUESTS.labels(method, route, status)


@cache
def http_seconds(route: str) -> Histogram:
    """The histogram of one route."""
    return HTTP_SECONDS.labels(route)


@cache
def submitted(model: str) -> Counter:
    """The counter of one model."""
    return SUBMITTED.labels(model)


@cache
def end_to_end_seconds(model: str, cold: bool) -> Histogram:
    """The histogram of one model, with or without a worker."""
    return END_TO_END_SECONDS.labels(model, str(cold).lower())


@contextmanager
def ledger_call() -> Iterator[None]:
    """Around a call to the ledger: counts an error of it."""
    try:
        yield
    except Refused as error:
        LEDGER_FAILED[error.code].inc()
        LEDGER_UP.set(isinstance(error, LedgerFull))  # which is an answer
        raise
    LEDGER_UP.set(1)


def initialise_series(catalog: Catalog) -> None:
    """Export every model of the catalog from the start: a counter that begins at 1 shows no increase."""
    for model, spec in catalog.items():
        MODEL_INFO.labels(model, spec.id, spec.task or "python", spec.entry).set(1)
        submitted(model)
        end_to_end_seconds(model, False)
        end_to_end_seconds(model, True)
