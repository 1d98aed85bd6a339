"""A Soloist of real processes that Prometheus watches as it would in a cluster, and what its client counts."""

import threading
from collections import Counter
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import yaml

from tests.e2e.stack import Stack, Worker
from tests.observability.live.cluster import GPU_NAME, Cluster, gpu_of
from tests.observability.live.prometheus import Prometheus
from tests.observability.live.surroundings import NAMESPACE, RELEASE, Surroundings

JOB = f"{NAMESPACE}/{RELEASE}"
FILE = "processes"
GATEWAY, KEEPER = f"{RELEASE}-gateway-7c9d5-lm2sv", f"{RELEASE}-keeper-5f6b8-8tznd"
SUFFIXES = ("x2lq4", "p8wkc", "tn4vd", "9zrhb", "f6jm2", "q5xsd", "7bcgk", "w4nvt", "hd8lr")


class Scene(Stack):
    """Ledger, gateway and keeper; workers as the script wants them. `most` workers of each model are what
    the surroundings say that it may have.
    """

    def __init__(
        self,
        folder: Path,
        models: Mapping[str, dict[str, Any]],
        most: Mapping[str, int],
        rules: list[dict[str, Any]],
        **settings: object,
    ) -> None:
        super().__init__(folder, "shared")
        self.env |= {f"SOLOIST_{name}": str(value) for name, value in settings.items()}
        self._models = models
        self._around = ExitStack()
        self.surroundings = Surroundings()
        folder.mkdir(parents=True, exist_ok=True)
        jobs = [our_job(), *self.surroundings.jobs]
        self.prometheus = Prometheus(folder / "prometheus", jobs, rules)
        self.cluster = Cluster(self.prometheus, most)
        self.surroundings.told |= {
            "kube-state-metrics": self.cluster.kubernetes,
            "keda": self.cluster.keda,
            "dcgm-exporter": self.cluster.dcgm,
            "nvml": self.cluster.nvml,
        }
        self.pods: dict[str, Worker] = {}
        self.answers: Counter[tuple[str, int]] = Counter()
        """What the client got, by method and status."""
        self._lock = threading.Lock()
        self._started = 0

    def watch(self) -> None:
        """Start what looks on, before there is anything to see."""
        self.prometheus.look_at(FILE, [])
        self._around.enter_context(self.surroundings)
        self._around.enter_context(self.prometheus)

    def begin(self) -> None:
        """Start ledger, gateway and keeper, and let Prometheus look at them."""
        super().__enter__()
        self.http.event_hooks["response"].append(self._count)
        self._show()

    def close(self) -> None:
        if self in Stack.live:
            super().close()
        self._around.close()

    def _write_catalog(self) -> None:
        usual = {"python": "tests.e2e.models:Echo", "device": "cpu"}
        models = {}
        for name, entry in self._models.items():
            options = {"runs": str(self.runs_file), **entry.get("options", {})}
            models[name] = {**usual, **entry, "options": options}
        (self.folder / "catalog.yaml").write_text(yaml.safe_dump({"models": models}))

    def _count(self, answer: httpx.Response) -> None:
        with self._lock:
            self.answers[answer.request.method, answer.status_code] += 1

    # The workers.

    def add(self, model: str, **settings: object) -> str:
        """Start a worker; the name of its pod."""
        suffix = SUFFIXES[self._started % len(SUFFIXES)]
        self._started += 1
        pod = f"{RELEASE}-worker-{model}-6d8f4{self._started:x}-{suffix}"
        worker = self.worker(model, WORKER_NAME=pod, **settings)
        self.pods[pod] = worker
        self.cluster.workers[pod] = f"127.0.0.1:{worker.port}", model
        self._show()
        return pod

    def forget(self, pod: str) -> Worker:
        """A pod that has ended is no target any more."""
        del self.cluster.workers[pod]
        self._show()
        return self.pods.pop(pod)

    def _show(self) -> None:
        """Name the processes to Prometheus, labeled as the chart's PodMonitor has them."""
        found = [
            ("gateway", GATEWAY, f"127.0.0.1:{self.port}"),
            ("keeper", KEEPER, f"127.0.0.1:{self.keeper_port}"),
            *(("worker", pod, address) for pod, (address, _) in self.cluster.workers.items()),
        ]
        targets = [
            (
                address,
                {"namespace": NAMESPACE, "pod": pod, "container": container, "endpoint": "http"},
            )
            for container, pod, address in found
        ]
        self.prometheus.look_at(FILE, targets)


def our_job() -> dict[str, Any]:
    """Our processes; every worker is given the device that the surroundings tell of."""
    device = {"gpu_uuid": gpu_of("$1"), "gpu_name": GPU_NAME, "device": "cuda:0"}
    return {
        "job_name": JOB,
        "file_sd_configs": [{"files": [f"{FILE}.json"], "refresh_interval": "1s"}],
        "metric_relabel_configs": [
            {
                "source_labels": ["__name__", "pod"],
                "regex": "soloist_worker_info;.+-([^-]+-[^-]+)",
                "target_label": label,
                "replacement": value,
            }
            for label, value in device.items()
        ],
    }
