"""Watches the GPU that this worker holds, in a thread of its own: NVML may take its time."""

import logging
from collections.abc import Callable, Mapping
from threading import Event, Thread
from typing import Any

from prometheus_client import Gauge

from worker import metrics
from worker.models import torch_memory

logger = logging.getLogger(__name__)

EXPORT_SECONDS = 5.0

# https://docs.nvidia.com/deploy/nvml-api/group__nvmlClocksEventReasons.html
THROTTLES = {
    "power": 0x04,  # software power cap
    "thermal": 0x20 | 0x40,  # software and hardware thermal slowdown
    "hardware": 0x08 | 0x80,  # hardware slowdown and power brake
}


def watch_gpu(uuid: str) -> None:
    """Export what the device of this UUID does, until the process ends. Where NVML fails, nothing is."""
    Thread(target=_run, args=[uuid], name="gpu", daemon=True).start()


def _run(uuid: str) -> None:
    try:
        import pynvml

        pynvml.nvmlInit()
        gpu = Gpu(pynvml, uuid)
    except Exception:
        logger.debug("NVML does not know the device", exc_info=True)
        return
    pause = Event()
    while True:
        try:
            gpu.export()
        except Exception:
            logger.debug("a look at the device failed", exc_info=True)
        pause.wait(EXPORT_SECONDS)


class Gpu:
    """One device as NVML and torch see it."""

    def __init__(self, nvml: Any, uuid: str) -> None:
        self._nvml = nvml
        self._uuid = uuid
        self._gpu = nvml.nvmlDeviceGetHandleByUUID(uuid)
        self._card = self._gpu
        if nvml.nvmlDeviceIsMigDeviceHandle(self._gpu):
            # A slice knows its memory; heat and power are the whole card's.
            self._card = nvml.nvmlDeviceGetDeviceHandleFromMigDeviceHandle(self._gpu)

    def export(self) -> None:
        """Read everything once."""
        self._export(metrics.GPU_MEMORY, self._memory)
        self._export(metrics.GPU_UTILISATION, self._utilisation)
        self._export(metrics.GPU_TEMPERATURE, self._temperature)
        self._export(metrics.GPU_POWER, self._power)
        self._export(metrics.GPU_THROTTLED, self._throttled)
        self._export(metrics.GPU_MEMORY_TORCH, torch_memory.read_device_memory)

    def _export(self, metric: Gauge, read: Callable[[], Mapping[str, float] | float]) -> None:
        """What cannot be read is absent; an old value would look like a new one."""
        try:
            found = read()
        except self._nvml.NVMLError:
            metric.clear()
            return
        if isinstance(found, Mapping):
            for label, value in found.items():
                metric.labels(self._uuid, label).set(value)
        else:
            metric.labels(self._uuid).set(found)

    def _memory(self) -> dict[str, float]:
        found = self._nvml.nvmlDeviceGetMemoryInfo(self._gpu)
        return {"used": found.used, "total": found.total}

    def _utilisation(self) -> float:
        return float(self._nvml.nvmlDeviceGetUtilizationRates(self._gpu).gpu) / 100

    def _temperature(self) -> float:
        nvml = self._nvml
        return float(nvml.nvmlDeviceGetTemperature(self._card, nvml.NVML_TEMPERATURE_GPU))

    def _power(self) -> float:
        return float(self._nvml.nvmlDeviceGetPowerUsage(self._card)) / 1000

    def _throttled(self) -> dict[str, float]:
        # By its older name, which drivers before 535 know too.
        reasons = self._nvml.nvmlDeviceGetCurrentClocksThrottleReasons(self._card)
        return {reason: float(bool(reasons & bits)) for reason, bits in THROTTLES.items()}
