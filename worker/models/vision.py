"""Answers about images: image-classification and object-detection.

Images are put into one pass only if they come out of the image processor in one shape: padding them to
a common one would change the answers of models that do not mask it.
"""

from typing import Any

import numpy as np
import torch
from PIL import Image

from contract.catalog import ModelSpec
from contract.errors import BadItem
from worker.models import media
from worker.models.classification import Scores
from worker.models.faults import brief
from worker.models.interface import Item
from worker.models.loading import Checkpoint
from worker.models.passes import Budget, cut
from worker.models.rows import Row, Rows

PATCH = 16
"""`max_batch_tokens` counts an image as patches of this side, as a vision transformer reads it."""

TOP_K = 5


class Images:
    """An image processor and a model that reads images."""

    def __init__(self, checkpoint: Checkpoint, device: str, kind: str) -> None:
        self.device = device
        # the processors on PIL and numpy: no torchvision needed, the same answers on every machine
        self.processor = checkpoint.part("AutoImageProcessor", backend="pil")
        self.model = checkpoint.model(kind, device)
        spec = checkpoint.spec
        self._budget = Budget(spec.max_batch_size, spec.max_batch_tokens, spec.max_batch_tokens)
        with checkpoint.reading("the model's first pass"):
            self.forward([self._pixels(Image.new("RGB", (64, 48)))])

    def read(self, rows: Rows) -> dict[int, tuple[int, int]]:
        """(height, width) of the images that can be read; the others get their error as result."""
        sizes = {}
        for index, row in enumerate(rows):
            try:
                picture = media.image(row.value)
                row.value = self._pixels(picture)
                sizes[index] = (picture.height, picture.width)
            except BadItem as error:
                row.result = error
            except Exception as error:
                row.result = BadItem(f"The image cannot be prepared: {brief(error)}")
        return sizes

    def passes(self, rows: Rows) -> list[list[int]]:
        """Indexes of the rows of each pass, all of one shape."""
        shapes: dict[tuple[int, ...], list[int]] = {}
        for index, row in enumerate(rows):
            if row.open:
                shapes.setdefault(row.value["pixel_values"].shape, []).append(index)
        return [
            [members[place] for place in one]
            for shape, members in shapes.items()
            for one in cut([shape[-2] * shape[-1] // PATCH**2] * len(members), self._budget)
        ]

    def forward(self, prepared: list[dict[str, Any]]) -> Any:
        inputs = {
            name: torch.from_numpy(np.concatenate([one[name] for one in prepared])).to(self.device)
            for name in prepared[0]
        }
        inputs["pixel_values"] = inputs["pixel_values"].to(self.model.dtype)
        with torch.inference_mode():
            return self.model(**inputs)

    def _pixels(self, picture: Any) -> dict[str, Any]:
        prepared = self.processor(images=[picture], return_tensors="np")
        names = ("pixel_values", "pixel_mask")
        return {name: np.asarray(prepared[name]) for name in names if name in prepared}


class ImageClassification:
    """The likeliest labels of each image."""

    def load(self, spec: ModelSpec, device: str) -> None:
        self._images = Images(Checkpoint(spec), device, "AutoModelForImageClassification")
        self._scores = Scores(self._images.model.config)

    def predict(self, items: list[Item]) -> list[Any]:
        rows = Rows(items, "image")
        self._images.read(rows)
        for indexes in self._images.passes(rows):
            output = self._images.forward([rows[index].value for index in indexes])
            parameters = [rows[index].parameters for index in indexes]
            answers = self._scores.of(output.logits, parameters, top_k=TOP_K)
            for index, answer in zip(indexes, answers, strict=True):
                rows[index].result = answer
        return rows.outputs()


class ObjectDetection:
    """The objects in each image with their boxes, in pixels of the image."""

    def load(self, spec: ModelSpec, device: str) -> None:
        checkpoint = Checkpoint(spec)
        self._images = Images(checkpoint, device, "AutoModelForObjectDetection")
        self._labels = self._images.model.config.id2label
        if not hasattr(self._images.processor, "post_process_object_detection"):
            raise checkpoint.refusal("its image processor does not know object-detection")

    def predict(self, items: list[Item]) -> list[Any]:
        rows = Rows(items, "image")
        sizes = self._images.read(rows)
        for indexes in self._images.passes(rows):
            output = self._images.forward([rows[index].value for index in indexes])
            found = self._images.processor.post_process_object_detection(
                output, threshold=0.0, target_sizes=[sizes[index] for index in indexes]
            )
            for index, objects in zip(indexes, found, strict=True):
                rows[index].result = self._objects(rows[index], objects)
        return rows.outputs()

    def _objects(self, row: Row, found: dict[str, Any]) -> list[dict[str, Any]]:
        """`[{label, score, box}]`, surest first, of those above the threshold."""
        scores = found["scores"].float()
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
