"""Sampling whose outcome depends on the prediction alone, not on who shares its batch."""

from hashlib import blake2b
from typing import Any

import numpy as np
import torch
from transformers import (
    LogitsProcessor,
    LogitsProcessorList,
    MinPLogitsWarper,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from worker.models.rows import Row


def seed_of(row: Row, seed: int | None) -> int:
    """The caller's seed or, so that a second attempt streams the same text, the prediction's id."""
    name = f"{row.item.id if seed is None else seed}/{row.number}"
    return int.from_bytes(blake2b(name.encode(), digest_size=8).digest())


class SeededSampling(LogitsProcessor):
    """Draws each row's token itself, from the row's own generator, and leaves no other to choose.

    transformers' `do_sample` draws for the whole batch from one generator: a row's text would change
    with the rows beside it. So `generate` is asked for its greedy choice, after this has chosen.
    """

    def __init__(
        self,
        seeds: list[int],
        *,
        temperature: float = 1.0,
        top_k: int = 0,
        top_p: float = 1.0,
        min_p: float = 0.0,
    ) -> None:
        self._draws = [np.random.default_rng(seed) for seed in seeds]
        self._warpers = LogitsProcessorList()
        if temperature != 1.0:
            self._warpers.append(TemperatureLogitsWarper(float(temperature)))
        if top_k:
            self._warpers.append(TopKLogitsWarper(top_k))
        if top_p < 1.0:
            self._warpers.append(TopPLogitsWarper(float(top_p)))
        if min_p:
            self._warpers.append(MinPLogitsWarper(float(min_p)))

    def __call__(self, input_ids: Any, scores: Any) -> Any:
        """`scores` (rows, vocabulary) with all but the drawn token of each row at minus infinity."""
        sums = torch.softmax(self._warpers(input_ids, scores).double(), dim=-1).cumsum(dim=-1)
        points = [draw.random() for draw in self._draws]
        drawn = (
            torch.tensor(points, dtype=sums.dtype, device=sums.device).unsqueeze(1) * sums[:, -1:]
        )
        # the first token whose sum passes the point has a probability above zero
        chosen = torch.searchsorted(sums, drawn, right=True).clamp_(max=scores.shape[1] - 1)
        return torch.full_like(scores, float("-inf")).scatter_(1, chosen, 0.0)
