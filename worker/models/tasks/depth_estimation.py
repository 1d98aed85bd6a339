"""The depth of each pixel of an image: depth-estimation."""

from importlib.util import find_spec
from typing import Any

import torch
from PIL import Image

from contract.catalog import ModelSpec
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


class DepthEstimation:
    """A grey picture of each image's depth, in the image's size, and what its black and white mean."""

    def load(self, spec: ModelSpec, device: str) -> None:
        checkpoint = Checkpoint(spec)
        if checkpoint.load_part("AutoConfig").model_type == "zoedepth" and not find_spec(
            "torchvision"
        ):
            raise checkpoint.refusal(
                "a zoedepth model's answers are made by torchvision: `pip install torchvision` into the "
                "worker's environment (of the same build as its torch), or take a depth_anything or dpt model"
            )
        self._images = ImageModel(checkpoint, device, "AutoModelForDepthEstimation")
        if not hasattr(self._images.processor, "post_process_depth_estimation"):
            raise checkpoint.refusal("its image processor does not know depth-estimation")
        warm_up(checkpoint, self, sample_images(predicted_depth=True))

    def predict(self, items: list[Item]) -> list[Any]:
        rows = Rows(items, "image")
        for some, inputs in self._images.passes(rows):
            output = self._images.forward(inputs)
            for index in find_answerable(some, output.predicted_depth):
                # by place, as ZoeDepth names the second argument otherwise than the others
                (found,) = self._images.processor.post_process_depth_estimation(
                    take_row(output, index), [some[index].value.size]
                )
                depth = found["predicted_depth"].reshape(some[index].value.size)
                some[index].result = _drawn(some[index], depth)
        return rows.outputs()


def _drawn(row: Row, depth: torch.Tensor) -> dict[str, Any]:
    """`depth` (height, width) from its least, drawn black, to its greatest, drawn white."""
    least, greatest = depth.min(), depth.max()
    grey = (depth - least) / (greatest - least) if greatest > least else torch.zeros_like(depth)
    found: dict[str, Any] = {
        "depth": encode_png(Image.fromarray((grey * 255).to(torch.uint8).numpy())),
        "minimum": least.item(),
        "maximum": greatest.item(),
    }
    if row.parameters.get("predicted_depth"):
        found["predicted_depth"] = depth.numpy()
    return found
