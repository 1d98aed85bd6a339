"""Vectors of texts: feature-extraction and sentence-similarity, made as the model's files say."""

from collections.abc import Callable
from typing import Any

import numpy as np

from contract.catalog import ModelSpec
from worker.models.files.checkpoint import Checkpoint
from worker.models.interface import Item
from worker.models.passes.rows import UNWANTED, Row, Rows
from worker.models.passes.warm_up import warm_up
from worker.models.vectors.embedding_model import EmbeddingModel


class FeatureExtraction:
    """The vector of each text."""

    def load(self, spec: ModelSpec, device: str) -> None:
        self._vectors = EmbeddingModel(spec, device)
        warm_up(self._vectors.checkpoint, self, self._vectors.encoder.sample_inputs())

    def predict(self, items: list[Item]) -> list[Any]:
        rows = Rows(items)
        self._vectors.embed_rows(rows)
        return rows.outputs()


class SentenceSimilarity:
    """How near one sentence is to others, by the similarity that the model's files name."""

    def load(self, spec: ModelSpec, device: str) -> None:
        if spec.pooling == "none":
            raise Checkpoint(spec).refusal(
                "sentence-similarity needs one vector a text, not `none`"
            )
        self._vectors = EmbeddingModel(spec, device)
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
            warm_up(checkpoint, self, {"sentences": {"inputs": asked}})

    def predict(self, items: list[Item]) -> list[Any]:
        sentences = [
            [
                Row(text, item.input.get("parameters") or {}, item)
                for text in (asked["source_sentence"], *asked["sentences"])
            ]
            for item in items
            for asked in (item.input["inputs"],)
        ]
        self._vectors.embed_rows([row for group in sentences for row in group])
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
