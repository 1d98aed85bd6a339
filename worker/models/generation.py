"""Texts that a model writes on: text-generation, streamed."""

from typing import Any

from contract.catalog import ModelSpec
from contract.errors import BadItem
from worker.models.generator import NEW_TOKENS, Generator, Settings
from worker.models.interface import Item
from worker.models.loading import Checkpoint
from worker.models.rows import Row, Rows


class TextGeneration:
    """What the model writes after each text, streamed while it does."""

    def load(self, spec: ModelSpec, device: str) -> None:
        checkpoint = Checkpoint(spec)
        self._generator = Generator(checkpoint, device, "AutoModelForCausalLM")
        limit = self._generator.positions or self._generator.tokenizer.model_max_length
        self._limit = min(int(limit), spec.max_batch_tokens)
        with checkpoint.warming_up():
            parameters = {"max_new_tokens": 2, "min_new_tokens": 0}
            first = Item("warm-up", {"inputs": "a", "parameters": parameters})
            if isinstance(output := self.predict([first])[0], Exception):
                raise output

    def predict(self, items: list[Item]) -> list[Any]:
        rows = Rows(items)
        texts = self._generator.tokens([row.value for row in rows])
        self._generator.answer(rows, texts, self._wish, "generated_text", emits=True)
        return rows.outputs()

    def _wish(self, row: Row, prompt: list[int]) -> Settings:
        """The row's settings, within the model's positions: beyond them a GPU's context is lost."""
        if not prompt:
            raise BadItem("The text has no tokens")
        settings = self._generator.settings(row.parameters)
        room = self._limit - len(prompt)
        asked = settings["max_new_tokens"]
        if room < 1 or ("max_new_tokens" in row.parameters and asked > room):
            raise BadItem(
                f"The text has {len(prompt)} tokens and {asked or 1} more are asked for; the model "
                f"has room for {self._limit}"
            )
        return {**settings, "max_new_tokens": min(asked or NEW_TOKENS, room)}
