"""Captions of images: image-to-text."""

from typing import Any

from contract.catalog import ModelSpec
from contract.tasks import TASKS
from worker.models.files.checkpoint import Checkpoint
from worker.models.images.image_decoder import START, ImageDecoder
from worker.models.images.image_model import ImageModel, PreparedImage, sample_images
from worker.models.interface import Item
from worker.models.passes.rows import Row, Rows
from worker.models.passes.warm_up import warm_up
from worker.models.writing.generation_plan import (
    GenerationPlan,
    GenerationPlanner,
    flatten_parameters,
    make_config,
)
from worker.models.writing.positions import find_positions
from worker.models.writing.sampling import find_seed

SERVED = "blip", "git", "vision-encoder-decoder"
NESTED = "generation_parameters"
"""Where this task's clients put what is for `generate`."""


class ImageToText:
    """A caption for each image."""

    def load(self, spec: ModelSpec, device: str) -> None:
        checkpoint = Checkpoint(spec)
        kind = checkpoint.load_part("AutoConfig").model_type
        if kind not in SERVED:
            raise checkpoint.refusal(
                f"a {kind} model is not one that writes of an image alone, as image-to-text asks for it; "
                f"{', '.join(SERVED)} models are served"
            )
        nested = TASKS["image-to-text"].parameters[NESTED]["properties"]
        checkpoint.check_generation(nested)
        self._images = ImageModel(checkpoint, device, "AutoModelForImageTextToText")
        self._decoder = ImageDecoder(self._images, checkpoint.load_tokenizer())
        part = self._decoder.text_part
        self._room = (find_positions(part, "decoder") or 2**15) - START
        self._defaults = spec.generation
        self._planner = GenerationPlanner(part.generation_config, spec.generation)
        if unserved := self._planner.find_unserved():
            raise checkpoint.refusal(f"its generation_config.json asks for {unserved}, not served")
        # it is in each row's plan already; here `generate` would fill in what a plan leaves out
        part.generation_config = make_config()
        warm_up(checkpoint, self, sample_images(max_new_tokens=min(8, self._room)))

    def predict(self, items: list[Item]) -> list[Any]:
        rows = Rows(items, "image")
        plans: dict[Any, tuple[GenerationPlan, int | None]] = {}

        def read(row: Row) -> PreparedImage:
            plan, seed = self._plan(row)
            # a row that is sampled runs alone, with its own seed
            key = (plan.key, plan.most, None if seed is None else id(row))
            plans[key] = plan, seed
            prepared = self._images.prepare(row.value)
            prepared.group = key
            return prepared

        for some, inputs in self._images.passes(rows, read):
            plan, seed = plans[some[0].value.group]
            found = self._decoder.generate(inputs, seed, generation_config=plan.config)
            for row, text in zip(some, found, strict=True):
                row.result = {"generated_text": text} if isinstance(text, str) else text
        return rows.outputs()

    def _plan(self, row: Row) -> tuple[GenerationPlan, int | None]:
        given = flatten_parameters(row.parameters, NESTED)
        plan = self._planner.plan(given, START, self._room)
        if not plan.config.do_sample:
            return plan, None
        return plan, find_seed(row, given.get("seed", self._defaults.get("seed")))
