"""Sampling: what is drawn follows from the prediction and its seed, and from nothing beside it."""

from typing import Any

import torch

from worker.models.interface import Item
from worker.models.passes.rows import Row
from worker.models.writing.sampling import SeededSampling, find_seed

LIKELY = torch.tensor([0.5, 0.3, 0.0, 0.2])


def draw(seeds: list[int | None], steps: int = 8) -> Any:
    """The tokens (steps, rows) that rows with these seeds draw, one after the other."""
    sampling = SeededSampling(seeds)
    scores = LIKELY.log().repeat(len(seeds), 1)
    return torch.stack([sampling(None, scores).argmax(dim=1) for _ in range(steps)])


def row(id: str, number: int = 0) -> Row:
    return Row("", {}, Item(id, {}), number)


def test_tokens_are_drawn_as_often_as_they_are_likely() -> None:
    chosen = draw(list(range(4000)), steps=1)[0]
    shares = torch.bincount(chosen, minlength=4) / 4000
    assert shares[2] == 0
    assert torch.allclose(shares, LIKELY, atol=0.03)


def test_a_row_draws_the_same_alone_and_beside_any_others() -> None:
    alone = draw([7])[:, 0]

    assert torch.equal(draw([7, 8, None, 9])[:, 0], alone)
    assert torch.equal(draw([None, 9, 8, 7])[:, 3], alone)
    assert not torch.equal(draw([8])[:, 0], alone)


def test_a_row_that_does_not_draw_keeps_its_scores() -> None:
    scores = LIKELY.log().repeat(2, 1)
    kept, drawn = SeededSampling([None, 3])(None, scores)

    assert torch.equal(kept, scores[0])
    assert torch.isfinite(drawn).sum() == 1


def test_the_callers_seed_and_the_place_in_the_list_decide_not_the_prediction() -> None:
    assert find_seed(row("a"), 5) == find_seed(row("b"), 5)
    assert find_seed(row("a"), 5) != find_seed(row("a"), 6)
    assert find_seed(row("a", 0), 5) != find_seed(row("a", 1), 5)
    assert find_seed(row("a"), 0) != find_seed(row("a"), None)


def test_without_a_seed_a_second_attempt_draws_as_the_first_did() -> None:
    assert find_seed(row("a"), None) == find_seed(row("a"), None)
    assert find_seed(row("a"), None) != find_seed(row("b"), None)
