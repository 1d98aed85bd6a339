"""Vectors of texts: feature-extraction and sentence-similarity, pooled as the model's files say."""

import json
from typing import Any

import numpy as np
import torch

from contract.catalog import ModelSpec
from contract.errors import BadItem
from worker.models.interface import Item
from worker.models.loading import Checkpoint
from worker.models.rows import UNWANTED, Row, Rows
from worker.models.text import Encoder

POOLER = ("pooler.", "encoder.pooler.")
"""Weights behind the last hidden state, which no pooling of ours reads; many checkpoints lack them."""

LEGACY_MODES = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
    "pooling_mode_weightedmean_tokens": "weightedmean",
    "pooling_mode_lasttoken": "lasttoken",
}
MODES = frozenset(LEGACY_MODES.values())


class Recipe:
    """How the model's makers turn token vectors into one: its sentence-transformers files.

    Without such files: the mean, as sentence-transformers does. Read are `modules.json`, the pooling's
    `config.json`, `sentence_bert_config.json` (length) and `config_sentence_transformers.json` (prompt).
    """

    def __init__(self, checkpoint: Checkpoint) -> None:
        self._checkpoint = checkpoint
        self.modes: tuple[str, ...] = ("mean",)
        self.normalize = False
        with checkpoint.reading("its sentence-transformers files"):
            for module in self._json("modules.json", []):
                self._read(module["type"].rpartition(".")[2], module["path"])
            self.max_length: int | None = self._json("sentence_bert_config.json").get(
                "max_seq_length"
            )
            prompts = self._json("config_sentence_transformers.json")
            self.prompt: str = (prompts.get("prompts") or {}).get(
                prompts.get("default_prompt_name"), ""
            )
        if pooling := checkpoint.spec.pooling if checkpoint.spec.pooling != "auto" else None:
            self.modes = (pooling,)

    def _read(self, kind: str, path: str) -> None:
        if kind == "Pooling":
            config = self._json(f"{path}/config.json")
            chosen = config.get("pooling_mode") or [
                mode for key, mode in LEGACY_MODES.items() if config.get(key)
            ]
            self.modes = (chosen,) if isinstance(chosen, str) else tuple(chosen)
            if not self.modes or not MODES.issuperset(self.modes):
                raise ValueError(f"unknown pooling {chosen}")
        elif kind == "Normalize":
            self.normalize = True
        elif kind not in ("Transformer", "Dropout"):
            raise ValueError(f"module {kind!r} is not one that Soloist applies")

    def _json(self, name: str, absent: Any = None) -> Any:
        found = self._checkpoint.file(name)
        return json.loads(found.read_text()) if found else ({} if absent is None else absent)


class Vectors:
    """A model that gives one vector a text, or one a token."""

    def __init__(self, spec: ModelSpec, device: str) -> None:
        checkpoint = Checkpoint(spec)
        self._recipe = Recipe(checkpoint)
        self._encoder = Encoder(
            checkpoint, device, "AutoModel", max_length=self._recipe.max_length, may_lack=POOLER
        )

    def fill(self, rows: list[Row]) -> None:
        """Give each row its vector (hidden,) or vectors (tokens, hidden), float32, as its result."""
        texts = [self._recipe.prompt + row.value for row in rows]
        for indexes, encodings in self._encoder.passes(rows, texts, self._check):
            output, mask = self._encoder.forward(encodings)
            normal = [self._normal(rows[index]) for index in indexes]
            for index, vector in zip(indexes, self._pool(output[0], mask, normal), strict=True):
                rows[index].result = vector

    def _check(self, row: Row, encoding: Any) -> BadItem | None:
        if row.parameters.get("truncate") is False and encoding.overflowing:
            return BadItem(f"The text has more than {self._encoder.max_length} tokens")
        return None

    def _normal(self, row: Row) -> bool:
        return bool(row.parameters.get("normalize", self._recipe.normalize))

    def _pool(self, hidden: Any, mask: Any, normal: list[bool]) -> Any:
        """The vectors of (rows, longest, hidden), each normalised where asked."""
        hidden = hidden.float()
        with torch.inference_mode():
            if self._recipe.modes == ("none",):
                lengths = mask.sum(dim=1).tolist()
                pooled = hidden
            else:
                lengths = None
                pooled = torch.cat(
                    [pool(mode, hidden, mask) for mode in self._recipe.modes], dim=-1
                )
            if all(normal):
                pooled = torch.nn.functional.normalize(pooled, dim=-1)
            elif any(normal):
                chosen = torch.tensor(normal, device=pooled.device)
                pooled[chosen] = torch.nn.functional.normalize(pooled[chosen], dim=-1)
        vectors = pooled.cpu().numpy()
        if lengths is None:
            return vectors
        return [vector[:length] for vector, length in zip(vectors, lengths, strict=True)]


class FeatureExtraction:
    """The vector of each text."""

    def load(self, spec: ModelSpec, device: str) -> None:
        self._vectors = Vectors(spec, device)

    def predict(self, items: list[Item]) -> list[Any]:
        rows = Rows(items)
        self._vectors.fill(rows)
        return rows.outputs()


class SentenceSimilarity:
    """Cosines of one sentence with others."""

    def load(self, spec: ModelSpec, device: str) -> None:
        if spec.pooling == "none":
            raise Checkpoint(spec).refusal(
                "sentence-similarity needs one vector a text, not `none`"
            )
        self._vectors = Vectors(spec, device)

    def predict(self, items: list[Item]) -> list[Any]:
        sentences = [
            [Row(text, {}, item) for text in (asked["source_sentence"], *asked["sentences"])]
            for item in items
            for asked in (item.input["inputs"],)
        ]
        self._vectors.fill([row for group in sentences for row in group])
        return [_cosines(group) for group in sentences]


def _cosines(group: list[Row]) -> Any:
    """The first row's cosine with each of the others; the exception of a row that has one."""
    if failed := next((row.result for row in group if isinstance(row.result, Exception)), None):
        return failed
    if any(row.result is UNWANTED for row in group):
        return None
    vectors = np.stack([row.result for row in group])
    vectors /= np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    return vectors[1:] @ vectors[0]


def pool(mode: str, hidden: Any, mask: Any) -> Any:
    """(rows, longest, hidden) under mask (rows, longest), padded at the right, as (rows, hidden).

    The modes are those of sentence-transformers.
    """
    if mode == "cls":
        return hidden[:, 0]
    if mode == "lasttoken":
        return hidden[torch.arange(len(hidden), device=hidden.device), mask.sum(dim=1) - 1]
    weights = mask.to(hidden.dtype)
    if mode == "max":
        return hidden.masked_fill(weights.unsqueeze(-1) == 0, float("-inf")).amax(dim=1)
    if mode == "weightedmean":
        weights = weights * torch.arange(1, mask.shape[1] + 1, device=mask.device)
    total = torch.bmm(weights.unsqueeze(1), hidden).squeeze(1)
    counts = weights.sum(dim=1, keepdim=True)
    return total / (counts.sqrt() if mode == "mean_sqrt_len_tokens" else counts)
