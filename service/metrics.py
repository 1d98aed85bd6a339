"""The gateway's metrics."""

from prometheus_client import Counter, Gauge, Histogram

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
    "soloist_predictions_rejected", "Predictions refused, by error code.", ["reason"]
)
END_TO_END_SECONDS = Histogram(
    "soloist_prediction_seconds",
    "Seconds from acceptance to outcome, of predictions that a request waited for.",
    ["model"],
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
BROKER_PUBLISHES = Counter(
    "soloist_broker_publishes", "Messages to the broker, by outcome.", ["outcome"]
)
