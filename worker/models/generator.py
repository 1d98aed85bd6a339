"""A model that writes token by token: what text-generation, summarization and translation share."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from transformers import LogitsProcessorList, StoppingCriteriaList

from contract.catalog import ModelSpec
from contract.errors import BadItem
from contract.tasks import TASKS
from worker.models.faults import brief
from worker.models.loading import Checkpoint
from worker.models.padding import fill, mask_of
from worker.models.passes import Budget, cut
from worker.models.phases import during
from worker.models.rows import Row, each
from worker.models.sampling import SeededSampling, seed_of
from worker.models.streams import Stream, Watch
from worker.models.text import pad_id

NEW_TOKENS = 256
"""Most new tokens where neither the caller, the catalog nor the model says."""

SAMPLING = {"temperature": 1.0, "top_k": 50, "top_p": 1.0, "min_p": 0.0}
"""What shapes the draw, and transformers' own defaults."""

Settings = dict[str, Any]
Wish = tuple[Row, list[int], Settings]
"""A row, its tokens, and what `generate` is to do with them."""


class Generator:
    """A tokenizer and a model that writes token by token, such as GPT-2 or T5."""

    def __init__(self, checkpoint: Checkpoint, device: str, kind: str) -> None:
        spec = checkpoint.spec
        unknown = spec.generation.keys() - known_parameters(spec)
        if unknown:
            raise checkpoint.refusal(
                f"`generation` has unknown names: {', '.join(sorted(unknown))}"
            )
        self.device = device
        self.defaults = spec.generation
        self.tokenizer = checkpoint.tokenizer()
        self.model = checkpoint.model(kind, device)
        self.config = self.model.config
        self.pad_id = pad_id(self.tokenizer, self.config)
        self.positions: int | None = getattr(self.config, "max_position_embeddings", None)
        self._writes_on = not self.config.is_encoder_decoder
        ends = self.model.generation_config.eos_token_id
        self._ends = set(ends) if isinstance(ends, list) else {ends} - {None}
        # a pass lasts as many steps as its longest text, so cutting never pays before the cap
        self._budget = Budget(spec.max_batch_size, spec.max_batch_tokens, spec.max_batch_tokens)

    @during("preprocess")
    def tokens(self, texts: list[str]) -> list[list[int] | BadItem]:
        """The tokens of each text, none cut off."""
        found = each(texts, lambda some: list(self.tokenizer(some)["input_ids"]))
        return [
            BadItem(f"The text cannot be tokenised: {brief(one)}")
            if isinstance(one, Exception)
            else one
            for one in found
        ]

    def settings(self, parameters: dict[str, Any]) -> Settings:
        """What `generate` is to do for a row: the caller's word, then the catalog's, then the model's.

        Raises:
            BadItem: parameters that contradict each other.
        """
        given = {**self.defaults, **parameters}
        own = self.model.generation_config
        draws = given.get("do_sample")
        if draws is None:
            draws = bool({"temperature", "top_k", "top_p"} & given.keys()) or bool(own.do_sample)
        beams = given.get("num_beams") or (1 if draws else own.num_beams or 1)
        if beams > 1 and (draws or given.get("stop")):
            raise BadItem("`num_beams` goes neither with sampling nor with `stop`")
        least = given.get("min_new_tokens", own.min_new_tokens)
        most = given.get("max_new_tokens") or own.max_new_tokens
        if most and least and least > most:
            raise BadItem("`min_new_tokens` is more than `max_new_tokens`")
        settings = {
            "num_beams": beams,
            "max_new_tokens": most,
            "min_new_tokens": least,
            "repetition_penalty": given.get("repetition_penalty", own.repetition_penalty),
        }
        if draws:
            own_sampling = {name: getattr(own, name, None) for name in SAMPLING}
            chosen = {name: given.get(name, own_sampling[name]) for name in SAMPLING}
            settings |= {n: SAMPLING[n] if value is None else value for n, value in chosen.items()}
        return settings

    def answer(
        self,
        rows: Sequence[Row],
        texts: Sequence[list[int] | BadItem],
        wish: Callable[[Row, list[int]], Settings],
        name: str,
        *,
        emits: bool = False,
    ) -> None:
        """Give each row `{name: what the model writes}` as its result, or the BadItem that it is.

        `wish` says what a row with these tokens asks for, or raises BadItem.
        """
        ready: list[Wish] = []
        for row, text in zip(rows, texts, strict=True):
            try:
                if isinstance(text, BadItem):
                    raise text
                ready.append((row, text, wish(row, text)))
            except BadItem as error:
                row.result = error
        self.write(ready, emits=emits)
        for row, _, _ in ready:
            if isinstance(row.result, str):
                row.result = {name: row.result}

    def write(self, wishes: Sequence[Wish], *, emits: bool = False) -> None:
        """Give each row the text that the model writes for its tokens as its result."""
        groups: dict[tuple[Any, ...], list[Wish]] = {}
        for wish in wishes:
            _, tokens, settings = wish
            # the penalty counts the padding's token as written, so then only equal lengths mix
            equal = len(tokens) if (settings["repetition_penalty"] or 1.0) != 1.0 else 0
            groups.setdefault((equal, *sorted(settings.items())), []).append(wish)
        for members in groups.values():
            lengths = [len(tokens) + settings["max_new_tokens"] for _, tokens, settings in members]
            for one in cut(lengths, self._budget):
                if wanted := [members[place] for place in one if members[place][0].open]:
                    self._write(wanted, emits=emits)

    @during("inference")
    def _write(self, wishes: Sequence[Wish], *, emits: bool) -> None:
        """One call of `generate`, for rows that want the same of it."""
        rows, prompts = [row for row, _, _ in wishes], [tokens for _, tokens, _ in wishes]
        settings = wishes[0][2]
        streams = [
            self._stream(row, prompt, emits) for row, prompt in zip(rows, prompts, strict=True)
        ]
        beams = settings["num_beams"] > 1
        mask = mask_of(prompts, left=self._writes_on)
        options = {name: value for name, value in settings.items() if name not in SAMPLING}
        with torch.inference_mode():
            sequences = self.model.generate(
                input_ids=torch.from_numpy(fill(mask, prompts, self.pad_id)).to(self.device),
                attention_mask=torch.from_numpy(mask.astype(np.int64)).to(self.device),
                do_sample=False,
                pad_token_id=self.pad_id,
                logits_processor=self._processors(rows, settings),
                stopping_criteria=StoppingCriteriaList([Watch(streams, self._ends, beams=beams)]),
                **{name: value for name, value in options.items() if value is not None},
            )
        if beams:
            first = mask.shape[1] if self._writes_on else 1
            for stream, written in zip(streams, sequences[:, first:].tolist(), strict=True):
                stream.take_all(token for token in written if token not in self._ends)
        for row, stream in zip(rows, streams, strict=True):
            row.result = stream.close()

    def _stream(self, row: Row, prompt: list[int], emits: bool) -> Stream:
        stream = Stream(
            row,
            self.tokenizer,
            prompt=prompt if self._writes_on else [],
            stops=row.parameters.get("stop", self.defaults.get("stop", [])),
            emits=emits and row.single,
        )
        if self._writes_on and row.parameters.get(
            "return_full_text", self.defaults.get("return_full_text", False)
        ):
            stream.add(row.value)
        return stream

    def _processors(self, rows: Sequence[Row], settings: Settings) -> Any:
        """What stands between the logits and the choice; none for a greedy one or for beams."""
        sampling = {name: settings[name] for name in SAMPLING if name in settings}
        if not sampling:
            return LogitsProcessorList()
        seeds = [
            seed_of(row, row.parameters.get("seed", self.defaults.get("seed"))) for row in rows
        ]
        return LogitsProcessorList([SeededSampling(seeds, **sampling)])


def known_parameters(spec: ModelSpec) -> set[str]:
    """The generation parameters that a prediction of this task may have, and the catalog as well."""
    return set(TASKS[str(spec.task)].parameters)
