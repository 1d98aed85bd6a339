"""Answers to questions about images: visual-question-answering."""

from typing import Any

import torch

from contract.catalog import ModelSpec
from worker.models.files.checkpoint import Checkpoint
from worker.models.images.image_decoder import ImageDecoder
from worker.models.images.image_model import (
    TOP_K,
    ImageModel,
    Inputs,
    PreparedImage,
    find_answerable,
    sample_images,
)
from worker.models.images.text_inputs import TextInputs
from worker.models.interface import Item
from worker.models.passes.rows import Row, Rows
from worker.models.passes.warm_up import warm_up

SERVED = "vilt", "blip"
NEW_TOKENS = 20
"""Of an answer, where the model's own files do not say: `generate` has the same for every model."""


class VisualQuestionAnswering:
    """The likeliest of the answers that a model knows (ViLT), or the one that it writes (BLIP).

    A question shares a pass only with those of as many tokens: BLIP does not mask what is padded.
    """

    def load(self, spec: ModelSpec, device: str) -> None:
        checkpoint = Checkpoint(spec)
        config = checkpoint.load_part("AutoConfig")
        if config.model_type not in SERVED:
            raise checkpoint.refusal(
                f"a {config.model_type} model is not one that visual-question-answering serves: "
                f"{' and '.join(SERVED)} models are"
            )
        if getattr(config, "max_image_length", -1) > 0:
            raise checkpoint.refusal(
                "it looks at patches that are drawn at random (`max_image_length` in its config.json); "
                "set that to -1 to have it look at all"
            )
        self._images = ImageModel(checkpoint, device, "AutoModelForVisualQuestionAnswering")
        self._text_inputs = TextInputs(checkpoint, self._images.model, self._images.accepted)
        writes = config.model_type == "blip"
        self._decoder = ImageDecoder(self._images, checkpoint.load_tokenizer()) if writes else None
        questions = ["What is it?", "Is it one?", "How many cats are in the picture?", "Why?"]
        asked = zip(sample_images().items(), questions, strict=True)
        warm_up(
            checkpoint,
            self,
            {
                f"a question on {name}": {
                    "inputs": {"image": sample["inputs"], "question": question}
                }
                for (name, sample), question in asked
            },
        )

    def predict(self, items: list[Item]) -> list[Any]:
        rows = Rows(items)
        for some, inputs in self._images.passes(rows, self._read):
            if self._decoder:
                self._write(self._decoder, some, inputs)
            else:
                self._choose(some, inputs)
        return rows.outputs()

    def _read(self, row: Row) -> PreparedImage:
        words = self._text_inputs.tokenize([row.value["question"]])
        prepared = self._images.prepare(row.value["image"])
        prepared.inputs |= words
        return prepared

    def _choose(self, rows: list[Row], inputs: Inputs) -> None:
        logits = self._images.forward(inputs).logits
        labels = self._images.model.config.id2label
        for index in find_answerable(rows, logits):
            scores, order = torch.sort(
                torch.sigmoid(logits[index].float()), descending=True, stable=True
            )
            most = rows[index].parameters.get("top_k", TOP_K)
            rows[index].result = [
                {"answer": labels[label], "score": score}
                for label, score in zip(order[:most].tolist(), scores[:most].tolist(), strict=True)
            ]

    def _write(self, decoder: ImageDecoder, rows: list[Row], inputs: Inputs) -> None:
        own = decoder.text_part.generation_config
        length = {} if own.max_new_tokens or own.max_length else {"max_new_tokens": NEW_TOKENS}
        for row, text in zip(rows, decoder.generate(inputs, **length), strict=True):
            row.result = [{"answer": text}] if isinstance(text, str) else text
