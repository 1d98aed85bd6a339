"""Answers about single tokens of a text: token-classification and fill-mask."""

import warnings
from typing import Any

import numpy as np
import torch
from transformers import TokenClassificationPipeline
from transformers.pipelines.token_classification import AggregationStrategy

from contract.catalog import ModelSpec
from contract.errors import BadItem
from worker.models.files.checkpoint import Checkpoint
from worker.models.interface import Item
from worker.models.passes.logits import find_invalid_rows
from worker.models.passes.rows import Row, Rows
from worker.models.passes.warm_up import warm_up
from worker.models.texts.encoder import Cut, Encoder


class TokenClassification:
    """The entities of each text. How tokens are joined is transformers' own pipeline's work."""

    def load(self, spec: ModelSpec, device: str) -> None:
        checkpoint = Checkpoint(spec)
        self._encoder = Encoder(checkpoint, device, "AutoModelForTokenClassification", offsets=True)
        self._pipeline: Any = TokenClassificationPipeline(  # type: ignore[no-untyped-call]
            model=self._encoder.model, tokenizer=self._encoder.tokenizer, device=device
        )
        special = self._encoder.tokenizer.num_special_tokens_to_add()
        self._room = self._encoder.max_length - special
        warm_up(checkpoint, self, self._encoder.sample_inputs())

    def predict(self, items: list[Item]) -> list[Any]:
        rows = Rows(items)
        for row in rows:
            row.result = self._refused(row.parameters) or row.result
        length = self._encoder.max_length
        cuts = [Cut(length, row.parameters.get("stride", 0) if row.open else 0) for row in rows]
        found: dict[int, list[tuple[int, list[dict[str, Any]]]]] = {}
        texts = [row.value for row in rows]
        for indexes, encodings in self._encoder.passes(rows, texts, windows=_windows, cuts=cuts):
            output, mask = self._encoder.forward(encodings)
            lost = find_invalid_rows(output.logits, mask)
            scores = torch.softmax(output.logits.float(), dim=-1).cpu().numpy()
            for index, encoding, error, mine in zip(indexes, encodings, lost, scores, strict=True):
                row = rows[index]
                row.result = error or row.result
                if row.open:
                    part = _begin(encoding), self._entities(row, encoding, mine)
                    found.setdefault(index, []).append(part)
        for index, parts in found.items():
            if rows[index].open:
                rows[index].result = self._joined(parts)
        return rows.outputs()

    def _refused(self, parameters: dict[str, Any]) -> BadItem | None:
        stride = parameters.get("stride")
        if stride is None:
            return None
        if parameters.get("aggregation_strategy") == "none":
            return BadItem("`stride` needs an `aggregation_strategy` other than `none`")
        if stride >= self._room:
            return BadItem(f"`stride` must be less than the {self._room} tokens of a window")
        return None

    def _joined(self, parts: list[tuple[int, list[dict[str, Any]]]]) -> list[dict[str, Any]]:
        """The entities of all windows of a text, the longer where two overlap."""
        entities = [one for _, mine in sorted(parts, key=lambda part: part[0]) for one in mine]
        if len(parts) > 1:
            entities = self._pipeline.aggregate_overlapping_entities(entities)
        return entities

    def _entities(self, row: Row, encoding: Any, scores: Any) -> list[dict[str, Any]]:
        """From scores (tokens, labels) to `[{entity_group, score, word, start, end}]`."""
        strategy = AggregationStrategy(row.parameters.get("aggregation_strategy", "simple"))
        ignored = row.parameters.get("ignore_labels", ["O"])
        with warnings.catch_warnings():
            # whether the tokenizer knows words depends on the model, not on this call
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


def _windows(row: Row, encoding: Any) -> list[Any]:
    """All of a text that is read with a stride, else what was not cut off."""
    return [encoding, *encoding.overflowing] if "stride" in row.parameters else [encoding]


def _begin(encoding: Any) -> int:
    """The first character that a window reads."""
    places = zip(encoding.offsets, encoding.special_tokens_mask, strict=True)
    return next((offset[0] for offset, special in places if not special), 0)


class FillMask:
    """The likeliest tokens in the place of each mask; a list a mask where a text has several."""

    def load(self, spec: ModelSpec, device: str) -> None:
        checkpoint = Checkpoint(spec)
        self._encoder = Encoder(checkpoint, device, "AutoModelForMaskedLM")
        self._tokenizer = self._encoder.tokenizer
        if self._tokenizer.mask_token_id is None:
            raise checkpoint.refusal("its tokenizer has no mask token, so it cannot do fill-mask")
        warm_up(checkpoint, self, self._questions())

    def predict(self, items: list[Item]) -> list[Any]:
        rows = Rows(items)
        texts = [row.value for row in rows]
        for indexes, encodings in self._encoder.passes(rows, texts, self._check):
            output, _ = self._encoder.forward(encodings)
            for index, encoding, logits in zip(indexes, encodings, output.logits, strict=True):
                ids, places = encoding.ids, self._masks(encoding)
                chosen = logits[places].float()
                lost = find_invalid_rows(chosen[None])[0]
                rows[index].result = lost or self._fill(rows[index], ids, places, chosen)
        return rows.outputs()

    def _questions(self) -> dict[str, dict[str, Any]]:
        """Texts of several lengths, each with a mask where the model still reads it."""
        mask = self._tokenizer.mask_token
        asked = self._encoder.sample_inputs()
        for question in asked.values():
            given = question["inputs"]
            masked = [
                f"{mask} {text} {mask}" for text in ([given] if isinstance(given, str) else given)
            ]
            question["inputs"] = masked[0] if isinstance(given, str) else masked
        return asked

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
                token = next(iter(self._encoder.plain_tokens(word)), None)
            if token is not None:
                found[token] = None
        if words and not found:
            return BadItem("None of the targets is in the model's vocabulary")
        return list(found)
