"""A model that reads images, and what all tasks over images share.

Images are put into one pass only if they come out of the image processor in one shape: padding them to
a common one would change the answers of models that do not mask it.
"""

import base64
import inspect
import io
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from PIL import Image

from contract.errors import BadItem, ModelUnloadable
from worker.models.files.checkpoint import Checkpoint
from worker.models.images import image_files
from worker.models.passes.cutting import PassBudget, cut_into_passes
from worker.models.passes.logits import find_invalid_rows
from worker.models.passes.rows import Row, Rows
from worker.models.timing import timed
from worker.models.torch_errors import first_line

PATCH = 16
"""`max_batch_tokens` counts an image as patches of this side, as a vision transformer reads it."""

TOP_K = 5

THEIRS = (
    "a processor that exists for torchvision only: `pip install torchvision{}` into the worker's "
    "environment (of the same build as its torch), or take a model with another processor"
)

USUAL = 256
"""Pixels of a side that every image processor accepts."""
SIZE = "it is too small, or too long a strip, for this model's image processor"

PROCESSORS = "preprocessor_config.json", "processor_config.json"

Inputs = dict[str, torch.Tensor]


@dataclass(slots=True)
class PreparedImage:
    """One image as the model reads it, with the texts that are read with it."""

    inputs: Inputs
    """Each with one row."""
    size: tuple[int, int]
    """(height, width) of the image as it came."""
    group: Any = None
    """Only rows that are equal in this share a pass."""

    @property
    def pass_key(self) -> Any:
        """What rows of one pass have in common: shapes, and what of the image is real."""
        shapes = [(name, tuple(array.shape)) for name, array in self.inputs.items()]
        mask = self.inputs.get("pixel_mask")
        partial = None if mask is None or mask.all() else mask.numpy().tobytes()
        return self.group, *shapes, partial

    @property
    def patches(self) -> int:
        pixels = self.inputs.get("pixel_values")
        if pixels is None:  # ImageGPT reads colours as tokens
            return max(array.numel() for array in self.inputs.values())
        return pixels.numel() // (3 * PATCH**2)


class ImageModel:
    """An image processor and a model that reads images."""

    def __init__(self, checkpoint: Checkpoint, device: str, kind: str) -> None:
        self.device = device
        self.processor = load_image_processor(checkpoint)
        self.model = checkpoint.load_model(kind, device)
        for module in self.model.modules():
            if hasattr(module, "config"):  # a backbone has one of its own
                module.config.return_dict = True  # a tuple has no names
        self.accepted = inspect.signature(self.model.forward).parameters
        spec = checkpoint.spec
        self._budget = PassBudget(spec.max_batch_size, spec.max_batch_tokens, spec.max_batch_tokens)

    def passes(
        self, rows: Rows, read: Callable[[Row], PreparedImage] | None = None
    ) -> Iterator[tuple[list[Row], Inputs]]:
        """(rows, what the model reads of them) of each pass.

        `read` makes what the model reads of a row, or raises BadItem; by default the row is an image.
        A row that cannot be read gets its error as result. No more than `max_batch_size` are held in
        memory as what the model reads: small files can be large images.
        """
        for start in range(0, len(rows), self._budget.max_rows):
            window = rows[start : start + self._budget.max_rows]
            kinds: dict[Any, list[Row]] = {}
            for row in window:
                if row.open and self._prepare_row(
                    row, read or (lambda row: self.prepare(row.value))
                ):
                    kinds.setdefault(row.value.pass_key, []).append(row)
            for members in kinds.values():
                for one in cut_into_passes([row.value.patches for row in members], self._budget):
                    if wanted := [members[place] for place in one if members[place].open]:
                        yield wanted, self._collate([row.value for row in wanted])
            for row in window:
                row.value = None

    @timed("inference")
    def forward(self, inputs: Inputs, call: Callable[..., Any] | None = None) -> Any:
        """The model's output, or what another method of it (`call`) gives."""
        with torch.inference_mode():
            return (call or self.model)(**inputs)

    def prepare(self, text: Any) -> PreparedImage:
        """An image in base64 as the model reads it.

        Raises:
            BadItem: it cannot be read.
        """
        picture = image_files.decode_image(text)
        try:
            found = self.processor(images=[picture], return_tensors="pt")
        except Exception as error:
            size = f"{picture.width} x {picture.height} pixels"
            reason = SIZE if self._unfit(picture) else first_line(error)
            raise BadItem(f"The image of {size} cannot be prepared: {reason}") from error
        inputs = {
            name: torch.as_tensor(array) for name, array in found.items() if name in self.accepted
        }
        filled = {name: array for name, array in inputs.items() if len(array)}
        return PreparedImage(filled, (picture.height, picture.width))

    def _unfit(self, picture: Image.Image) -> bool:
        """Whether the image's size is the reason: the processor accepts the same image scaled to a square. What a
        processor itself says of a side that it scaled to 0 is misleading.
        """
        if min(picture.size) >= USUAL and max(picture.size) < 4 * min(picture.size):
            return False
        try:
            self.processor(images=[picture.resize((USUAL, USUAL))], return_tensors="pt")
        except Exception:
            return False
        return True

    def _collate(self, prepared: list[PreparedImage]) -> Inputs:
        joined = {
            name: torch.cat([one.inputs[name] for one in prepared]).to(self.device)
            for name in prepared[0].inputs
        }
        return {
            name: array.to(self.model.dtype) if array.is_floating_point() else array
            for name, array in joined.items()
        }

    @timed("preprocess")
    def _prepare_row(self, row: Row, read: Callable[[Row], PreparedImage]) -> bool:
        try:
            row.value = read(row)
        except BadItem as error:
            row.result = error
            return False
        return True


def load_image_processor(checkpoint: Checkpoint) -> Any:
    """The one on PIL and numpy: no torchvision needed, the same answers on every machine."""
    if not any(checkpoint.find_file(name) for name in PROCESSORS):
        raise checkpoint.refusal(
            "it has no preprocessor_config.json, which says how it reads images; copy the one of the model "
            "that it was trained from, or write it with `processor.save_pretrained(folder)`"
        )
    try:
        return checkpoint.load_part("AutoImageProcessor", backend="pil")
    except ModelUnloadable as error:
        reason = str(error.__cause__)
        if "TimmWrapper" in reason:
            raise checkpoint.refusal(
                f"a model of timm is read by {THEIRS.format(' timm')}"
            ) from error
        if "Could not load any image processor class" in reason:
            raise checkpoint.refusal(f"its images are read by {THEIRS.format('')}") from error
        if "custom code" in reason:
            raise checkpoint.refusal(
                "its images are read by code of its own, which workers never run; take a model whose image "
                "processor transformers has"
            ) from error
        if "torchvision" in reason:
            raise checkpoint.refusal(
                "the torchvision that is installed is not made for this torch: install the one that is, "
                f"or none, since most models need none: {first_line(error.__cause__ or error)}"
            ) from error
        raise


def sample_images(**parameters: Any) -> dict[str, dict[str, Any]]:
    """What a model has to answer before it is ready: pictures of one size, of another and of odd sides."""
    sizes = {"a picture": (64, 48), "another of its size": (64, 48)}
    sizes |= {"one of odd sides": (45, 67), "a small one": (32, 32)}
    return {
        name: {"inputs": draw_gradient(*size, turned=n), "parameters": parameters}
        for n, (name, size) in enumerate(sizes.items())
    }


def draw_gradient(width: int, height: int, turned: int = 0) -> str:
    """A picture of a colour that changes, as base64."""
    light = Image.linear_gradient("L").rotate(90 * turned).resize((width, height))
    return encode_png(Image.merge("RGB", (light, light.point(lambda level: 255 - level), light)))


def encode_png(picture: Image.Image) -> str:
    """A picture as the base64 of a PNG."""
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return base64.b64encode(buffer.getvalue()).decode()


def find_answerable(rows: Sequence[Row], *computed: Any) -> list[int]:
    """Which rows have an answer; those for which something `computed` (rows, ...) is NaN get their error."""
    for values in computed:
        for row, error in zip(rows, find_invalid_rows(values), strict=True):
            row.result = error or row.result
    return [index for index, row in enumerate(rows) if row.open]


def take_row(output: Any, index: int) -> Any:
    """The output for one row, as float32 on the CPU, where what comes after the model is computed."""
    found = {
        name: value[index : index + 1].cpu()
        for name, value in output.items()
        if isinstance(value, torch.Tensor) and value.dim()
    }
    return type(output)(
        **{name: v.float() if v.is_floating_point() else v for name, v in found.items()}
    )
