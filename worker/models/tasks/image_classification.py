"""Labels for images: image-classification."""

from typing import Any

from contract.catalog import ModelSpec
from worker.models.files.checkpoint import Checkpoint
from worker.models.images.image_model import TOP_K, ImageModel, find_answerable, sample_images
from worker.models.interface import Item
from worker.models.passes.label_scores import LabelScores
from worker.models.passes.rows import Rows
from worker.models.passes.warm_up import warm_up


class ImageClassification:
    """The likeliest labels of each image."""

    def load(self, spec: ModelSpec, device: str) -> None:
        checkpoint = Checkpoint(spec)
        self._images = ImageModel(checkpoint, device, "AutoModelForImageClassification")
        self._scores = LabelScores(self._images.model.config)
        warm_up(checkpoint, self, sample_images())

    def predict(self, items: list[Item]) -> list[Any]:
        rows = Rows(items, "image")
        for some, inputs in self._images.passes(rows):
            logits = self._images.forward(inputs).logits
            answers = self._scores.from_logits(logits, [row.parameters for row in some], TOP_K)
            for index in find_answerable(some, logits):
                some[index].result = answers[index]
        return rows.outputs()
