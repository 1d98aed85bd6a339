"""From token vectors to the vector of a text: poolings and what may follow them, as sentence-transformers does.

Formulas: sentence_transformers 6.2, `sentence_transformer/modules/pooling.py`, `base/modules/dense.py`.
"""

from pathlib import Path
from typing import Any, Protocol

import torch
from safetensors.torch import load_file

from contract.errors import ModelUnloadable

MODES = frozenset({"cls", "max", "mean", "mean_sqrt_len_tokens", "weightedmean", "lasttoken"})


def pool_tokens(mode: str, hidden: Any, mask: Any, skipped: Any | None = None) -> Any:
    """(rows, longest, hidden) under mask (rows, longest), padded at either side, as (rows, hidden).

    `skipped` (rows,): so many tokens at the beginning of each row, its prompt, are left out.
    """
    mask = mask.bool()
    places = mask.cumsum(dim=1)  # 1 for a row's first token, whatever stands before it
    kept = mask if skipped is None else mask & (places > skipped.unsqueeze(1))
    rows = torch.arange(len(hidden), device=hidden.device)
    if mode == "cls":
        return hidden[rows, kept.int().argmax(dim=1)]
    if mode == "lasttoken":
        return hidden[rows, kept.shape[1] - 1 - kept.flip(1).int().argmax(dim=1)]
    if mode == "max":
        return hidden.masked_fill(~kept.unsqueeze(-1), float("-inf")).amax(dim=1)
    weights = kept.to(hidden.dtype)
    if mode == "weightedmean":
        weights = weights * places
    total = torch.bmm(weights.unsqueeze(1), hidden.masked_fill(~kept.unsqueeze(-1), 0)).squeeze(1)
    counts = weights.sum(dim=1, keepdim=True)
    return total / (counts.sqrt() if mode == "mean_sqrt_len_tokens" else counts)


class Step(Protocol):
    """A function of vectors (rows, width) that is part of the model."""

    def to(self, device: str) -> Any: ...

    def __call__(self, vectors: Any) -> Any: ...


class Normalize(torch.nn.Module):
    """Each vector at length 1."""

    def forward(self, vectors: Any) -> Any:
        return torch.nn.functional.normalize(vectors, dim=-1)


class Dense(torch.nn.Module):
    """A matrix and an activation, with a residual connection where the model has one."""

    def __init__(self, file: Path, activation: Any, *, residual: bool) -> None:
        super().__init__()
        given = _tensors(file, {"linear.weight"}, {"linear.bias", "residual.weight"})
        self.linear, self.bias = given["linear.weight"], given.get("linear.bias")
        self.activation = activation.eval()
        self.residual = given.get("residual.weight") if residual else None
        self._around = residual

    def forward(self, vectors: Any) -> Any:
        found = self.activation(torch.nn.functional.linear(vectors, self.linear, self.bias))
        if not self._around:
            return found
        if self.residual is None:
            return found + vectors
        return found + torch.nn.functional.linear(vectors, self.residual)


class LayerNorm(torch.nn.Module):
    """Each vector normalised over its width, scaled and moved."""

    def __init__(self, file: Path) -> None:
        super().__init__()
        given = _tensors(file, {"norm.weight", "norm.bias"}, set())
        self.weight, self.bias = given["norm.weight"], given["norm.bias"]

    def forward(self, vectors: Any) -> Any:
        return torch.nn.functional.layer_norm(vectors, self.weight.shape, self.weight, self.bias)


def _tensors(file: Path, needed: set[str], more: set[str]) -> dict[str, torch.nn.Buffer]:
    """The tensors of a file as float32; others than these are refused."""
    found = load_file(file)
    if wrong := sorted((needed - set(found)) | (set(found) - needed - more)):
        raise ModelUnloadable(
            f"{file.parent.name}/{file.name} has not the weights {', '.join(sorted(needed))}: {wrong[0]!r} is "
            "missing or unknown; save the model anew with `SentenceTransformer(folder).save_pretrained(folder)`"
        )
    return {name: torch.nn.Buffer(tensor.float()) for name, tensor in found.items()}
