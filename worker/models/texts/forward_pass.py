"""One forward pass of an encoder: the inputs that the model takes, padded as it reads them."""

import inspect
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch

from worker.models.passes.batching import Batching
from worker.models.passes.cutting import PassBudget
from worker.models.passes.padding import PaddingToken, make_mask, pad_rows
from worker.models.texts.model_limits import count_embeddings

CLASSIFIER = "AutoModelForSequenceClassification"


class ForwardPass:
    """A model on its device, with the inputs that its tokenizer names."""

    def __init__(self, model: Any, tokenizer: Any, kind: str, device: str) -> None:
        self._model, self._device = model, device
        model.config.return_dict = True  # a tuple has no names
        self.config = model.config
        self.by_token = kind != CLASSIFIER
        """Whether it answers for each token, and not for the whole text."""
        accepted = set(inspect.signature(model.forward).parameters)
        self._always = {"use_cache": False} if "use_cache" in accepted else {}
        self.inputs = accepted & {"attention_mask", *tokenizer.model_input_names}
        self._padding = PaddingToken.of_model(tokenizer, model.config, count_embeddings(model))
        self._segment = tokenizer.pad_token_type_id
        # CANINE pools so many characters into one position
        self._least = getattr(model.config, "downsampling_rate", 1)
        self._restore = _restoring(model)

    def compute(self, encodings: Sequence[Any], batching: Batching) -> tuple[Any, Any]:
        """The model's output and the mask of what is no padding, both (rows, longest, ...)."""
        ids = [encoding.ids for encoding in encodings]
        mask = make_mask(ids, left=batching is Batching.PAD_LEFT, least=self._least)
        arrays = {
            "input_ids": pad_rows(mask, ids, self._padding.choose(ids)),
            "attention_mask": mask.astype(np.int64),
        }
        if "token_type_ids" in self.inputs:
            types = [encoding.type_ids for encoding in encodings]
            arrays["token_type_ids"] = pad_rows(mask, types, self._segment)
        moved = {name: torch.from_numpy(array).to(self._device) for name, array in arrays.items()}
        given = {name: tensor for name, tensor in moved.items() if name in self.inputs}
        self._restore()
        with torch.inference_mode():
            return self._model(**given, **self._always), moved["attention_mask"]

    def compute_each(self, encodings: Sequence[Any], batching: Batching) -> list[Any]:
        """What the model gives for each text: one tensor, without what is for padding."""
        found = self.compute(encodings, batching)[0][0]
        if not self.by_token:
            return list(found)
        return [one[: len(encoding)] for one, encoding in zip(found, encodings, strict=True)]

    def measure_pass_cost(
        self, encoding: Any, batching: Batching, budget: PassBudget
    ) -> PassBudget:
        """Run a small and a larger pass, and learn what starting one costs, in tokens."""
        small = self._seconds([encoding], batching)
        rows = min(32, budget.rows_per_pass(len(encoding)))
        if rows == 1 or batching is Batching.SINGLE:
            return budget
        large = self._seconds([encoding] * rows, batching)
        a_token = max(large - small, 1e-9) / ((rows - 1) * len(encoding))
        # twice what is measured: small passes compute less well, and the answers of each are read
        cost = 2 * round(min(max(small / a_token - len(encoding), 0), budget.max_tokens))
        return PassBudget(budget.max_rows, budget.max_tokens, cost)

    def _seconds(self, encodings: Sequence[Any], batching: Batching) -> float:
        """The best of three: the first one allocates and compiles."""
        best = float("inf")
        for _ in range(3):
            started = time.perf_counter()
            self.compute(encodings, batching)
            if self._device != "cpu":
                torch.cuda.synchronize()
            best = min(best, time.perf_counter() - started)
        return best


def _restoring(model: Any) -> Callable[[], Any]:
    """BigBird turns from sparse to full attention at a short text, and would stay there for long ones."""
    for module in model.modules():
        if hasattr(module, "set_attention_type"):
            return partial(module.set_attention_type, module.attention_type)
    return lambda: None
