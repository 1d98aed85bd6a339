"""The worker's metrics."""

from collections.abc import Callable, Iterator
from functools import partial

from prometheus_client import REGISTRY, Counter, Gauge, Histogram, disable_created_metrics
from prometheus_client.core import CounterMetricFamily
from prometheus_client.registry import Collector

disable_created_metrics()  # type: ignore[no-untyped-call]

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
STATES = ("starting", "importing", "loading", "connecting", "ready", "draining")


class CallbackCounter(Collector):
    """A counter whose value is read when the metrics are scraped."""

    def __init__(self, name: str, documentation: str) -> None:
        self._name, self._documentation = name, documentation
        self.read_value: Callable[[], float] = lambda: 0.0
        REGISTRY.register(self)

    def collect(self) -> Iterator[CounterMetricFamily]:
        yield CounterMetricFamily(self._name, self._documentation, value=self.read_value())


INFO = Gauge(
    "soloist_worker_info",
    "1, with what this worker serves, and on what.",
    [
        "model",
        "revision",
        "model_version",
        "device",
        "gpu_uuid",
        "gpu_name",
        "dtype",
        "version",
    ],
)
STATE = Gauge(
    "soloist_worker_state",
    f"1 for the state that the worker is in: {', '.join(STATES)}.",
    ["state"],
)
START_SECONDS = Gauge(
    "soloist_worker_start_seconds",
    "Seconds that each phase of the start took: import (of libraries and of the model's code), load, "
    "warm_up, connect (to the broker).",
    ["phase"],
)
BUSY = Gauge("soloist_worker_busy", "1 while a batch computes.")
BUSY_SECONDS = CallbackCounter(
    "soloist_worker_busy_seconds", "Seconds spent on batches, those under way included."
)
PREDICTIONS = Counter(
    "soloist_worker_predictions",
    "Predictions this worker ended: succeeded, failed, or fenced (it came too late to count).",
    ["outcome"],
)
QUEUE_SECONDS = Histogram(
    "soloist_worker_queue_seconds", "Seconds from acceptance to claim.", buckets=SECONDS
)
BATCH_SIZE = Histogram("soloist_worker_batch_size", "Predictions in a batch.", buckets=SIZES)
BATCH_SECONDS = Histogram(
    "soloist_worker_batch_seconds", "Seconds from claim to finish.", buckets=SECONDS
)
PHASE_SECONDS = Histogram(
    "soloist_worker_phase_seconds",
    "Seconds of a batch by phase: claim, preprocess (read, tokenise, decode), inference, postprocess, "
    "finish. Of a `python` model inference is all that predict does.",
    ["phase"],
    buckets=SECONDS,
)
SPLITS = Counter(
    "soloist_worker_batches_split",
    "Batches split after an error, by error code (docs/errors.md).",
    ["reason"],
)
OUT_OF_MEMORY = Counter("soloist_worker_out_of_memory", "Passes that did not fit in the memory.")
LEDGER_RETRIES = Counter("soloist_worker_ledger_retries", "Writes to the ledger tried again.")
DRAINING = Gauge("soloist_worker_draining", "1 once the worker was told to end.")
DRAIN_SECONDS = Gauge(
    "soloist_worker_drain_seconds", "Seconds since the worker was told to end; 0 before."
)
GPU_MEMORY = Gauge(
    "soloist_gpu_memory_bytes", "The device's memory: used and total.", ["gpu_uuid", "kind"]
)
GPU_MEMORY_TORCH = Gauge(
    "soloist_gpu_memory_torch_bytes",
    "What PyTorch has of it: allocated to tensors, reserved from the device, and the peak of allocated.",
    ["gpu_uuid", "kind"],
)
GPU_UTILISATION = Gauge(
    "soloist_gpu_utilisation_ratio",
    "Share of the last moments, 0 to 1, in which the device computed anything; not of a MIG slice.",
    ["gpu_uuid"],
)
GPU_TEMPERATURE = Gauge(
    "soloist_gpu_temperature_celsius", "Temperature of the whole card.", ["gpu_uuid"]
)
GPU_POWER = Gauge("soloist_gpu_power_watts", "Power that the whole card draws.", ["gpu_uuid"])
GPU_THROTTLED = Gauge(
    "soloist_gpu_throttled",
    "1 while clocks are held back: by the power cap (power; normal at full load), by temperature "
    "(thermal), or by hardware slowdown or power brake (hardware).",
    ["gpu_uuid", "reason"],
)

# To look a child up by its labels costs as much as to count.
PREDICTIONS_BY_OUTCOME = {
    word: PREDICTIONS.labels(word) for word in ("succeeded", "failed", "fenced")
}
SECONDS_BY_PHASE = {
    phase: PHASE_SECONDS.labels(phase)
    for phase in ("claim", "preprocess", "inference", "postprocess", "finish")
}
for _reason in ("model_error", "out_of_memory"):
    SPLITS.labels(_reason)


def export_state(state: Callable[[], str]) -> None:
    """Show which of STATES the worker is in whenever somebody asks."""
    for word in STATES:
        STATE.labels(word).set_function(partial(_is, state, word))


def _is(state: Callable[[], str], word: str) -> bool:
    return state() == word
