"""The keeper's metrics. Those of predictions and workers come from the ledger, so they hold without any worker."""

from collections.abc import Iterator, Mapping

from prometheus_client import REGISTRY, Counter, Gauge, Histogram, disable_created_metrics
from prometheus_client.core import CounterMetricFamily
from prometheus_client.metrics import MetricWrapperBase
from prometheus_client.registry import Collector

from contract.catalog import Catalog, ModelSpec
from contract.errors import (
    BadItem,
    ModelError,
    OutOfMemory,
    OutputInvalid,
    OutputTooLarge,
    PredictionFailed,
    Timeout,
    TooManyHandBacks,
    VersionGone,
    WorkerLost,
)
from contract.ledger.transitions import Memory, Sweep
from contract.prediction import TERMINAL

disable_created_metrics()  # type: ignore[no-untyped-call]

FAILURES: tuple[type[PredictionFailed], ...] = (
    BadItem,
    ModelError,
    OutOfMemory,
    OutputInvalid,
    OutputTooLarge,
    Timeout,
    WorkerLost,
    TooManyHandBacks,
    VersionGone,
)
COUNTED = (
    "accepted",
    *(f"finished:{status}" for status in TERMINAL),
    *(f"failed:{failure.code}" for failure in FAILURES),
    *(f"handed_back:{reason}" for reason in ("drain", "device_lost", "timeout")),
)
"""What the ledger counts of each model. A counter that begins at 1 shows Prometheus no increase."""
WORKER_STATES = ("starting", "ready", "busy")
SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)

QUEUE_DEPTH = Gauge(
    "soloist_queue_depth", "Predictions that wait (queued) or run (running).", ["model", "state"]
)
OLDEST_SECONDS = Gauge(
    "soloist_queue_oldest_seconds", "Age of the prediction that is next; 0 without one.", ["model"]
)
QUEUE_LIMIT = Gauge(
    "soloist_queue_limit", "Predictions that may wait (the catalog's max_queue).", ["model"]
)
DRAIN_SECONDS = Gauge(
    "soloist_queue_drain_seconds",
    "Estimated seconds until all that waits is done; absent as long as nothing ran.",
    ["model"],
)
BUSY_WORKERS = Gauge("soloist_busy_workers", "Workers with a batch under way.", ["model"])
WORKERS = Gauge(
    "soloist_workers",
    "Workers by what they do: starting, ready (idle) or busy. One that drains is none of them.",
    ["model", "state"],
)
SCALING_WANTED = Gauge(
    "soloist_scaling_wanted",
    "What the autoscaler is told: queued + running, or busy workers * target if that is more.",
    ["model"],
)
SCALING_TARGET = Gauge(
    "soloist_scaling_target",
    "Predictions that one worker should have; wanted / target is the workers wanted.",
    ["model"],
)
COST_PER_HOUR = Gauge(
    "soloist_gpu_cost_per_hour",
    "What one worker costs an hour (the catalog's cost_per_hour); absent if it is not set.",
    ["model"],
)
DEAD = Gauge("soloist_dead_predictions", "Predictions on the dead list.", ["model"])
TAKEN_BACK = Counter(
    "soloist_leases_taken_back", "Leases that expired: the worker was lost.", ["model"]
)
WAKEUPS_REPEATED = Counter(
    "soloist_wakeups_repeated", "Messages sent in place of lost ones.", ["model"]
)
EXPIRED = Counter(
    "soloist_predictions_expired",
    "Predictions that the keeper ended, or gave another start: past their deadline, or past the "
    "hard limit of their model (limit).",
    ["reason"],
)
PRUNED = Counter("soloist_predictions_pruned", "Records deleted after their retention.")
SWEEPS = Counter("soloist_keeper_sweeps", "Sweeps of the ledger.")
SWEEP_SECONDS = Histogram("soloist_keeper_sweep_seconds", "Seconds of a sweep.", buckets=SECONDS)
LEDGER_UP = Gauge("soloist_keeper_ledger_up", "1 when the ledger answered the last sweep.")
BROKER_UP = Gauge("soloist_keeper_broker_up", "1 when the broker answered the last question.")
LEDGER_MEMORY = Gauge("soloist_ledger_memory_bytes", "Memory that the ledger's Redis uses.")
LEDGER_MEMORY_LIMIT = Gauge(
    "soloist_ledger_memory_limit_bytes", "Memory that it may use (maxmemory); 0 is no limit."
)
LEDGER_RESERVED = Gauge(
    "soloist_ledger_memory_reserved_bytes",
    "Memory that new predictions leave to those accepted before: a reserve, and the outputs of all that is not "
    "over. Where used and reserved reach the limit, creates get 503 (ledger_full); 0 without a limit.",
)
LEDGER_KEYS = Gauge("soloist_ledger_keys", "Keys in the ledger's database.")
POD_PATCHES = Counter(
    "soloist_pod_patches",
    "Patches of worker pods in Kubernetes: ok, gone, refused or failed.",
    ["outcome"],
)
KUBERNETES_UP = Gauge(
    "soloist_keeper_kubernetes_up",
    "0 when the Kubernetes API failed, or refused us, the last time.",
)
KUBERNETES_UP.set(1)
for _reason in ("deadline", "limit"):
    EXPIRED.labels(_reason)


class LedgerCounters(Collector):
    """Counters that the ledger keeps: they survive every process and count each prediction once.

    Absent until the first sweep: a 0 after a restart of the keeper would be taken for a reset.
    """

    def __init__(self) -> None:
        self._models: dict[str, Mapping[str, int]] = {}
        REGISTRY.register(self)

    def update(self, model: str, counts: Mapping[str, int]) -> None:
        """Take what the ledger counted of a model."""
        self._models[model] = counts

    def remove_model(self, model: str) -> None:
        """Export nothing more of a model."""
        self._models.pop(model, None)

    def collect(self) -> Iterator[CounterMetricFamily]:
        families = {
            "accepted": CounterMetricFamily(
                "soloist_predictions_accepted", "Predictions recorded.", labels=["model"]
            ),
            "finished": CounterMetricFamily(
                "soloist_predictions_finished",
                "Predictions that are over: succeeded, failed or canceled.",
                labels=["model", "outcome"],
            ),
            "failed": CounterMetricFamily(
                "soloist_predictions_failed",
                "Predictions that failed, by error code (docs/errors.md).",
                labels=["model", "code"],
            ),
            "handed_back": CounterMetricFamily(
                "soloist_predictions_handed_back",
                "Predictions that a worker gave back before they were done: drain, device_lost "
                "or timeout (a batch of several ran past the hard limit).",
                labels=["model", "reason"],
            ),
        }
        for model, counts in self._models.items():
            for what, number in {**dict.fromkeys(COUNTED, 0), **counts}.items():
                word, *label = what.split(":", 1)
                if word in families:  # a newer version may count more
                    families[word].add_metric([model, *label], number)
        yield from families.values()


LEDGER_COUNTERS = LedgerCounters()
OF_A_MODEL = [
    metric
    for metric in tuple(vars().values())
    if isinstance(metric, MetricWrapperBase) and "model" in metric._labelnames
]


def initialise_series(catalog: Catalog) -> None:
    """Export every model of the catalog from the start, also while there is nothing to say of it."""
    for model, spec in catalog.items():
        TAKEN_BACK.labels(model)
        WAKEUPS_REPEATED.labels(model)
        QUEUE_LIMIT.labels(model).set(spec.max_queue)
        SCALING_TARGET.labels(model).set(spec.target)
        if spec.cost_per_hour is not None:
            COST_PER_HOUR.labels(model).set(spec.cost_per_hour)


def export_model(model: str, spec: ModelSpec | None, seen: Sweep) -> None:
    """Export what a sweep found; `spec` is None of a model that has left the catalog."""
    QUEUE_DEPTH.labels(model, "queued").set(seen.queued)
    QUEUE_DEPTH.labels(model, "running").set(seen.running)
    OLDEST_SECONDS.labels(model).set(seen.oldest_seconds)
    BUSY_WORKERS.labels(model).set(seen.busy)
    for word in WORKER_STATES:
        WORKERS.labels(model, word).set(seen.states.get(word, 0))
    DEAD.labels(model).set(seen.dead_total)
    WAKEUPS_REPEATED.labels(model).inc(len(seen.wakeups))
    TAKEN_BACK.labels(model).inc(seen.taken_back)
    LEDGER_COUNTERS.update(model, seen.counts)
    if seen.eta_seconds is None:
        DRAIN_SECONDS.remove(model)
    else:
        DRAIN_SECONDS.labels(model).set(seen.eta_seconds)
    if spec is not None:
        wanted = max(seen.queued + seen.running, seen.busy * spec.target)
        SCALING_WANTED.labels(model).set(wanted)


def remove_model(model: str) -> None:
    """Export nothing more of a model that is gone."""
    LEDGER_COUNTERS.remove_model(model)
    for metric in OF_A_MODEL:
        metric.remove_by_labels({"model": model})


def export_memory(memory: Memory) -> None:
    """Export how full the ledger is."""
    LEDGER_MEMORY.set(memory.used)
    LEDGER_MEMORY_LIMIT.set(memory.limit)
    LEDGER_RESERVED.set(memory.reserved if memory.limit else 0)
    LEDGER_KEYS.set(memory.keys)
