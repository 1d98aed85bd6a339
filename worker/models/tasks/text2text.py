"""Texts from texts, by an encoder and a decoder: summarization and translation."""

from typing import Any, ClassVar

from contract.catalog import ModelSpec
from contract.errors import BadItem
from worker.models.files.checkpoint import Checkpoint
from worker.models.interface import Item
from worker.models.passes.rows import Row, Rows
from worker.models.passes.warm_up import warm_up
from worker.models.writing.decoder import Decoder
from worker.models.writing.generation_plan import GenerationPlan, flatten_parameters
from worker.models.writing.positions import find_positions

CUTS = (True, "longest_first", "only_first")
"""The values of `truncation` by which a text that is too long is cut. Otherwise it is refused."""


OWN = {"src_lang": "source_lang", "tgt_lang": "target_lang"}
"""What Marian's tokenizer calls the languages of its model."""


class Text2Text:
    """A model such as BART, T5 or Marian that reads one text and writes another."""

    output: ClassVar[str]
    """The name of the text in the output."""
    task: ClassVar[str]
    """The task's name in `task_specific_params`, as configurations have it."""

    def load(self, spec: ModelSpec, device: str) -> None:
        checkpoint = Checkpoint(spec)
        self.decoder = Decoder(checkpoint, device, "AutoModelForSeq2SeqLM")
        self.tokenizer = self.decoder.tokenizer
        # T5 has no such limit: it was trained with 512 tokens, and reads more
        positions = find_positions(self.decoder.model, "encoder") or spec.max_batch_tokens
        self._limit = min(positions, spec.max_batch_tokens)
        self._trained = min(self._limit, int(self.tokenizer.model_max_length))
        self._room = (self.decoder.positions or spec.max_batch_tokens) - 1  # one starts the text
        own = getattr(self.decoder.config, "task_specific_params", None) or {}
        self._tasks = {name: values or {} for name, values in own.items()}
        self._planners = {
            name: self.decoder.planner_with(values)
            for name, values in self._tasks.items()
            if name.startswith(self.task)
        }
        least = {"max_new_tokens": 2, "min_new_tokens": 0, **self.required_parameters()}
        cut = {**least, "truncation": "longest_first"}
        warm_up(
            checkpoint,
            self,
            {
                "a short text": {"inputs": "a", "parameters": least},
                "a long text": {
                    "inputs": self.decoder.sample_text(self._trained),
                    "parameters": cut,
                },
            },
        )

    def predict(self, items: list[Item]) -> list[Any]:
        rows = Rows(items)
        for row in rows:
            row.parameters = flatten_parameters(row.parameters)
        self.decoder.answer_rows(rows, self.tokenize(rows), self.plan, self.output)
        return rows.outputs()

    def tokenize(self, rows: Rows) -> list[list[int] | BadItem]:
        """The tokens that the encoder reads for each row."""
        asked = [self._prefix(row) + row.value for row in rows]
        found = self.decoder.tokenize(asked)
        return [self._cut(*one) for one in zip(rows, asked, found, strict=True)]

    def plan(self, row: Row, text: list[int]) -> GenerationPlan:
        """The row's plan for `generate`.

        Raises:
            BadItem: the text, or what is asked for, is longer than the model has positions for.
        """
        if len(text) > self._limit:
            raise BadItem(
                f"The text has {len(text)} tokens, and the model reads {self._limit}; "
                "`truncation: longest_first` cuts it"
            )
        planner = self._planners.get(self.own_task(row), self.decoder.planner)
        return planner.plan(self.generation_parameters(row), 1, self._room)

    def generation_parameters(self, row: Row) -> dict[str, Any]:
        """The row's parameters for `generate`."""
        return row.parameters

    def own_task(self, row: Row) -> str:
        """The task's name among the model's own."""
        return self.task

    def required_parameters(self) -> dict[str, Any]:
        """Parameters that the model needs for any text."""
        return {}

    def _prefix(self, row: Row) -> str:
        """T5 was trained with the task in front of the text."""
        return str(self._tasks.get(self.own_task(row), {}).get("prefix") or "")

    def _cut(self, row: Row, text: str, found: list[int] | BadItem) -> list[int] | BadItem:
        wanted = self.decoder.parameters_of(row).get("truncation") in CUTS
        if not wanted or isinstance(found, BadItem) or len(found) <= self._trained:
            return found
        return self.decoder.cut_text(text, self._trained, self.tokenizer.truncation_side)


class Summarization(Text2Text):
    """A shorter text that says the same."""

    output = "summary_text"
    task = "summarization"


class Translation(Text2Text):
    """The text in another language. Models of many languages need `src_lang` and `tgt_lang`."""

    output = "translation_text"
    task = "translation"

    def tokenize(self, rows: Rows) -> list[list[int] | BadItem]:
        if not self._many:
            both = zip(rows, super().tokenize(rows), strict=True)
            return [self._refusal(row) or text for row, text in both]
        texts: list[list[int] | BadItem] = []
        for row in rows:  # the tokenizer is set to one language at a time
            try:
                self.tokenizer.src_lang = self._language(row, "src_lang")
            except BadItem as error:
                texts.append(error)
            else:
                (found,) = self.decoder.tokenize([row.value])
                texts.append(self._cut(row, row.value, found))
        return texts

    def generation_parameters(self, row: Row) -> dict[str, Any]:
        if not self._many:
            return row.parameters
        own = self.decoder.own_config
        if not self.decoder.parameters_of(row).get("tgt_lang") and self._writes_one():
            return row.parameters
        target = self._languages()[self._language(row, "tgt_lang")]
        if own.forced_bos_token_id is None and target == own.decoder_start_token_id:
            return row.parameters  # mBART begins with the language, and says so once
        return {**row.parameters, "forced_bos_token_id": target}

    def own_task(self, row: Row) -> str:
        """A model's own tasks are named by languages: `translation_en_to_de`."""
        given = self.decoder.parameters_of(row)
        source, target = given.get("src_lang"), given.get("tgt_lang")
        if source or target:
            return f"translation_{source}_to_{target}"
        return next(iter(self._planners)) if len(self._planners) == 1 else self.task

    def required_parameters(self) -> dict[str, Any]:
        if not self._many or self._writes_one():
            return {}
        return {"tgt_lang": next(iter(self._languages()))}

    @property
    def _many(self) -> bool:
        """Whether the tokenizer knows languages by codes: NLLB, M2M100, mBART."""
        return hasattr(self.tokenizer, "src_lang")

    def _writes_one(self) -> bool:
        """Whether the model's own file says the language that it writes."""
        own, known = self.decoder.own_config, self._languages().values()
        return own.forced_bos_token_id in known or own.decoder_start_token_id in known

    def _prefix(self, row: Row) -> str:
        """What the text begins with: Marian's code of the language, or T5's task.

        T5 reads the languages in words, if its own file has no prefix for them.
        """
        given = self.decoder.parameters_of(row)
        source, target = given.get("src_lang"), given.get("tgt_lang")
        if target and _coded(target) in self._codes():
            return f"{_coded(target)} "
        if self.own_task(row) in self._tasks or not (source and target):
            return super()._prefix(row)
        if not self._in_words:
            return ""
        return f"translate {source} to {target}: "

    @property
    def _in_words(self) -> bool:
        return self.decoder.config.model_type in ("t5", "mt5", "umt5")

    def _codes(self) -> list[str]:
        """What a Marian of many languages reads in front of the text, such as `>>fra<<`."""
        return list(getattr(self.tokenizer, "supported_language_codes", None) or [])

    def _refusal(self, row: Row) -> BadItem | None:
        """Why the row's languages are none of this model's. It would translate to its own all the same."""
        given = self.decoder.parameters_of(row)
        asked = {name: given[name] for name in ("src_lang", "tgt_lang") if given.get(name)}
        if not asked or self.own_task(row) in self._tasks:
            return None
        if self._in_words:
            if len(asked) == 2:
                return None
            return BadItem("This model is told both languages: give `src_lang` and `tgt_lang`")
        for name, language in asked.items():
            own = getattr(self.tokenizer, OWN[name], None)
            codes = self._codes() if name == "tgt_lang" else []
            if language == own or _coded(language) in codes:
                continue
            known = f"it has {', '.join(sorted(codes)[:8])}" if codes else f"its own is {own}"
            return BadItem(
                f"`{name}` {language[:40]!r} is not known to be a language of this model"
                f"{f' ({known})' if codes or own else ''}: leave `{name}` out, or take a model of that language"
            )
        return None

    def _language(self, row: Row, name: str) -> str:
        language = self.decoder.parameters_of(row).get(name) or (
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


def _coded(language: str) -> str:
    """A language as Marian's codes have it."""
    return language if language.startswith(">>") else f">>{language}<<"
