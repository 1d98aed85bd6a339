"""Texts by how well each answers a query: text-ranking, with a model that reads both at once.

Nogueira, Cho 2019, https://arxiv.org/abs/1901.04085. Scores are those of sentence-transformers' CrossEncoder.
"""

from typing import Any

import numpy as np
import torch

from contract.catalog import ModelSpec
from worker.models.interface import Item
from worker.models.passes.logits import find_invalid_rows
from worker.models.passes.rows import Row, Rows
from worker.models.passes.warm_up import warm_up
from worker.models.texts.encoder import CLASSIFIER, Encoder, Text
from worker.models.vectors.cross_encoder import CrossEncoderCheckpoint


class TextRanking:
    """The score of each text for its query, best first."""

    def load(self, spec: ModelSpec, device: str) -> None:
        checkpoint = CrossEncoderCheckpoint(spec)
        labels = checkpoint.load_part("AutoConfig").num_labels
        if labels != 1:
            raise checkpoint.refusal(
                f"it has {labels} labels, and text-ranking needs a model with one; serve it as "
                "text-classification or zero-shot-classification"
            )
        self._encoder = Encoder(checkpoint, device, CLASSIFIER, pairs=True)
        self._activation, self._prompt = checkpoint.activation, checkpoint.recipe.prompt
        short, middle, longest = self._encoder.samples
        asked = {
            "a query and a short text": {"query": short, "texts": [short]},
            "a query and texts of several lengths": {"query": short, "texts": [middle, short]},
            "a long query and a long text": {"query": longest, "texts": [longest]},
        }
        warm_up(checkpoint, self, {name: {"inputs": given} for name, given in asked.items()})

    def predict(self, items: list[Item]) -> list[Any]:
        rows = Rows(items)
        pairs: list[Text] = []
        owners: list[Row] = []
        spans: list[slice] = []
        for row in rows:
            texts = row.value["texts"]
            spans.append(slice(len(pairs), len(pairs) + len(texts)))
            pairs += [(self._prompt + row.value["query"], text) for text in texts]
            owners += [row] * len(texts)
        logits = np.empty(len(pairs), np.float32)
        for indexes, encodings in self._encoder.passes(owners, pairs):
            output, _ = self._encoder.forward(encodings)
            for index, error in zip(indexes, find_invalid_rows(output.logits), strict=True):
                owners[index].result = error or owners[index].result
            logits[indexes] = output.logits[:, 0].float().cpu().numpy()
        for row, span in zip(rows, spans, strict=True):
            if row.open:
                row.result = self._ranked(row, logits[span])
        return rows.outputs()

    def _ranked(self, row: Row, logits: Any) -> list[dict[str, Any]]:
        """`[{index, score}]`, best first."""
        asked, texts = row.parameters, row.value["texts"]
        scores = logits
        if not asked.get("raw_scores"):
            scores = self._activation(torch.from_numpy(logits)).numpy()
        order = np.argsort(-scores, kind="stable").tolist()[: asked.get("top_k")]
        found = [{"index": index, "score": float(scores[index])} for index in order]
        if asked.get("return_documents"):
            found = [{**one, "text": texts[one["index"]]} for one in found]
        return found
