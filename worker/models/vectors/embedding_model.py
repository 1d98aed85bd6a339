"""A model that makes vectors of texts, by its recipe."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

from contract.catalog import ModelSpec
from contract.errors import BadItem, OutputInvalid
from worker.models.passes.logits import NOT_FINITE
from worker.models.passes.rows import Row
from worker.models.texts.encoder import Encoder
from worker.models.vectors.pooling import Normalize, pool_tokens
from worker.models.vectors.recipe import EmbeddingCheckpoint


class EmbeddingModel:
    """A model that gives one vector a text, or one a token."""

    def __init__(self, spec: ModelSpec, device: str) -> None:
        self.checkpoint = checkpoint = EmbeddingCheckpoint(spec)
        self.recipe = recipe = checkpoint.recipe
        self.encoder = Encoder(checkpoint, device, "AutoModel")
        self._steps = [step.to(device) for step in recipe.steps]
        self._normal = bool(self._steps) and isinstance(self._steps[-1], Normalize)
        if self._normal:
            self._steps.pop()  # what the caller may decide
        self._prompts = {text: self._length(text) for text in {"", *recipe.prompts.values()}}

    def embed_rows(self, rows: list[Row]) -> None:
        """Give each row its vector (width,) or vectors (tokens, width), float32, as its result."""
        prompts = [self._prompt(row) for row in rows]
        for side in sorted({self._side(row) for row in rows}):
            mine = [index for index, row in enumerate(rows) if self._side(row) == side]
            group = [rows[index] for index in mine]
            texts = [prompts[index] + rows[index].value for index in mine]
            with self._cut_at(side):
                for indexes, encodings in self.encoder.passes(group, texts, self._check):
                    output, mask = self.encoder.forward(encodings)
                    members = [group[index] for index in indexes]
                    skipped = [self._prompts[prompts[mine[index]]] for index in indexes]
                    vectors = self._pool(output[0].float(), mask, skipped, members)
                    for row, vector in zip(members, vectors, strict=True):
                        row.result = self._finished(row, vector)

    def _length(self, prompt: str) -> int:
        """How many tokens of a text are its prompt, if they are to be left out of the pooling."""
        if not prompt or self.recipe.include_prompt:
            return 0
        ids = self.encoder.tokenize([prompt])[0].ids
        return len(ids) - (ids[-1] in self.encoder.tokenizer.all_special_ids)

    def _prompt(self, row: Row) -> str:
        name = row.parameters.get("prompt_name")
        if name is None:
            return self.recipe.prompt
        if name not in self.recipe.prompts:
            known = ", ".join(sorted(self.recipe.prompts))
            row.result = BadItem(f"The model has no prompt {name!r}; it has {known}")
        return self.recipe.prompts.get(name, "")

    def _side(self, row: Row) -> str:
        """From which side a text too long is cut."""
        side = row.parameters.get("truncation_direction", self.encoder.tokenizer.truncation_side)
        return str(side).lower()

    @contextmanager
    def _cut_at(self, side: str) -> Iterator[None]:
        tokenizer = self.encoder.tokenizer
        own, tokenizer.truncation_side = tokenizer.truncation_side, side
        backend = tokenizer.backend_tokenizer if tokenizer.is_fast else None
        if backend and side != own:
            backend.enable_truncation(**{**backend.truncation, "direction": side})
        try:
            yield
        finally:
            tokenizer.truncation_side = own
            if backend and side != own:
                backend.enable_truncation(**{**backend.truncation, "direction": own})

    def _check(self, row: Row, encoding: Any) -> BadItem | None:
        skipped = self._prompts[self._prompt(row)]
        if skipped and len(encoding) <= skipped:
            return BadItem("The text has no tokens behind the prompt, which alone makes no vector")
        return None

    def _pool(self, hidden: Any, mask: Any, skipped: list[int], rows: list[Row]) -> Any:
        """The vectors of (rows, longest, hidden), each normalised where that is asked for."""
        modes = self.recipe.modes
        normal = [self._normalised(row) for row in rows]
        with torch.inference_mode():
            if modes == ("none",):
                pooled = hidden
            else:
                left = torch.tensor(skipped, device=hidden.device) if any(skipped) else None
                pooled = torch.cat(
                    [pool_tokens(mode, hidden, mask, left) for mode in modes], dim=-1
                )
                for step in self._steps:
                    pooled = step(pooled)
            if any(normal):
                chosen = torch.tensor(normal, device=pooled.device)
                pooled[chosen] = torch.nn.functional.normalize(pooled[chosen], dim=-1)
        vectors = pooled.cpu().numpy()
        if modes != ("none",):
            return vectors
        return [
            vector[kept] for vector, kept in zip(vectors, mask.bool().cpu().numpy(), strict=True)
        ]

    def _normalised(self, row: Row) -> bool:
        by_itself = self._normal and self.recipe.modes != ("none",)
        return bool(row.parameters.get("normalize", by_itself))

    def _finished(self, row: Row, vector: Any) -> Any:
        if not np.isfinite(vector).all():
            return OutputInvalid(NOT_FINITE)
        asked = row.parameters.get("dimensions")
        width = vector.shape[-1]
        if asked is not None and asked > width:
            return BadItem(f"The model's vectors have {width} dimensions, not {asked}")
        kept = asked or self.recipe.dimensions
        if not kept or kept >= width or (asked is None and self.recipe.modes == ("none",)):
            return vector
        vector = vector[..., :kept].copy()
        if row.parameters.get("normalize"):
            vector /= np.maximum(np.linalg.norm(vector, axis=-1, keepdims=True), 1e-12)
        return vector
