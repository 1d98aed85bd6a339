"""What torch has loaded: its share of the device's memory, the type of a model's weights. Imports no torch itself."""

import sys
from collections.abc import Iterator
from typing import Any

MOST_STEPS = 4
"""How deep the torch module may lie in a model's attributes: task, embedding model, encoder, module."""


def read_device_memory() -> dict[str, int]:
    """Bytes: `allocated` to tensors, `reserved` from the device, `peak` of the allocated; empty where torch
    does not use CUDA.
    """
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_initialized():
        return {}
    stats = torch.cuda.memory_stats()
    return {
        "allocated": stats["allocated_bytes.all.current"],
        "reserved": stats["reserved_bytes.all.current"],
        "peak": stats["allocated_bytes.all.peak"],
    }


def find_weights_type(model: Any) -> str | None:
    """As in `bfloat16`, of the torch module nearest to a model among its attributes; None where there is none."""
    torch = sys.modules.get("torch")
    parts = [model]
    for _ in range(MOST_STEPS if torch else 0):
        for part in parts:
            if isinstance(part, torch.nn.Module):  # type: ignore[union-attr]
                types = (weight.dtype for weight in part.parameters() if weight.is_floating_point())
                if found := next(types, None):  # an activation is a module, and has none
                    return str(found).removeprefix("torch.")
        home = type(model).__module__.partition(".")[0]
        parts = [inner for part in parts for inner in _attributes(part, home)]
    return None


def _attributes(part: Any, home: str) -> Iterator[Any]:
    """The attributes of objects whose class is of the same package as the model's."""
    if type(part).__module__.partition(".")[0] == home:
        yield from getattr(part, "__dict__", {}).values()
