"""Texts that a model reads beside an image: labels and questions."""

from collections.abc import Container, Sequence
from typing import Any

import torch

from contract.errors import BadItem
from worker.models.files.checkpoint import Checkpoint
from worker.models.passes.rows import call_each
from worker.models.texts.model_limits import find_longest_input
from worker.models.torch_errors import first_line


class TextInputs:
    """The tokenizer of a model that reads texts and images."""

    def __init__(self, checkpoint: Checkpoint, model: Any, accepted: Container[str]) -> None:
        """`accepted`: the names of what the model's forward pass takes."""
        self._tokenizer = checkpoint.load_tokenizer()
        self._accepted = accepted
        tower = next((getattr(model, name) for name in TOWERS if hasattr(model, name)), model)
        self._limit = find_longest_input(self._tokenizer, tower)
        self._words = _rows(tower)

    def tokenize(
        self, texts: Sequence[str], *, length: int | None = None
    ) -> dict[str, torch.Tensor]:
        """What the model reads of the texts, one row each; padded to `length`, or to the longest.

        Raises:
            BadItem: one has no token, more than the model reads, or one that it does not know.
        """
        limit = min(length or self._limit, self._limit)
        found = call_each(list(texts), lambda some: list(self._tokenizer(some)["input_ids"]))
        for text, ids in zip(texts, found, strict=True):
            if isinstance(ids, Exception):
                raise BadItem(f"A text cannot be tokenised: {first_line(ids)}")
            if not ids:
                raise BadItem(f"The text {text[:40]!r} has no token that the model reads")
            if len(ids) > limit:
                raise BadItem(
                    f"The text {text[:40]!r} has {len(ids)} tokens, and the model reads {limit}"
                )
            if max(ids) >= self._words:
                raise BadItem(
                    f"The text {text[:40]!r} has a token that the tokenizer has and the model has not"
                )
        padding: dict[str, Any] = {"padding": True} if len(texts) > 1 else {}
        if length is not None:
            padding = {"padding": "max_length", "max_length": length}
        inputs = self._tokenizer(list(texts), return_tensors="pt", **padding)
        return {name: array for name, array in inputs.items() if name in self._accepted}


TOWERS = "text_model", "text_encoder"
"""Where models of two parts have the one that reads texts."""


def _rows(tower: Any) -> int:
    """How many tokens the model has an embedding for."""
    try:
        return int(tower.get_input_embeddings().num_embeddings)
    except (AttributeError, NotImplementedError):
        return int(tower.config.vocab_size)
