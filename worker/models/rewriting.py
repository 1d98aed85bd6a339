"""Texts from texts, by an encoder and a decoder: summarization and translation."""

from typing import Any, ClassVar

from contract.catalog import ModelSpec
from contract.errors import BadItem
from worker.models.generator import NEW_TOKENS, Generator, Settings
from worker.models.interface import Item
from worker.models.loading import Checkpoint
from worker.models.rows import Row, Rows
from worker.models.text import longest_input


class Rewriting:
    """A model such as BART, T5 or Marian that reads one text and writes another."""

    output: ClassVar[str]
    """The name of the text in the output."""

    def load(self, spec: ModelSpec, device: str) -> None:
        checkpoint = Checkpoint(spec)
        self.generator = Generator(checkpoint, device, "AutoModelForSeq2SeqLM")
        self.tokenizer = self.generator.tokenizer
        longest = longest_input(self.tokenizer, self.generator.model)
        self._limit = min(longest, spec.max_batch_tokens)
        with checkpoint.warming_up():
            settings = {**self.generator.settings({}), "max_new_tokens": 2, "min_new_tokens": None}
            row = Row("a", {}, Item("warm-up", {}))
            self.generator.write([(row, [self.generator.pad_id], settings)])

    def predict(self, items: list[Item]) -> list[Any]:
        rows = Rows(items)
        self.generator.answer(rows, self.read(rows), self.wish, self.output)
        return rows.outputs()

    def read(self, rows: Rows) -> list[list[int] | BadItem]:
        """The tokens that the encoder reads for each row."""
        return self.generator.tokens([row.value for row in rows])

    def wish(self, row: Row, text: list[int]) -> Settings:
        """What a row asks of `generate`.

        Raises:
            BadItem: the text or its wishes are more than the model has positions for.
        """
        if len(text) > self._limit:
            raise BadItem(f"The text has {len(text)} tokens, and the model reads {self._limit}")
        settings = self.generator.settings(row.parameters)
        own = self.generator.model.generation_config.max_length
        asked = settings["max_new_tokens"] or own or NEW_TOKENS
        room = (self.generator.positions or asked + 1) - 1  # the first one is the start token's
        if "max_new_tokens" in row.parameters and asked > room:
            raise BadItem(f"{asked} new tokens are asked for, and the model has room for {room}")
        return {**settings, "max_new_tokens": min(asked, room)}


class Summarization(Rewriting):
    """A shorter text that says the same."""

    output = "summary_text"

    def read(self, rows: Rows) -> list[list[int] | BadItem]:
        # T5 was trained with the task in front of the text
        tasks = getattr(self.generator.config, "task_specific_params", None) or {}
        prefix = (tasks.get("summarization") or {}).get("prefix") or ""
        return self.generator.tokens([prefix + row.value for row in rows])


class Translation(Rewriting):
    """The text in another language. Models of many languages need `src_lang` and `tgt_lang`."""

    output = "translation_text"

    def read(self, rows: Rows) -> list[list[int] | BadItem]:
        if not self._many:
            return self.generator.tokens([self._prefix(row) + row.value for row in rows])
        texts: list[list[int] | BadItem] = []
        for row in rows:  # the tokenizer is set to one language at a time
            try:
                self.tokenizer.src_lang = self._language(row, "src_lang")
            except BadItem as error:
                texts.append(error)
            else:
                texts += self.generator.tokens([row.value])
        return texts

    def wish(self, row: Row, text: list[int]) -> Settings:
        settings = super().wish(row, text)
        if not self._many:
            return settings
        target = self._languages()[self._language(row, "tgt_lang")]
        return {**settings, "forced_bos_token_id": target}

    @property
    def _many(self) -> bool:
        """Whether the tokenizer knows languages by codes: NLLB, M2M100, mBART."""
        return hasattr(self.tokenizer, "src_lang")

    def _prefix(self, row: Row) -> str:
        """T5 is told the languages in words."""
        source, target = (row.parameters.get(name) for name in ("src_lang", "tgt_lang"))
        if not (source or target):
            return ""
        if self.generator.config.model_type not in ("t5", "mt5", "umt5") or not (source and target):
            return ""
        return f"translate {source} to {target}: "

    def _language(self, row: Row, name: str) -> str:
        given = {**self.generator.defaults, **row.parameters}
        language = given.get(name) or (
            getattr(self.tokenizer, name, None) if name == "src_lang" else None
        )
        if not language:
            raise BadItem(
                f"This model needs `{name}`: one of {', '.join(sorted(self._languages())[:8])}, …"
            )
        if language not in self._languages():
            raise BadItem(f"`{name}` {language[:40]!r} is not a language of this model")
        return str(language)

    def _languages(self) -> dict[str, int]:
        """The codes of the model's languages and their tokens."""
        known = getattr(self.tokenizer, "lang_code_to_id", None)
        if known:
            return dict(known)
        special = self.tokenizer.all_special_tokens
        codes = [token for token in special if not token.startswith(("<", "["))]
        return dict(zip(codes, self.tokenizer.convert_tokens_to_ids(codes), strict=True))
