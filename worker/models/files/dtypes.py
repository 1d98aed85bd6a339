"""The type of numbers that a model is loaded and computed in, as the table in docs/models.md has it."""

from typing import Any

import torch

ASKED = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}
STORED = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "F8_E4M3": torch.float8_e4m3fn,
    "F8_E5M2": torch.float8_e5m2,
}
"""The names of safetensors."""
OVERFLOW = "; its numbers are float16, which ends at 65504: set `dtype` to `bfloat16` or `float32` in the catalog"


def choose_dtype(asked: str, device: str, said: Any, stored: str, *, bfloat16: bool = True) -> Any:
    """The type for a model.

    `asked`: the catalog's `dtype`; `said`: what its config.json says, if anything; `stored`: what most of
    its weights have, as safetensors names it; `bfloat16`: whether the device computes in that by itself.
    """
    if asked != "auto":
        return ASKED[asked]
    if device == "cpu":
        return torch.float32  # half types are slow there, and nothing is lost
    kept = STORED.get(stored, torch.float32)
    own = getattr(torch, said, None) if isinstance(said, str) else said
    if own is None or (own == torch.float16 and kept != torch.float16):
        own = kept  # to narrow to float16 may overflow
    if own in (torch.float8_e4m3fn, torch.float8_e5m2):
        own = torch.bfloat16
    if own == torch.bfloat16 and not bfloat16:
        return torch.float32
    return own if own in ASKED.values() else torch.float32


def has_native_bfloat16(device: str) -> bool:
    """Whether the device computes in bfloat16 by itself: GPUs since Ampere do."""
    if not torch.cuda.is_available():
        return True
    return bool(torch.cuda.get_device_capability(device)[0] >= 8)
