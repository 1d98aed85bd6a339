"""How many tokens the encoder and the decoder of a model have positions for."""

from typing import Any, Literal

from torch import nn

Part = Literal["encoder", "decoder"]

NAMES = "max_position_embeddings", "max_seq_len"
"""Of the limit in configurations; MPT, whose biases end there, has the second."""


def find_positions(model: Any, part: Part) -> int | None:
    """Most tokens that this part of the model has positions for; None where nothing limits them.

    A model of one part is its own decoder. Relative positions, as T5 has them, have no limit.
    """
    config = model.config
    limits: list[int] = []
    for one in (config.get_text_config(**{part: True}), config):
        for name in (f"max_{part}_position_embeddings", *NAMES):
            found = getattr(one, name, None)
            if isinstance(found, int) and found > 0 and not limits:
                limits.append(found)
    for name, module in _part(model, part).named_modules():
        if name.endswith("position_embeddings") and isinstance(module, nn.Embedding):
            # RoBERTa and its kin count positions from behind the padding's
            behind = 0 if module.padding_idx is None else module.padding_idx + 1
            limits.append(module.num_embeddings - behind)
    return min(limits, default=None)


def _part(model: Any, part: Part) -> Any:
    if not model.config.is_encoder_decoder:
        return model
    return model.get_encoder() if part == "encoder" else model.get_decoder()
