"""Texts that a model writes on: text-generation, streamed."""

from typing import Any

from contract.catalog import ModelSpec
from contract.errors import BadItem
from worker.models.files.checkpoint import Checkpoint
from worker.models.interface import Item
from worker.models.passes.rows import Row, Rows
from worker.models.passes.warm_up import warm_up
from worker.models.writing.decoder import Decoder
from worker.models.writing.generation_plan import GenerationPlan


class TextGeneration:
    """What the model writes after each text, streamed while it does."""

    def load(self, spec: ModelSpec, device: str) -> None:
        checkpoint = Checkpoint(spec)
        self._decoder = Decoder(checkpoint, device, "AutoModelForCausalLM")
        # without positions (Mamba, Bloom) a tokenizer's length is a default, which `generate` ignores, too
        self._limit = min(self._decoder.positions or spec.max_batch_tokens, spec.max_batch_tokens)
        least = {"max_new_tokens": 2, "min_new_tokens": 0}
        most = {**least, "truncate": self._limit - 2}
        warm_up(
            checkpoint,
            self,
            {
                "a short text": {"inputs": "a", "parameters": least},
                "a long text": {
                    "inputs": self._decoder.sample_text(self._limit),
                    "parameters": most,
                },
            },
        )

    def predict(self, items: list[Item]) -> list[Any]:
        rows = Rows(items)
        self._decoder.answer_rows(
            rows, self._tokenize(rows), self._plan, "generated_text", emits=True
        )
        return rows.outputs()

    def _tokenize(self, rows: Rows) -> list[list[int] | BadItem]:
        """The tokens of each text; of one that is to be truncated the last ones."""
        texts = self._decoder.tokenize([row.value for row in rows])
        for place, (row, text) in enumerate(zip(rows, texts, strict=True)):
            most = self._decoder.parameters_of(row).get("truncate")
            if most and isinstance(text, list) and len(text) > most:
                texts[place] = self._decoder.cut_text(row.value, most, "left")
        return texts

    def _plan(self, row: Row, prompt: list[int]) -> GenerationPlan:
        """The row's plan, within the model's positions: beyond them a GPU's context is lost."""
        room = self._limit - len(prompt)
        if room < 1:
            raise BadItem(
                f"The text has {len(prompt)} tokens, and the model has room for {self._limit} in all"
            )
        return self._decoder.planner.plan(row.parameters, len(prompt), room)
