"""A cluster that is not there: what the exporters around Soloist would say of the processes that run."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from tests.observability.live.prometheus import Prometheus
from tests.observability.live.surroundings import NAMESPACE, RELEASE, Series

GIB = 2**30
GPU_NAME, GPU_BYTES = "NVIDIA L4", 24 * GIB
CONDITIONS = ("AbleToScale", "ScalingActive", "ScalingLimited")


def gpu_of(pod: str) -> str:
    """The device of a worker, by the last two parts of its pod's name."""
    return "GPU-" + "-".join(pod.split("-")[-2:])


@dataclass
class Troubles:
    """What goes wrong in the cluster; a script may add to it while it runs."""

    scaler_errors: dict[str, int] = field(default_factory=dict)
    """By model: KEDA's questions that got no answer."""
    scaler_surplus: dict[str, int] = field(default_factory=dict)
    """By model: how many more wait, as KEDA has it."""
    not_able: set[str] = field(default_factory=set)
    """Models whose HPA cannot scale."""
    restarts: dict[tuple[str, str], int] = field(default_factory=dict)
    """By pod and container."""
    killed_for_memory: set[tuple[str, str]] = field(default_factory=set)
    crash_loops: set[tuple[str, str]] = field(default_factory=set)
    without_node: set[str] = field(default_factory=set)
    xids: dict[str, int] = field(default_factory=dict)
    """By pod: the last error of its device."""
    hot: set[str] = field(default_factory=set)
    """Pods whose device is hot, and slowed down."""
    generations: dict[str, int] = field(default_factory=dict)
    """By model: rollouts of its Deployment."""


class Cluster:
    """`most` is how many workers a model may have. What waits and who computes is what Prometheus saw of
    the processes, so that all series tell of the same run.
    """

    def __init__(self, prometheus: Prometheus, most: Mapping[str, int]) -> None:
        self._prometheus = prometheus
        self._most = most
        self.desired: dict[str, int] = dict.fromkeys(most, 0)
        self.workers: dict[str, tuple[str, str]] = {}
        """Address and model, by pod."""
        self.troubles = Troubles()
        self._heat: dict[str, float] = {}

    def _by_model(self, expr: str) -> dict[str, float]:
        return self._prometheus.numbers(f"max by (model) ({expr})", "model")

    # kube-state-metrics

    def kubernetes(self) -> Iterator[Series]:
        ready = self._by_model('sum by (model, pod) (soloist_workers{state=~"ready|busy"})')
        ours, troubles = {"namespace": NAMESPACE}, self.troubles
        for model in self._most:
            name = f"{RELEASE}-worker-{model}"
            of = {**ours, "deployment": name}
            generation = 1 + troubles.generations.get(model, 0)
            yield Series("kube_deployment_spec_replicas", of, self.desired[model])
            yield Series("kube_deployment_status_replicas_ready", of, ready.get(model, 0))
            yield Series("kube_deployment_status_observed_generation", of, generation)
            yield from self._hpa(model, {**ours, "horizontalpodautoscaler": f"keda-hpa-{name}"})
        for (pod, container), count in troubles.restarts.items():
            of = {**ours, "pod": pod, "container": container}
            yield Series("kube_pod_container_status_restarts_total", of, count)
        for pod, container in troubles.killed_for_memory:
            of = {**ours, "pod": pod, "container": container, "reason": "OOMKilled"}
            yield Series("kube_pod_container_status_last_terminated_reason", of, 1)
        for pod, container in troubles.crash_loops:
            of = {**ours, "pod": pod, "container": container, "reason": "CrashLoopBackOff"}
            yield Series("kube_pod_container_status_waiting_reason", of, 1)
        for pod in troubles.without_node:
            yield Series("kube_pod_status_unschedulable", {**ours, "pod": pod}, 1)

    def _hpa(self, model: str, of: dict[str, str]) -> Iterator[Series]:
        current = sum(served == model for _, served in list(self.workers.values()))
        current += sum(f"-worker-{model}-" in pod for pod in self.troubles.without_node)
        desired, most = self.desired[model], self._most[model]
        yield Series("kube_horizontalpodautoscaler_status_desired_replicas", of, desired)
        yield Series("kube_horizontalpodautoscaler_status_current_replicas", of, current)
        yield Series("kube_horizontalpodautoscaler_spec_max_replicas", of, most)
        holds = (model not in self.troubles.not_able, desired > 0, desired == most)
        for condition, true in zip(CONDITIONS, holds, strict=True):
            for status, is_so in (("true", true), ("false", not true), ("unknown", False)):
                labels = {**of, "condition": condition, "status": status}
                yield Series("kube_horizontalpodautoscaler_status_condition", labels, is_so)

    # KEDA 2.20: pkg/metricscollector/prommetrics.go

    def keda(self) -> Iterator[Series]:
        waiting = self._by_model('soloist_queue_depth{state="queued"}')
        running = self._by_model('soloist_queue_depth{state="running"}')
        busy = self._by_model("soloist_busy_workers")
        for model in self._most:
            surplus = self.troubles.scaler_surplus.get(model, 0)
            counts = (
                waiting.get(model, 0) + surplus,
                running.get(model, 0),
                busy.get(model, 0),
            )
            for index, count in enumerate(counts):
                metric = f"s{index}-redis-{('queued', 'running', 'busy')[index]}"
                of = {
                    "namespace": NAMESPACE,
                    "scaledObject": f"{RELEASE}-worker-{model}",
                    "scaler": "redis",
                    "triggerIndex": str(index),
                    "metric": metric,
                    "type": "scaledobject",
                }
                errors = self.troubles.scaler_errors.get(model, 0) if index == 0 else 0
                yield Series("keda_scaler_metrics_value", of, count)
                yield Series("keda_scaler_metrics_latency_seconds", of, 0.002 + 0.0002 * count)
                yield Series("keda_scaler_detail_errors_total", of, errors)

    # dcgm-exporter, and what workers on a machine with a GPU say themselves

    def _load(self) -> dict[str, float]:
        """How busy each pod was in the last seconds."""
        return self._prometheus.numbers("rate(soloist_worker_busy_seconds_total[5s])", "pod")

    def dcgm(self) -> Iterator[Series]:
        load = self._load()
        for number, pod in enumerate(list(self.workers)):
            of = {
                "gpu": str(number),
                "UUID": gpu_of(pod),
                "device": f"nvidia{number}",
                "modelName": GPU_NAME,
                "Hostname": f"node-{number}",
            }
            busy = min(load.get(pod, 0.0), 1.0)
            yield Series("DCGM_FI_DEV_GPU_UTIL", of, round(92 * busy))
            yield Series("DCGM_FI_DEV_FB_USED", of, 5200 + 4100 * busy)
            yield Series("DCGM_FI_PROF_GR_ENGINE_ACTIVE", of, 0.9 * busy)
            yield Series("DCGM_FI_PROF_PIPE_TENSOR_ACTIVE", of, 0.55 * busy)
            yield Series("DCGM_FI_PROF_DRAM_ACTIVE", of, 0.35 * busy)
            yield Series("DCGM_FI_DEV_XID_ERRORS", of, self.troubles.xids.get(pod, 0))

    def nvml(self) -> Iterator[Series]:
        load = self._load()
        for pod, (address, _) in list(self.workers.items()):
            busy = min(load.get(pod, 0.0), 1.0)
            hot = pod in self.troubles.hot
            # A chip warms up and cools down slowly.
            heat = self._heat[pod] = 0.9 * self._heat.get(pod, 0.0) + 0.1 * busy
            of = {
                "namespace": NAMESPACE,
                "pod": pod,
                "instance": address,
                "gpu_uuid": gpu_of(pod),
            }
            held = {"used": 5.2 * GIB + 4 * GIB * busy, "total": GPU_BYTES}
            torch = {
                "allocated": 3.5 * GIB + 3 * GIB * busy,
                "reserved": 8 * GIB,
                "peak": 6.8 * GIB,
            }
            for kind, size in held.items():
                yield Series("soloist_gpu_memory_bytes", {**of, "kind": kind}, size)
            for kind, size in torch.items():
                yield Series("soloist_gpu_memory_torch_bytes", {**of, "kind": kind}, size)
            yield Series("soloist_gpu_utilisation_ratio", of, 0.92 * busy)
            yield Series("soloist_gpu_temperature_celsius", of, 91 if hot else 42 + 36 * heat)
            yield Series("soloist_gpu_power_watts", of, 18 + 50 * heat)
            why = {"power": heat > 0.95, "thermal": hot, "hardware": False}
            for reason, slowed in why.items():
                yield Series("soloist_gpu_throttled", {**of, "reason": reason}, slowed)
