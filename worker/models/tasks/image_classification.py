"""Labels for images: image-classification."""

from typing import Any

from contract.catalog import ModelSpec
from worker.models.files.loading import Checkpoint
from worker.models.images.image_model import TOP_K, Images, answerable, samples
from worker.models.interface import Item
from worker.models.passes.label_scores import Scores
from worker.models.passes.rows import Rows
from worker.models.passes.warm_up import prove


class ImageClassification:
    """The likeliest labels of each image."""

    def load(self, spec: ModelSpec, device: str) -> None:
        checkpoint = Checkpoint(spec)
        self._images = Images(checkpoint, device, "AutoModelForImageClassification")
        self._scores = Scores(self._images.model.config)
        prove(checkpoint, self, samples())

    def predict(self, items: list[Item]) -> list[Any]:
        rows = Rows(items, "image")
        for some, inputs in self._images.passes(rows):
            logits = self._images.forward(inputs).logits
            answers = self._scores.of(logits, [row.parameters for row in some], TOP_K)
            for index in answerable(some, logits):
                some[index].result = answers[index]
        return rows.outputs()
