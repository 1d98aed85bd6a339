"""Whether a model answers a text in company as it does alone, and what company it can be in.

Most models do when rows are filled up at the right. Those that read the last place are filled at the
left, if their tokenizer says so. Some read the padding whatever the mask says, with convolutions or
Fourier transforms across places: their rows share a pass only with rows of the same length.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

MIXING = frozenset({"convbert", "fnet", "funnel", "nystromformer", "reformer", "yoso"})
"""Model types that read the padding. They would be found out, but in half precision only nearly."""


@dataclass(frozen=True, slots=True)
class Company:
    """What rows may share a pass."""

    left: bool = False
    """Filled up at the left."""
    lengths: bool = True
    """Of unequal lengths."""
    rows: bool = True
    """More than one."""


AT_THE_RIGHT, AT_THE_LEFT = Company(), Company(left=True)
OF_ONE_LENGTH, ALONE = Company(lengths=False), Company(lengths=False, rows=False)


def company_of(
    config: Any,
    left: bool,
    encodings: Sequence[Any],
    compute: Callable[[Sequence[Any], Company], Sequence[Any]],
) -> Company | None:
    """The best company in which the model answers as alone; None if alone it answers differently each time.

    `left`: whether the tokenizer fills up at the left; `encodings`: of several lengths;
    `compute(encodings, company)`: what the model gives for each, as tensors.
    """
    sparse = (
        getattr(config, "attention_type", None) == "block_sparse"
    )  # blocks follow from the length
    alone = [compute([encoding], ALONE)[0] for encoding in encodings]
    again = [compute([encoding], ALONE)[0] for encoding in encodings]
    if not _equal(alone, again):
        return None
    last = getattr(config, "summary_type", None) == "last"  # XLNet's, and its kin's
    sides = ((AT_THE_LEFT,) if last else (AT_THE_RIGHT, AT_THE_LEFT)) if left else (AT_THE_RIGHT,)
    if config.model_type not in MIXING and not sparse:
        for found in sides:
            if _equal(alone, compute(encodings, found)):
                return found
    for encoding, one in zip(encodings, alone, strict=True):
        if not _equal([one] * 3, compute([encoding] * 3, OF_ONE_LENGTH)):
            return ALONE
    return OF_ONE_LENGTH


def _equal(some: Sequence[Any], others: Sequence[Any]) -> bool:
    """Up to rounding, which half types do coarsely and differently for every shape of a batch."""
    share, least = (5e-4, 1e-6) if some[0].dtype == torch.float32 else (5e-2, 1e-2)
    largest = max(float(one.float().nan_to_num().abs().max()) for one in some)
    return all(
        one.shape == other.shape
        and torch.allclose(
            one.float(), other.float(), rtol=0, atol=share * largest + least, equal_nan=True
        )
        for one, other in zip(some, others, strict=True)
    )
