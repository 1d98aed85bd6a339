"""The log line of a worker that is ready: what it has loaded, on which device, in which time and memory."""

import logging
import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from contract.catalog import ModelSpec
from worker import metrics
from worker.device import Device
from worker.models import torch_memory

logger = logging.getLogger(__name__)

PHASES = ("import", "load", "warm_up", "connect")
MOST_CHARACTERS = 200
_taken: dict[str, float] = {}


def note_seconds(phase: str, seconds: float) -> None:
    """Note how long one of PHASES took."""
    _taken[phase] = seconds
    metrics.START_SECONDS.labels(phase).set(seconds)


def log_start(spec: ModelSpec, version: str, device: Device, model: Any) -> str:
    """Write the line, and give it in a few words for those who see no log. `model` is what was loaded."""
    facts: dict[str, Any] = {
        "model": spec.name,
        "model_version": version,
        "source": spec.source or spec.python,
        "task": spec.task,
        "device": device.name or device.torch_name,
        "dtype": torch_memory.find_weights_type(model),
        "memory_bytes": resident_bytes(),
        "device_memory_bytes": torch_memory.read_device_memory().get("reserved"),
        **{f"{phase}_seconds": round(_taken[phase], 3) for phase in PHASES if phase in _taken},
    }
    logger.info("ready", extra=facts)
    return summarise(facts)


def summarise(facts: Mapping[str, Any]) -> str:
    """As in `bfloat16 on NVIDIA H200, 41 s, 1.2 GiB, 14 GiB on the device`."""
    seconds = sum(facts.get(f"{phase}_seconds", 0.0) for phase in PHASES)
    parts = [
        " on ".join(filter(None, (facts["dtype"], facts["device"]))),
        f"{seconds:.0f} s",
        facts["memory_bytes"] and _size(facts["memory_bytes"]),
        facts["device_memory_bytes"] and f"{_size(facts['device_memory_bytes'])} on the device",
    ]
    return ", ".join(filter(None, parts))[:MOST_CHARACTERS]


def _size(count: int) -> str:
    return f"{count / 2**30:.3g} GiB" if count >= 2**30 else f"{count / 2**20:.0f} MiB"


def resident_bytes() -> int | None:
    """What this process has in memory; None where the system does not say it."""
    with suppress(OSError, ValueError):
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")
    return None
