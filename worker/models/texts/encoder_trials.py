"""Trials of an encoder: the batches in which it answers a text as it does alone."""

from collections.abc import Callable, Sequence
from typing import Any

import torch

from worker.models.passes.batching import Batching, find_batching

PADDING_READERS = frozenset({"convbert", "fnet", "funnel", "nystromformer", "reformer", "yoso"})
"""Model types that read the padding whatever the mask says, with convolutions or Fourier transforms across
places. Trials find them, too, but in half precision only nearly."""


def find_text_batching(
    config: Any,
    left: bool,
    encodings: Sequence[Any],
    compute: Callable[[Sequence[Any], Batching], Sequence[Any]],
) -> Batching | None:
    """The largest batches in which the model answers as alone; None if alone it answers differently each time.

    `left`: whether the tokenizer pads at the left; `encodings`: of several lengths;
    `compute(encodings, batching)`: what the model gives for each, as tensors.
    """
    alone = [compute([encoding], Batching.SINGLE)[0] for encoding in encodings]
    again = [compute([encoding], Batching.SINGLE)[0] for encoding in encodings]
    if not _equal(alone, again):
        return None

    def agrees(batching: Batching) -> bool:
        if batching.pads:
            return _equal(alone, compute(encodings, batching))
        return all(
            _equal([one] * 3, compute([encoding] * 3, batching))
            for encoding, one in zip(encodings, alone, strict=True)
        )

    return find_batching(_candidates(config, left), agrees, Batching.SINGLE)


def _candidates(config: Any, left: bool) -> list[Batching]:
    # sparse attention looks at blocks that follow from the length
    sparse = getattr(config, "attention_type", None) == "block_sparse"
    if config.model_type in PADDING_READERS or sparse:
        return [Batching.EQUAL_LENGTHS]
    if not left:
        return [Batching.PAD_RIGHT, Batching.EQUAL_LENGTHS]
    if getattr(config, "summary_type", None) == "last":  # XLNet and its kin
        return [Batching.PAD_LEFT, Batching.EQUAL_LENGTHS]
    return [Batching.PAD_RIGHT, Batching.PAD_LEFT, Batching.EQUAL_LENGTHS]


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
