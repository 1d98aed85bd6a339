"""A mask for each thing in an image: image-segmentation."""

import inspect
from typing import Any

import numpy as np
import transformers
from PIL import Image

from contract.catalog import ModelSpec
from contract.errors import BadItem
from worker.models.files.checkpoint import Checkpoint
from worker.models.images.image_model import (
    ImageModel,
    encode_png,
    find_answerable,
    sample_images,
    take_row,
)
from worker.models.interface import Item
from worker.models.passes.rows import Row, Rows
from worker.models.passes.warm_up import warm_up

KINDS = (
    "AutoModelForUniversalSegmentation",
    "AutoModelForInstanceSegmentation",
    "AutoModelForSemanticSegmentation",
)
SUBTASKS = "panoptic", "instance", "semantic"
"""In the order in which one is chosen where the caller does not, as transformers does."""
DEFAULTS = {"threshold": 0.9, "mask_threshold": 0.5, "overlap_mask_area_threshold": 0.5}
MAX_NUMBERS = 2**30
"""Most pixels times masks that are computed for one image: 4 GiB."""


class ImageSegmentation:
    """The things in each image, each with a mask of the image's size."""

    def load(self, spec: ModelSpec, device: str) -> None:
        checkpoint = Checkpoint(spec)
        config = checkpoint.load_part("AutoConfig")
        if config.model_type == "oneformer":
            raise checkpoint.refusal(
                "a oneformer model is told its task in words, which is not served; take a "
                "mask2former, maskformer, detr or segformer model"
            )
        able = [
            name for name in KINDS if type(config) in getattr(transformers, name)._model_mapping
        ]
        self._images = ImageModel(checkpoint, device, able[0] if able else KINDS[0])
        self._labels = self._images.model.config.id2label
        self._ways = {
            subtask: getattr(self._images.processor, name)
            for subtask in SUBTASKS
            if hasattr(self._images.processor, name := f"post_process_{subtask}_segmentation")
        }
        if "AutoModelForSemanticSegmentation" in able[:1]:
            self._ways = {name: way for name, way in self._ways.items() if name == "semantic"}
        if not self._ways:
            raise checkpoint.refusal("its image processor does not know image-segmentation")
        warm_up(checkpoint, self, sample_images(threshold=0.0))

    def predict(self, items: list[Item]) -> list[Any]:
        rows = Rows(items, "image")
        for some, inputs in self._images.passes(rows):
            output = self._images.forward(inputs)
            computed = [value for name, value in output.items() if name in NUMBERS]
            for index in find_answerable(some, *computed):
                some[index].result = self._segments(some[index], take_row(output, index))
        return rows.outputs()

    def _segments(self, row: Row, output: Any) -> Any:
        subtask = row.parameters.get("subtask") or next(iter(self._ways))
        if subtask not in self._ways:
            return BadItem(f"`subtask` is one of {', '.join(self._ways)} for this model")
        height, width = row.value.size
        masks = self._masks(row, output, subtask)
        if masks * height * width > MAX_NUMBERS:
            return BadItem(
                f"The image has {width} x {height} pixels, which is too many for {masks} masks of them; "
                f"{MAX_NUMBERS // masks:,} are computed"
            )
        if subtask == "semantic":
            (classes,) = self._ways[subtask](output, target_sizes=[row.value.size])
            return self._semantic(classes.numpy())
        way = self._ways[subtask]
        accepted = inspect.signature(way).parameters
        if strange := DEFAULTS.keys() & row.parameters.keys() - accepted.keys():
            return BadItem(f"`{min(strange)}` is not known to this model's `subtask` {subtask}")
        given = {
            name: row.parameters.get(name, DEFAULTS[name]) for name in DEFAULTS.keys() & accepted
        }
        (found,) = way(output, target_sizes=[row.value.size], **given)
        return [
            {
                "label": self._labels[segment["label_id"]],
                "score": segment["score"],
                "mask": _mask(found["segmentation"].numpy() == segment["id"]),
            }
            for segment in found["segments_info"]
        ]

    def _masks(self, row: Row, output: Any, subtask: str) -> int:
        """How many masks are brought to the image's size."""
        logits = output.get("class_queries_logits", output.get("logits"))
        if subtask == "semantic":
            return int(logits.shape[-1] if logits.dim() == 3 else logits.shape[1])
        scores, labels = logits.softmax(dim=-1).max(dim=-1)
        threshold = row.parameters.get("threshold", DEFAULTS["threshold"])
        kept = (labels != logits.shape[-1] - 1) & (scores > threshold)
        return max(1, int(kept.sum()))

    def _semantic(self, classes: Any) -> list[dict[str, Any]]:
        return [
            {"label": self._labels[label], "score": None, "mask": _mask(classes == label)}
            for label in np.unique(classes).tolist()
        ]


NUMBERS = "logits", "class_queries_logits", "masks_queries_logits", "pred_masks"
"""The outputs of the models that answers are made of."""


def _mask(inside: Any) -> str:
    return encode_png(Image.fromarray((inside * 255).astype(np.uint8)))
