"""What torch has of the device's memory. Does not import torch itself."""

import sys


def held() -> dict[str, int]:
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
