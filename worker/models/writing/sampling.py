"""Sampling whose outcome depends on the prediction alone, not on its batch."""

from hashlib import blake2b
from typing import Any

import numpy as np
import torch
from transformers import LogitsProcessor

from worker.models.passes.rows import Row


def find_seed(row: Row, seed: int | None) -> int:
    """The caller's seed or, so that a second attempt streams the same text, the prediction's id."""
    name = f"{row.item.id if seed is None else seed}/{row.number}"
    return int.from_bytes(blake2b(name.encode(), digest_size=8).digest())


class SeededSampling(LogitsProcessor):
    """Draws each row's token itself, from the row's own generator, and leaves no other to choose.

    transformers' `do_sample` draws for the whole batch from one generator: a row's text would change
    with the rows beside it. So `generate` is asked for its greedy choice, after this has chosen.
    """

    def __init__(self, seeds: list[int | None]) -> None:
        """`seeds`: one a row; None for a row whose likeliest token is taken."""
        self._draws = [None if seed is None else np.random.default_rng(seed) for seed in seeds]

    def __call__(self, input_ids: Any, scores: Any) -> Any:
        """`scores` (rows, vocabulary), all but the drawn token of each row that draws at minus infinity."""
        sums = torch.softmax(scores.double(), dim=-1).cumsum(dim=-1)
        points = [0.0 if draw is None else draw.random() for draw in self._draws]
        drawn = (
            torch.tensor(points, dtype=sums.dtype, device=sums.device).unsqueeze(1) * sums[:, -1:]
        )
        # the first token whose sum passes the point has a probability above zero
        chosen = torch.searchsorted(sums, drawn, right=True).clamp_(max=scores.shape[1] - 1)
        only = torch.full_like(scores, float("-inf")).scatter_(1, chosen, 0.0)
        greedy = torch.tensor([draw is None for draw in self._draws], device=scores.device)
        return torch.where(greedy[:, None], scores, only)
