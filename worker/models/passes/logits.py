"""Rows whose logits are NaN or infinite: no answer is made of them."""

from typing import Any

import numpy as np
import torch

from contract.errors import OutputInvalid

NOT_FINITE = "The model computed NaN or infinity for this input"


def find_invalid_rows(values: Any, real: Any = None) -> list[OutputInvalid | None]:
    """For each row of `values` (rows, ...), a tensor or an array: the error that it is, or None.

    A row is unusable that holds NaN or plus infinity, or nothing but minus infinity, which alone is how
    models rule out a choice. `real` (rows, longest): True, or 1, where a row is no padding; what was
    computed for padding does not count.
    """
    tensor = values if isinstance(values, torch.Tensor) else torch.from_numpy(np.asarray(values))
    with torch.inference_mode():
        if tensor.isfinite().all():
            return [None] * len(tensor)
        wrong = tensor.isnan() | (tensor == float("inf"))
        ruled_out = tensor == float("-inf")
        if real is not None:
            shape = (*tensor.shape[:2], *[1] * (tensor.dim() - 2))
            padding = ~torch.as_tensor(real, device=tensor.device).bool().reshape(shape)
            wrong, ruled_out = wrong & ~padding, ruled_out | padding
        rows = len(tensor)
        lost = wrong.reshape(rows, -1).any(dim=1) | ruled_out.reshape(rows, -1).all(dim=1)
        return [OutputInvalid(NOT_FINITE) if row else None for row in lost.tolist()]
