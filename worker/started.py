"""What a worker says once when it is ready: what it has loaded, on what, in which time and in how much memory."""

import logging
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

from contract.catalog import ModelSpec
from worker import metrics
from worker.device import Device
from worker.models import memory

logger = logging.getLogger(__name__)

PHASES = ("import", "load", "warm_up", "connect")
_taken: dict[str, float] = {}


def took(phase: str, seconds: float) -> None:
    """Note how long one of PHASES took."""
    _taken[phase] = seconds
    metrics.START_SECONDS.labels(phase).set(seconds)


def tell(spec: ModelSpec, version: str, device: Device, model: Any) -> None:
    """Write the line. `model` is what was loaded; of a `python` model nobody knows the type of its numbers."""
    inner = getattr(getattr(model, "model", None), "dtype", None)
    facts = {
        "model": spec.name,
        "model_version": version,
        "source": spec.source or spec.python,
        "task": spec.task,
        "device": device.name or device.torch_name,
        "dtype": str(inner).removeprefix("torch.") if inner is not None else None,
        "memory_bytes": resident_bytes(),
        "device_memory_bytes": memory.held().get("reserved"),
        **{f"{phase}_seconds": round(_taken[phase], 3) for phase in PHASES if phase in _taken},
    }
    logger.info("ready", extra=facts)


def resident_bytes() -> int | None:
    """What this process has in memory; None where the system does not say it."""
    with suppress(OSError, ValueError):
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")
    return None
