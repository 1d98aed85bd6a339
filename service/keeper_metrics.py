"""The keeper's metrics. Those of the queues come from the ledger, so they hold without any worker."""

from prometheus_client import Counter, Gauge

QUEUE_DEPTH = Gauge(
    "soloist_queue_depth", "Predictions that wait (queued) or run (running).", ["model", "state"]
)
OLDEST_SECONDS = Gauge("soloist_queue_oldest_seconds", "Age of the next prediction.", ["model"])
BUSY_WORKERS = Gauge("soloist_busy_workers", "Workers with a batch under way.", ["model"])
DRAIN_SECONDS = Gauge(
    "soloist_queue_drain_seconds", "Estimated seconds until all that waits is done.", ["model"]
)
DEAD = Gauge("soloist_dead_predictions", "Predictions on the dead list.", ["model"])
TAKEN_BACK = Counter("soloist_leases_taken_back", "Leases that expired.", ["model"])
RINGS = Counter("soloist_rings_repeated", "Messages sent in place of lost ones.", ["model"])
EXPIRED = Counter("soloist_predictions_expired", "Predictions ended by the keeper.", ["reason"])
PRUNED = Counter("soloist_predictions_pruned", "Records deleted after their retention.")
SWEEPS = Counter("soloist_keeper_sweeps", "Looks at the whole ledger.")
LEDGER_UP = Gauge("soloist_keeper_ledger_up", "1 when the ledger answered the last sweep.")
BROKER_UP = Gauge("soloist_keeper_broker_up", "1 when the broker answered the last question.")
