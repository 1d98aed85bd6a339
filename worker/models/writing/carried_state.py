"""State that a few models carry from one text to the next, reset before each pass."""

from typing import Any

KEPT = ("conv1d_state", "recurrent_states")
"""RecurrentGemma continues the text before if the next pass has as many rows."""


class CarriedState:
    """The state that one model carries over."""

    def __init__(self, model: Any) -> None:
        self._kept = [(one, name) for one in model.modules() for name in KEPT if name in vars(one)]
        self.sparse = getattr(model.config, "attention_type", None) == "block_sparse"
        """BigBird attends to blocks that it chooses by the length, padding included. After the first short text it
        attends to everything for good.
        """
        self._choosing = [
            one for one in model.modules() if self.sparse and hasattr(one, "set_attention_type")
        ]

    def reset(self) -> None:
        for module, name in self._kept:
            setattr(module, name, None)
        for module in self._choosing:
            module.set_attention_type("block_sparse")
