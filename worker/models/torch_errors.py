"""What an exception of torch or of a model means to the worker. Does not import torch itself."""

import gc
import re
import sys
import traceback
from importlib.util import find_spec
from pathlib import Path

from contract.errors import DeviceLost, ModelError, OutOfMemory, SoloistError

NO_MEMORY = (
    "can't allocate memory",
    "cuda out of memory",
    "cuda error: out of memory",
    "cublas_status_alloc_failed",
)
LOST = (
    "device-side assert",
    "illegal memory access",
    "illegal instruction",
    "misaligned address",
    "unspecified launch failure",
    "uncorrectable ecc error",
    "cuda error: an illegal",
    "cuda error: invalid program counter",
    "cuda error: the launch timed out",
    "cuda error: unknown error",
    "cuda_error_illegal_address",
    "cublas_status_execution_failed",
    "cublas_status_internal_error",
    "cudnn_status_execution_failed",
    "gpu is lost",
    "bus error",
)
"""Marks of sticky errors: after one of them every call of this process to the device fails.

https://docs.nvidia.com/cuda/cuda-runtime-api/group__CUDART__TYPES.html says of each that "the process
must be terminated and relaunched".
"""


def translate_error(exc: BaseException) -> SoloistError:
    """The exception as one of ours, which decides what the worker does: split, hand back and exit, or fail."""
    if isinstance(exc, SoloistError):
        return exc
    text = str(exc).lower()
    if isinstance(exc, MemoryError) or _is_torch(exc, "OutOfMemoryError"):
        return OutOfMemory(OutOfMemory.title)
    if isinstance(exc, RuntimeError) and any(mark in text for mark in NO_MEMORY):
        return OutOfMemory(OutOfMemory.title)
    if _is_torch(exc, "AcceleratorError"):
        return DeviceLost(first_line(exc))
    if isinstance(exc, RuntimeError) and any(mark in text for mark in LOST):
        return DeviceLost(first_line(exc))
    return ModelError(
        f"{type(exc).__name__}: {first_line(exc)}" if str(exc) else type(exc).__name__
    )


def first_line(exc: BaseException, length: int = 200) -> str:
    """The first line that says something, without what follows: traces, hints, listings."""
    lines = (line.strip() for line in str(exc).splitlines())
    line = next((line for line in lines if line), type(exc).__name__)
    return line if len(line) <= length else line[: length - 1] + "…"


EXTRAS = {
    "sentencepiece": "sentencepiece",
    "protobuf": "sentencepiece",
    "google": "sentencepiece",
    "tiktoken": "tiktoken",
    "timm": "timm",
    "torchvision": "timm",
    "av": "ffmpeg",
}
"""The extra of ours that brings a package."""
PIP = {"google": "protobuf", "cv2": "opencv-python-headless", "sklearn": "scikit-learn"}
NEEDED = (
    re.compile(r"No module named '(\w+)"),
    re.compile(r"requires the (\w+) library", re.IGNORECASE),
    re.compile(r"[`\"]pip install ([\w-]+)"),
    re.compile(r"need to have (sentencepiece)"),
    re.compile(r"requires? `?(\w[\w-]*)`? to be installed"),
)


def explain_load_error(exc: BaseException, length: int = 500) -> str:
    """Why a load failed, in one line: the package that is missing and how to install it, else the error."""
    text = " ".join(str(exc).split())
    package = next((found[1] for one in NEEDED if (found := one.search(text))), None)
    if package is None or find_spec(package.lower()) is not None:
        return f"{type(exc).__name__}: {text[:length]}{'…' * (len(text) > length)}"
    return name_missing_package(package)


def name_missing_package(package: str) -> str:
    """The sentence for a missing package, with the command that installs it."""
    name = package.lower()
    pip, extra = PIP.get(name, name), EXTRAS.get(name)
    way = f"`pip install {pip}`"
    if extra:
        way += (
            f", or the worker with the extra `{extra}` (`pip install 'soloist[worker,{extra}]'`; the image: "
            f"`--build-arg EXTRAS={extra}`)"
        )
    return f"the package {pip!r} is not installed: {way}"


def raised_at(exc: BaseException) -> str:
    """Where in the code it was raised, as `file.py:12`."""
    frames = traceback.extract_tb(exc.__traceback__)
    return f"{Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""


def free_memory() -> None:
    """Give what a failed pass held back to the device, so that a smaller one may fit."""
    gc.collect()  # tensors in reference cycles (a traceback's frames) still hold their memory
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available() and torch.cuda.is_initialized():
        torch.cuda.empty_cache()


def _is_torch(exc: BaseException, name: str) -> bool:
    torch = sys.modules.get("torch")
    kind = getattr(torch, name, None)
    return isinstance(kind, type) and isinstance(exc, kind)
