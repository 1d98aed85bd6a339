"""How many tokens the encoder and the decoder of a model have positions for."""

from typing import Any, Literal

from worker.models.texts.model_limits import count_positions

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
    return min(limits + count_positions(_part(model, part)), default=None)


def _part(model: Any, part: Part) -> Any:
    if not model.config.is_encoder_decoder:
        return model
    return model.get_encoder() if part == "encoder" else model.get_decoder()
