"""The worker's metrics."""

from prometheus_client import REGISTRY, Counter, Gauge, Histogram, Info

SECONDS = (
    0.001,
    0.0025,
    0.005,
    0.01,
    0.025,
    0.05,
    0.1,
    0.25,
    0.5,
    1,
    2.5,
    5,
    10,
    30,
    60,
    300,
    1800,
)
SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)

INFO = Info("soloist_worker", "What this worker serves, and on what.")
BUSY = Gauge("soloist_worker_busy", "1 while a batch computes.")
BUSY_SECONDS = Counter("soloist_worker_busy_seconds", "Seconds spent on batches.")
PREDICTIONS = Counter(
    "soloist_worker_predictions",
    "Predictions this worker ended, by outcome; `fenced` came too late to count.",
    ["outcome"],
)
QUEUE_SECONDS = Histogram(
    "soloist_worker_queue_seconds", "Wait from acceptance to claim.", buckets=SECONDS
)
BATCH_SIZE = Histogram("soloist_worker_batch_size", "Predictions in a batch.", buckets=SIZES)
BATCH_SECONDS = Histogram(
    "soloist_worker_batch_seconds", "Seconds from claim to finish.", buckets=SECONDS
)
LOAD_SECONDS = Gauge("soloist_worker_model_load_seconds", "How long the model took to load.")
SPLITS = Counter("soloist_worker_batches_split", "Batches split after an error.", ["reason"])
HANDED_BACK = Counter(
    "soloist_worker_handed_back", "Predictions given back without an outcome.", ["reason"]
)
LEDGER_RETRIES = Counter("soloist_worker_ledger_retries", "Writes to the ledger tried again.")

__all__ = ["REGISTRY"]
