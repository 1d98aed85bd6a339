"""Images as vectors: image-feature-extraction."""

from typing import Any

from contract.catalog import ModelSpec
from contract.errors import BadItem
from worker.models.files.loading import Checkpoint
from worker.models.images.image_model import Images, samples
from worker.models.interface import Item
from worker.models.passes.logits import unusable
from worker.models.passes.rows import Row, Rows
from worker.models.passes.warm_up import prove
from worker.models.timing import during
from worker.models.torch_errors import brief


class ImageFeatureExtraction:
    """What the model's last layer says of each patch of an image, or one vector for all of it."""

    def load(self, spec: ModelSpec, device: str) -> None:
        checkpoint = Checkpoint(spec)
        self._images = Images(checkpoint, device, "AutoModel")
        # of models of two parts, such as CLIP, the one that reads images
        self._call = getattr(self._images.model, "get_image_features", None)
        self._pools = True
        try:
            with during("warm_up"):
                (pooled,) = self.predict([Item("warm-up", samples(pool=True)["a picture"])])
        except (ValueError, TypeError) as error:  # GIT and ViLT ask for a text beside it
            raise checkpoint.refusal(
                f"it cannot read an image alone ({brief(error)}); take a model that does, such as a ViT or CLIP"
            ) from error
        self._pools = not isinstance(pooled, Exception)  # its weights lack, or it has none
        prove(checkpoint, self, samples(pool=self._pools))
        prove(checkpoint, self, samples())

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
        (error,) = unusable(values[None])
        return error or values.float().cpu().numpy()
