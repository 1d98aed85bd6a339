"""What is in an image, written: image-to-text, and what else writes of images."""

from collections.abc import Sequence
from typing import Any

import torch
from transformers import LogitsProcessorList

from contract.catalog import ModelSpec
from contract.errors import OutputInvalid
from contract.tasks import TASKS
from worker.models.files.loading import Checkpoint
from worker.models.images.vision import Images, Inputs, Prepared, samples
from worker.models.interface import Item
from worker.models.logits import SENTENCE
from worker.models.phases import during
from worker.models.rows import Row, Rows
from worker.models.warming import prove
from worker.models.writing.choosing import Choice
from worker.models.writing.decoding import Decoding, Plan, configured, flat
from worker.models.writing.positions import positions_of
from worker.models.writing.sampling import seed_of

SERVED = "blip", "git", "vision-encoder-decoder"
NESTED = "generation_parameters"
"""Where this task's clients put what is for `generate`."""
START = 1
"""Tokens that each of them begins with."""


class Writer:
    """A model that writes of what it sees, through its own `generate`."""

    def __init__(self, images: Images, tokenizer: Any) -> None:
        self.images = images
        self.tokenizer = tokenizer
        # the part that writes: BLIP's own `generate` hands all settings on to it
        self.part = getattr(images.model, "text_decoder", images.model)
        own = self.part.generation_config
        ends = own.eos_token_id
        if self.part is not images.model:
            ends = images.model.config.text_config.sep_token_id
        self._ends = set(ends if isinstance(ends, list) else [ends]) - {None}

    @during("inference")
    def write(self, inputs: Inputs, seed: int | None = None, **options: Any) -> list[Any]:
        """The text of each row, or the OutputInvalid that it is; `options` are those of `generate`.

        `seed`: what a single row is drawn by, if it is sampled.
        """
        count = len(inputs["pixel_values"])
        config = options.get("generation_config", self.part.generation_config)
        if config.stop_strings:
            options["tokenizer"] = self.tokenizer
        watch = Choice([], count, config.num_beams or 1, None, self.images.device)
        devices = [self.images.device] if self.images.device != "cpu" else []
        with torch.inference_mode(), torch.random.fork_rng(devices, enabled=seed is not None):
            if seed is not None:
                torch.manual_seed(seed % 2**63)
            sequences = self.images.model.generate(
                **inputs, logits_processor=LogitsProcessorList([watch]), **options
            )
        return [
            OutputInvalid(SENTENCE) if lost else self._text(tokens)
            for tokens, lost in zip(sequences.tolist(), watch.lost.tolist(), strict=True)
        ]

    def _text(self, tokens: Sequence[int]) -> str:
        """Up to the end of this row: what follows it fills up to the longest of its pass."""
        written = next(
            (n for n, token in enumerate(tokens) if n >= START and token in self._ends), len(tokens)
        )
        return str(self.tokenizer.decode(tokens[:written], skip_special_tokens=True))


class ImageToText:
    """A caption for each image."""

    def load(self, spec: ModelSpec, device: str) -> None:
        checkpoint = Checkpoint(spec)
        kind = checkpoint.part("AutoConfig").model_type
        if kind not in SERVED:
            raise checkpoint.refusal(
                f"a {kind} model is not one that writes of an image alone, as image-to-text asks for it; "
                f"{', '.join(SERVED)} models are served"
            )
        nested = TASKS["image-to-text"].parameters[NESTED]["properties"]
        checkpoint.check_generation(nested)
        self._images = Images(checkpoint, device, "AutoModelForImageTextToText")
        self._writer = Writer(self._images, checkpoint.tokenizer())
        part = self._writer.part
        self._room = (positions_of(part, "decoder") or 2**15) - START
        self._defaults = spec.generation
        self._decoding = Decoding(part.generation_config, spec.generation)
        if unserved := self._decoding.refusal():
            raise checkpoint.refusal(f"its generation_config.json asks for {unserved}, not served")
        # what it says is in each row's plan; here `generate` would fill in what a plan leaves out
        part.generation_config = configured()
        prove(checkpoint, self, samples(max_new_tokens=min(8, self._room)))

    def predict(self, items: list[Item]) -> list[Any]:
        rows = Rows(items, "image")
        wishes: dict[Any, tuple[Plan, int | None]] = {}

        def read(row: Row) -> Prepared:
            plan, seed = self._wish(row)
            # who draws its tokens is alone with its seed
            wish = (plan.key, plan.most, None if seed is None else id(row))
            wishes[wish] = plan, seed
            prepared = self._images.prepare(row.value)
            prepared.company = wish
            return prepared

        for some, inputs in self._images.passes(rows, read):
            plan, seed = wishes[some[0].value.company]
            found = self._writer.write(inputs, seed, generation_config=plan.config)
            for row, text in zip(some, found, strict=True):
                row.result = {"generated_text": text} if isinstance(text, str) else text
        return rows.outputs()

    def _wish(self, row: Row) -> tuple[Plan, int | None]:
        given = flat(row.parameters, NESTED)
        plan = self._decoding.plan(given, START, self._room)
        if not plan.config.do_sample:
            return plan, None
        return plan, seed_of(row, given.get("seed", self._defaults.get("seed")))
