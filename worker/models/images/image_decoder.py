"""Texts that a model writes about images, through its own `generate`."""

from collections.abc import Sequence
from typing import Any

import torch
from transformers import LogitsProcessorList

from contract.errors import OutputInvalid
from worker.models.images.image_model import ImageModel, Inputs
from worker.models.passes.logits import NOT_FINITE
from worker.models.timing import timed
from worker.models.writing.logits_processing import RowwiseProcessor

START = 1
"""Tokens that each of these models begins with."""


class ImageDecoder:
    """A model that writes a text about an image."""

    def __init__(self, images: ImageModel, tokenizer: Any) -> None:
        self.images = images
        self.tokenizer = tokenizer
        # BLIP's own `generate` passes all settings on to this part
        self.text_part = getattr(images.model, "text_decoder", images.model)
        own = self.text_part.generation_config
        ends = own.eos_token_id
        if self.text_part is not images.model:
            ends = images.model.config.text_config.sep_token_id
        self._ends = set(ends if isinstance(ends, list) else [ends]) - {None}

    @timed("inference")
    def generate(self, inputs: Inputs, seed: int | None = None, **options: Any) -> list[Any]:
        """The text of each row, or the OutputInvalid that it is; `options` are those of `generate`.

        `seed`: what a single row is drawn by, if it is sampled.
        """
        count = len(inputs["pixel_values"])
        config = options.get("generation_config", self.text_part.generation_config)
        if config.stop_strings:
            options["tokenizer"] = self.tokenizer
        watch = RowwiseProcessor([], count, config.num_beams or 1, None, self.images.device)
        devices = [self.images.device] if self.images.device != "cpu" else []
        with torch.inference_mode(), torch.random.fork_rng(devices, enabled=seed is not None):
            if seed is not None:
                torch.manual_seed(seed % 2**63)
            sequences = self.images.model.generate(
                **inputs, logits_processor=LogitsProcessorList([watch]), **options
            )
        return [
            OutputInvalid(NOT_FINITE) if lost else self._text(tokens)
            for tokens, lost in zip(sequences.tolist(), watch.lost.tolist(), strict=True)
        ]

    def _text(self, tokens: Sequence[int]) -> str:
        """Up to the row's end; what follows is padding."""
        written = next(
            (n for n, token in enumerate(tokens) if n >= START and token in self._ends), len(tokens)
        )
        return str(self.tokenizer.decode(tokens[:written], skip_special_tokens=True))
