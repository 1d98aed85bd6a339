"""Answers about images: image-classification and object-detection.

Images are put into one pass only if they come out of the image processor in one shape: padding them to
a common one would change the answers of models that do not mask it.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from PIL import Image

from contract.catalog import ModelSpec
from contract.errors import BadItem
from worker.models import image
from worker.models.classification import Scores
from worker.models.faults import brief
from worker.models.interface import Item
from worker.models.loading import Checkpoint
from worker.models.passes import Budget, cut
from worker.models.phases import during
from worker.models.rows import Row, Rows

PATCH = 16
"""`max_batch_tokens` counts an image as patches of this side, as a vision transformer reads it."""

TOP_K = 5


@dataclass(slots=True)
class Prepared:
    """One image as the model reads it."""

    inputs: dict[str, Any]
    size: tuple[int, int]
    """(height, width) of the image as it came."""

    @property
    def pixels(self) -> tuple[int, ...]:
        return tuple(self.inputs["pixel_values"].shape)


class Images:
    """An image processor and a model that reads images."""

    def __init__(self, checkpoint: Checkpoint, device: str, kind: str) -> None:
        self.device = device
        # the processors on PIL and numpy: no torchvision needed, the same answers on every machine
        self.processor = checkpoint.part("AutoImageProcessor", backend="pil")
        self.model = checkpoint.model(kind, device)
        spec = checkpoint.spec
        self._budget = Budget(spec.max_batch_size, spec.max_batch_tokens, spec.max_batch_tokens)
        with checkpoint.warming_up():
            self.forward([self.prepare(Image.new("RGB", (64, 48)))])

    def passes(self, rows: Rows) -> Iterator[tuple[list[Row], Any]]:
        """(rows, output) of each pass over images of one shape.

        An image that cannot be read gets its error as result. No more than `max_batch_size` are held
        in memory as what the model reads: small files can be large images.
        """
        for start in range(0, len(rows), self._budget.max_rows):
            window = rows[start : start + self._budget.max_rows]
            shapes: dict[tuple[int, ...], list[Row]] = {}
            for row in window:
                if row.open and self._read(row):
                    shapes.setdefault(row.value.pixels, []).append(row)
            for (*_, height, width), members in shapes.items():
                for one in cut([height * width // PATCH**2] * len(members), self._budget):
                    if wanted := [members[place] for place in one if members[place].open]:
                        yield wanted, self.forward([row.value for row in wanted])
            for row in window:
                row.value = None

    @during("inference")
    def forward(self, prepared: list[Prepared]) -> Any:
        inputs = {
            name: torch.from_numpy(np.concatenate([one.inputs[name] for one in prepared]))
            for name in prepared[0].inputs
        }
        moved = {name: array.to(self.device) for name, array in inputs.items()}
        moved["pixel_values"] = moved["pixel_values"].to(self.model.dtype)
        with torch.inference_mode():
            return self.model(**moved)

    def prepare(self, picture: Any) -> Prepared:
        found = self.processor(images=[picture], return_tensors="np")
        names = [name for name in ("pixel_values", "pixel_mask") if name in found]
        inputs = {name: np.asarray(found[name]) for name in names}
        return Prepared(inputs, (picture.height, picture.width))

    @during("preprocess")
    def _read(self, row: Row) -> bool:
        try:
            row.value = self.prepare(image.read(row.value))
        except BadItem as error:
            row.result = error
            return False
        except Exception as error:
            row.result = BadItem(f"The image cannot be prepared: {brief(error)}")
            return False
        return True


class ImageClassification:
    """The likeliest labels of each image."""

    def load(self, spec: ModelSpec, device: str) -> None:
        self._images = Images(Checkpoint(spec), device, "AutoModelForImageClassification")
        self._scores = Scores(self._images.model.config)

    def predict(self, items: list[Item]) -> list[Any]:
        rows = Rows(items, "image")
        for some, output in self._images.passes(rows):
            answers = self._scores.of(output.logits, [row.parameters for row in some], TOP_K)
            for row, answer in zip(some, answers, strict=True):
                row.result = answer
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
        for some, output in self._images.passes(rows):
            found = self._images.processor.post_process_object_detection(
                output, threshold=0.0, target_sizes=[row.value.size for row in some]
            )
            for row, objects in zip(some, found, strict=True):
                row.result = self._objects(row, objects)
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
