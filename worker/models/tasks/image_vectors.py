"""Images as vectors: image-feature-extraction."""

from typing import Any

from contract.catalog import ModelSpec
from contract.errors import BadItem
from worker.models.files.checkpoint import Checkpoint
from worker.models.images.image_model import ImageModel, sample_images
from worker.models.interface import Item
from worker.models.passes.logits import find_invalid_rows
from worker.models.passes.rows import Row, Rows
from worker.models.passes.warm_up import warm_up
from worker.models.timing import timed
from worker.models.torch_errors import first_line


class ImageFeatureExtraction:
    """The last hidden state of each patch of an image, or one vector for all of it."""

    def load(self, spec: ModelSpec, device: str) -> None:
        checkpoint = Checkpoint(spec)
        self._images = ImageModel(checkpoint, device, "AutoModel")
        # of models of two parts, such as CLIP, the one that reads images
        self._call = getattr(self._images.model, "get_image_features", None)
        self._pools = True
        try:
            with timed("warm_up"):
                (pooled,) = self.predict([Item("warm-up", sample_images(pool=True)["a picture"])])
        except (ValueError, TypeError) as error:  # GIT and ViLT ask for a text beside it
            raise checkpoint.refusal(
                f"it cannot read an image alone ({first_line(error)}); take a model that does, such as a ViT or CLIP"
            ) from error
        self._pools = not isinstance(
            pooled, Exception
        )  # the model has no pooler, or no weights for it
        warm_up(checkpoint, self, sample_images(pool=self._pools))
        warm_up(checkpoint, self, sample_images())

    def predict(self, items: list[Item]) -> list[Any]:
        rows = Rows(items, "image")
        for some, inputs in self._images.passes(rows):
            output = self._images.forward(inputs, self._call)
            for index, row in enumerate(some):
                row.result = self._vectors(row, output, index)
        return rows.outputs()

    def _vectors(self, row: Row, output: Any, index: int) -> Any:
        if row.parameters.get("pool"):
            pooled = output.get("pooler_output")
            if pooled is None or not self._pools:
                return BadItem("This model has no vector for a whole image; leave `pool` out")
            values = pooled[index].flatten()
        else:
            values = output[0][index]
        (error,) = find_invalid_rows(values[None])
        return error or values.float().cpu().numpy()
