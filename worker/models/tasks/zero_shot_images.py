"""Labels of the caller's own for images: zero-shot-image-classification, by models such as CLIP.

Radford et al. 2021, https://arxiv.org/abs/2103.00020; Zhai et al. 2023, https://arxiv.org/abs/2303.15343.
"""

from typing import Any

import torch

from contract.catalog import ModelSpec
from worker.models.files.checkpoint import Checkpoint
from worker.models.images.image_model import (
    ImageModel,
    Inputs,
    PreparedImage,
    find_answerable,
    sample_images,
)
from worker.models.images.text_inputs import TextInputs
from worker.models.interface import Item
from worker.models.passes.rows import Row, Rows
from worker.models.passes.warm_up import warm_up
from worker.models.texts.hypotheses import fill_hypotheses

SIGLIP_LENGTH = 64
"""SigLIP was trained on texts that are padded to so many tokens, and does not mask the padding."""


class ZeroShotImageClassification:
    """The caller's labels with their scores, for each image."""

    def load(self, spec: ModelSpec, device: str) -> None:
        checkpoint = Checkpoint(spec)
        self._images = ImageModel(checkpoint, device, "AutoModelForZeroShotImageClassification")
        model = self._images.model
        self._text_inputs = TextInputs(checkpoint, model, self._images.accepted)
        # each label for itself, where the labels were not trained against each other
        self._apart = "siglip" in model.config.model_type
        labels = ["a cat", "two dogs in the snow"]
        warm_up(checkpoint, self, sample_images(candidate_labels=labels))

    def predict(self, items: list[Item]) -> list[Any]:
        rows = Rows(items, "image")
        texts: dict[tuple[str, ...], Inputs] = {}

        def read(row: Row) -> PreparedImage:
            sentences = tuple(fill_hypotheses(row.parameters, "This is a photo of {}."))
            if sentences not in texts:
                length = SIGLIP_LENGTH if self._apart else None
                texts[sentences] = self._text_inputs.tokenize(sentences, length=length)
            prepared = self._images.prepare(row.value)
            prepared.group = sentences
            return prepared

        for some, inputs in self._images.passes(rows, read):
            beside = {
                name: array.to(self._images.device)
                for name, array in texts[some[0].value.group].items()
            }
            logits = self._images.forward({**inputs, **beside}).logits_per_image
            for index in find_answerable(some, logits):
                some[index].result = self._scored(some[index], logits[index].float())
        return rows.outputs()

    def _scored(self, row: Row, logits: torch.Tensor) -> list[dict[str, Any]]:
        scores = torch.sigmoid(logits) if self._apart else torch.softmax(logits, dim=-1)
        scores, order = torch.sort(scores, descending=True, stable=True)
        labels = row.parameters["candidate_labels"]
        return [
            {"label": labels[index], "score": score}
            for index, score in zip(order.tolist(), scores.tolist(), strict=True)
        ]
