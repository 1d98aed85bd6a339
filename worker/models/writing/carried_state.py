"""What a few classes of transformers keep from one text to the next, taken back before each pass."""

from typing import Any

KEPT = ("conv1d_state", "recurrent_states")
"""RecurrentGemma goes on from the text before where as many rows come again."""


class CarriedState:
    """What one model remembers."""

    def __init__(self, model: Any) -> None:
        self._kept = [(one, name) for one in model.modules() for name in KEPT if name in vars(one)]
        self.sparse = getattr(model.config, "attention_type", None) == "block_sparse"
        """BigBird looks at blocks of a text that it chooses by the length, padding included, and stops
        to choose for good at the first text that is short."""
        self._choosing = [
            one for one in model.modules() if self.sparse and hasattr(one, "set_attention_type")
        ]

    def reset(self) -> None:
        for module, name in self._kept:
            setattr(module, name, None)
        for module in self._choosing:
            module.set_attention_type("block_sparse")
