"""Vectors of texts: feature-extraction and sentence-similarity, made as the model's files say."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

from contract.catalog import ModelSpec
from contract.errors import BadItem, OutputInvalid
from worker.models.files.loading import Checkpoint
from worker.models.interface import Item
from worker.models.logits import SENTENCE
from worker.models.rows import UNWANTED, Row, Rows
from worker.models.texts.text import Encoder
from worker.models.vectors.pooling import Normalize, pool
from worker.models.vectors.recipe import Embedder
from worker.models.warming import prove


class Vectors:
    """A model that gives one vector a text, or one a token."""

    def __init__(self, spec: ModelSpec, device: str) -> None:
        self.checkpoint = checkpoint = Embedder(spec)
        self.recipe = recipe = checkpoint.recipe
        self.encoder = Encoder(checkpoint, device, "AutoModel")
        self._steps = [step.to(device) for step in recipe.steps]
        self._normal = bool(self._steps) and isinstance(self._steps[-1], Normalize)
        if self._normal:
            self._steps.pop()  # what the caller may decide
        self._prompts = {text: self._length(text) for text in {"", *recipe.prompts.values()}}

    def fill(self, rows: list[Row]) -> None:
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
        ids = self.encoder.encode([prompt])[0].ids
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
                pooled = torch.cat([pool(mode, hidden, mask, left) for mode in modes], dim=-1)
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
            return OutputInvalid(SENTENCE)
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


class FeatureExtraction:
    """The vector of each text."""

    def load(self, spec: ModelSpec, device: str) -> None:
        self._vectors = Vectors(spec, device)
        prove(self._vectors.checkpoint, self, self._vectors.encoder.questions())

    def predict(self, items: list[Item]) -> list[Any]:
        rows = Rows(items)
        self._vectors.fill(rows)
        return rows.outputs()


class SentenceSimilarity:
    """How near one sentence is to others, by the similarity that the model's files name."""

    def load(self, spec: ModelSpec, device: str) -> None:
        if spec.pooling == "none":
            raise Checkpoint(spec).refusal(
                "sentence-similarity needs one vector a text, not `none`"
            )
        self._vectors = Vectors(spec, device)
        checkpoint = self._vectors.checkpoint
        name = self._vectors.recipe.similarity
        if name not in SIMILARITIES:
            raise checkpoint.refusal(
                f"its similarity_fn_name is {name!r}, and Soloist has {', '.join(SIMILARITIES)}; serve its "
                "vectors as feature-extraction"
            )
        self._similarity = SIMILARITIES[name]
        short, middle, longest = self._vectors.encoder.samples
        for sentences in ([short], [middle, longest]):
            asked = {"source_sentence": short, "sentences": sentences}
            prove(checkpoint, self, {"sentences": {"inputs": asked}})

    def predict(self, items: list[Item]) -> list[Any]:
        sentences = [
            [
                Row(text, item.input.get("parameters") or {}, item)
                for text in (asked["source_sentence"], *asked["sentences"])
            ]
            for item in items
            for asked in (item.input["inputs"],)
        ]
        self._vectors.fill([row for group in sentences for row in group])
        return [self._similarities(group) for group in sentences]

    def _similarities(self, group: list[Row]) -> Any:
        """Of the first row with each of the others; the exception of a row that has one."""
        failed = next((row.result for row in group if isinstance(row.result, Exception)), None)
        if failed:
            return failed
        if any(row.result is UNWANTED for row in group):
            return None
        vectors = np.stack([row.result for row in group])
        return self._similarity(vectors[0], vectors[1:])


def _cosine(one: Any, others: Any) -> Any:
    lengths = np.maximum(np.linalg.norm(others, axis=1) * np.linalg.norm(one), 1e-12)
    return others @ one / lengths


SIMILARITIES: dict[str, Callable[[Any, Any], Any]] = {
    "cosine": _cosine,
    "dot": lambda one, others: others @ one,
    "euclidean": lambda one, others: -np.linalg.norm(others - one, axis=1),
    "manhattan": lambda one, others: -np.abs(others - one).sum(axis=1),
}
"""The names of sentence-transformers; larger is nearer."""
