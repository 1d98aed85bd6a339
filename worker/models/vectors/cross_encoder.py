"""How a cross-encoder's makers score a pair of texts: by sentence-transformers' files.

Format and defaults: sentence_transformers 6.2, `cross_encoder/model.py`.
"""

from typing import Any

import torch

from contract.catalog import ModelSpec
from contract.errors import ModelUnloadable
from worker.models.vectors.recipe import (
    EmbeddingCheckpoint,
    Recipe,
    read_settings,
    read_transformer,
)
from worker.models.vectors.sentence_files import (
    SETTINGS,
    WAY,
    SentenceFiles,
    load_activation,
    refuse_unknown_keys,
)


class CrossEncoderCheckpoint(EmbeddingCheckpoint):
    """The checkpoint of a cross-encoder: `activation` makes scores of its logits, and `recipe` has its prompts."""

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__(spec)
        with self.reading("its activation"):
            self.activation = self._activation()

    def make_recipe(self) -> Recipe:
        recipe, files = Recipe(prompts={}), SentenceFiles(self)
        self._said: dict[str, Any] = {}
        with self.reading("its sentence-transformers files"):
            if files.exist:
                kinds = [(module.kind, module.path) for module in files.read_modules()]
                if kinds != [("Transformer", "")]:
                    names = ", ".join(kind for kind, _ in kinds)
                    raise ModelUnloadable(
                        f"its modules are {names}, and Soloist scores pairs by a Transformer alone; {WAY}"
                    )
                said = files.read_json("config_sentence_transformers.json")
                read_settings(recipe, said, "CrossEncoder")
                refuse_unknown_keys(
                    said,
                    {*SETTINGS, "activation_fn", "keep_in_fp32_modules"},
                    "its config_sentence_transformers.json",
                )
                read_transformer(recipe, files.read_transformer(), "sequence-classification")
                self._said = said
        return recipe

    def _activation(self) -> Any:
        config = self.load_part("AutoConfig")
        said = getattr(config, "sentence_transformers", None) or {}
        name = (
            self._said.get("activation_fn")
            or said.get("activation_fn")
            or getattr(config, "sbert_ce_default_activation_function", None)
        )
        if name:
            return load_activation(name, "the file of its scores")
        return torch.nn.Sigmoid() if config.num_labels == 1 else torch.nn.Identity()
