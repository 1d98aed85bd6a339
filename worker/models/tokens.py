"""Answers about single tokens of a text: token-classification and fill-mask."""

import warnings
from typing import Any

import numpy as np
import torch
from transformers import TokenClassificationPipeline
from transformers.pipelines.token_classification import AggregationStrategy

from contract.catalog import ModelSpec
from contract.errors import BadItem
from worker.models.interface import Item
from worker.models.loading import Checkpoint
from worker.models.rows import Row, Rows
from worker.models.text import Encoder


class TokenClassification:
    """The entities of each text. How tokens are joined is transformers' own pipeline's work."""

    def load(self, spec: ModelSpec, device: str) -> None:
        self._encoder = Encoder(
            Checkpoint(spec), device, "AutoModelForTokenClassification", offsets=True
        )
        self._pipeline: Any = TokenClassificationPipeline(  # type: ignore[no-untyped-call]
            model=self._encoder.model, tokenizer=self._encoder.tokenizer, device=device
        )

    def predict(self, items: list[Item]) -> list[Any]:
        rows = Rows(items)
        for indexes, encodings in self._encoder.passes(rows, [row.value for row in rows]):
            output, _ = self._encoder.forward(encodings)
            scores = torch.softmax(output.logits.float(), dim=-1).cpu().numpy()
            for index, encoding, mine in zip(indexes, encodings, scores, strict=True):
                rows[index].result = self._entities(rows[index], encoding, mine)
        return rows.outputs()

    def _entities(self, row: Row, encoding: Any, scores: Any) -> list[dict[str, Any]]:
        """From scores (tokens, labels) to `[{entity_group, score, word, start, end}]`."""
        strategy = AggregationStrategy(row.parameters.get("aggregation_strategy", "simple"))
        ignored = row.parameters.get("ignore_labels", ["O"])
        with warnings.catch_warnings():
            # a tokenizer that does not know words is a fact of the model, not of this call
            warnings.filterwarnings("ignore", "Tokenizer does not support real words", UserWarning)
            tokens = self._pipeline.gather_pre_entities(
                row.value,
                encoding.ids,
                scores[: len(encoding)],
                encoding.offsets,
                encoding.special_tokens_mask,
                strategy,
            )
        return [
            {**entity, "score": float(entity["score"])}
            for entity in self._pipeline.aggregate(tokens, strategy)
            if entity.get("entity_group", entity.get("entity")) not in ignored
        ]


class FillMask:
    """The likeliest tokens in the place of each mask; a list a mask where a text has several."""

    def load(self, spec: ModelSpec, device: str) -> None:
        checkpoint = Checkpoint(spec)
        self._encoder = Encoder(checkpoint, device, "AutoModelForMaskedLM")
        self._tokenizer = self._encoder.tokenizer
        if self._tokenizer.mask_token_id is None:
            raise checkpoint.refusal("its tokenizer has no mask token, so it cannot do fill-mask")

    def predict(self, items: list[Item]) -> list[Any]:
        rows = Rows(items)
        texts = [row.value for row in rows]
        for indexes, encodings in self._encoder.passes(rows, texts, self._check):
            output, _ = self._encoder.forward(encodings)
            for index, encoding, logits in zip(indexes, encodings, output.logits, strict=True):
                ids, places = encoding.ids, self._masks(encoding)
                rows[index].result = self._fill(rows[index], ids, places, logits[places].float())
        return rows.outputs()

    def _check(self, row: Row, encoding: Any) -> BadItem | None:
        if self._masks(encoding):
            return None
        mask, length = self._tokenizer.mask_token, self._encoder.max_length
        return BadItem(f"The text has no {mask} among its first {length} tokens")

    def _masks(self, encoding: Any) -> list[int]:
        mask = self._tokenizer.mask_token_id
        return [place for place, token in enumerate(encoding.ids) if token == mask]

    def _fill(self, row: Row, ids: list[int], places: list[int], logits: Any) -> Any:
        """From logits (masks, vocabulary) to `[{sequence, score, token, token_str}]`, best first."""
        scores = torch.softmax(logits, dim=-1)
        targets = self._targets(row.parameters.get("targets") or [])
        if isinstance(targets, Exception):
            return targets
        if targets:
            scores = scores[:, targets]
        values, tokens = scores.topk(min(row.parameters.get("top_k", 5), scores.shape[1]))
        decode, single = self._tokenizer.decode, len(places) == 1
        filled = []
        for place, best, chosen in zip(places, values.tolist(), tokens.tolist(), strict=True):
            answers = []
            for score, number in zip(best, chosen, strict=True):
                token = targets[number] if targets else number
                sequence = np.array(ids)
                sequence[place] = token
                answers.append(
                    {
                        "sequence": decode(sequence, skip_special_tokens=single),
                        "score": score,
                        "token": token,
                        "token_str": decode([token]),
                    }
                )
            filled.append(answers)
        return filled[0] if single else filled

    def _targets(self, words: list[str]) -> list[int] | BadItem:
        """The token of each word, its first one where the vocabulary has it in pieces only."""
        found: dict[int, None] = {}
        for word in words:
            token = self._tokenizer.convert_tokens_to_ids(word)
            if token is None or token == self._tokenizer.unk_token_id:
                token = next(iter(self._encoder.plain(word)), None)
            if token is not None:
                found[token] = None
        if words and not found:
            return BadItem("None of the targets is in the model's vocabulary")
        return list(found)
