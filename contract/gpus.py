"""The GPUs of this machine, and the slices of them, that a process may use."""

import os
from typing import Any

VISIBLE = "CUDA_VISIBLE_DEVICES"


def list_gpus() -> list[tuple[str, str]]:
    """(UUID, name) of each GPU or MIG slice that this process may use, asked of NVML, not of torch."""
    try:
        import pynvml

        pynvml.nvmlInit()
    except Exception:  # no driver, no library: no GPU
        return []
    try:
        found = []
        for index in range(pynvml.nvmlDeviceGetCount()):
            gpu = pynvml.nvmlDeviceGetHandleByIndex(index)
            slices = _mig_slices(pynvml, gpu)
            found += slices or [(pynvml.nvmlDeviceGetUUID(gpu), pynvml.nvmlDeviceGetName(gpu))]
    finally:
        pynvml.nvmlShutdown()
    return _allowed(found, os.environ.get(VISIBLE))


def _mig_slices(pynvml: Any, gpu: Any) -> list[tuple[str, str]]:
    try:
        if not pynvml.nvmlDeviceGetMigMode(gpu)[0]:
            return []
        most = pynvml.nvmlDeviceGetMaxMigDeviceCount(gpu)
    except pynvml.NVMLError:
        return []
    slices = []
    for index in range(most):
        try:
            mig = pynvml.nvmlDeviceGetMigDeviceHandleByIndex(gpu, index)
        except pynvml.NVMLError:
            continue
        slices.append((pynvml.nvmlDeviceGetUUID(mig), pynvml.nvmlDeviceGetName(mig)))
    return slices


def _allowed(found: list[tuple[str, str]], visible: str | None) -> list[tuple[str, str]]:
    """Only what CUDA_VISIBLE_DEVICES names, by index or by the beginning of a UUID, in its order, and
    nothing after a name that does not exist. As CUDA itself reads it:
    https://docs.nvidia.com/cuda/cuda-c-programming-guide/#cuda-environment-variables
    """
    if visible is None:
        return found
    chosen: list[tuple[str, str]] = []
    for word in filter(None, (w.strip() for w in visible.split(","))):
        if word.isdigit():
            named = found[int(word) : int(word) + 1]
        else:
            named = [gpu for gpu in found if gpu[0].startswith(word)][:1]
        if not named:
            break
        chosen += named
    return chosen
