"""Objects in images with their boxes: object-detection."""

from typing import Any

import torch

from contract.catalog import ModelSpec
from worker.models.files.checkpoint import Checkpoint
from worker.models.images.image_model import ImageModel, find_answerable, sample_images, take_row
from worker.models.interface import Item
from worker.models.passes.rows import Row, Rows
from worker.models.passes.warm_up import warm_up


class ObjectDetection:
    """The objects in each image with their boxes, in pixels of the image."""

    def load(self, spec: ModelSpec, device: str) -> None:
        checkpoint = Checkpoint(spec)
        self._images = ImageModel(checkpoint, device, "AutoModelForObjectDetection")
        self._labels = self._images.model.config.id2label
        if not hasattr(self._images.processor, "post_process_object_detection"):
            raise checkpoint.refusal("its image processor does not know object-detection")
        warm_up(checkpoint, self, sample_images(threshold=0.0))

    def predict(self, items: list[Item]) -> list[Any]:
        rows = Rows(items, "image")
        for some, inputs in self._images.passes(rows):
            output = self._images.forward(inputs)
            for index in find_answerable(some, output.logits, output.pred_boxes):
                (found,) = self._images.processor.post_process_object_detection(
                    take_row(output, index), threshold=0.0, target_sizes=[some[index].value.size]
                )
                some[index].result = self._objects(some[index], found)
        return rows.outputs()

    def _objects(self, row: Row, found: dict[str, Any]) -> list[dict[str, Any]]:
        """`[{label, score, box}]`, surest first, of those above the threshold."""
        scores = found["scores"]
        order = torch.argsort(scores, descending=True, stable=True)
        order = order[scores[order] > row.parameters.get("threshold", 0.5)]
        numbers = (
            found["labels"][order].tolist(),
            scores[order].tolist(),
            found["boxes"][order].int().tolist(),
        )
        return [
            {
                "label": self._labels[label],
                "score": score,
                "box": dict(zip(("xmin", "ymin", "xmax", "ymax"), box, strict=True)),
            }
            for label, score, box in zip(*numbers, strict=True)
        ]
