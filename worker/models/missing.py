"""Weights that a checkpoint lacks: whether an answer depends on them decides, not that they lack.

What lacks is filled with NaN and stays so. A first pass over made-up input shows whether NaN comes out
where the task reads; should a weight be used later on after all, the prediction ends as `output_invalid`
and never as an answer that was made up.
"""

import inspect
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch

MOST_TRIED = 24
"""Of so many it is found out one by one which of them an answer depends on: to name these."""


def needed(model: Any, lacking: Iterable[str], reads: tuple[str, ...] = ()) -> list[str]:
    """Those of the lacking weights that the model's answers depend on; the others are left as NaN.

    `reads`: the fields of the model's output that the task reads; all that are numbers if none is named.
    Where no pass can be made up for a model, all of them are needed.
    """
    weights = {name: model.get_parameter_or_buffer(name) for name in lacking}
    weights = {
        name: tensor for name, tensor in weights.items() if not computed(model, name, tensor)
    }
    if not weights:
        return []
    try:
        ask = _asker(model, reads)
        _fill(weights.values())
        if not ask():
            return []
        return _culprits(weights, ask) or sorted(weights)
    except Exception:  # of whatever kind: it is a guess at what this architecture reads
        return sorted(weights)


def computed(model: Any, name: str, tensor: Any) -> bool:
    """Whether it is a buffer that the class computes by itself, such as the numbers of the positions.

    One that is all zeros or ones is no such thing: it stands for what training would have counted.
    """
    if isinstance(tensor, torch.nn.Parameter) or name not in dict(model.named_buffers()):
        return False
    return not tensor.is_floating_point() or bool(
        tensor.numel() > 1 and tensor.min() != tensor.max()
    )


def _fill(tensors: Iterable[Any]) -> None:
    for tensor in tensors:
        if tensor.is_floating_point():
            tensor.data.fill_(float("nan"))


def _culprits(weights: Mapping[str, Any], ask: Callable[[], bool]) -> list[str]:
    if len(weights) > MOST_TRIED:
        return []
    found = []
    for name, tensor in weights.items():
        for other in weights.values():
            other.data.zero_()
        _fill([tensor])
        if ask():
            found.append(name)
    return sorted(found)


def _asker(model: Any, reads: tuple[str, ...]) -> Callable[[], bool]:
    """A call that says whether NaN comes out of the model."""
    inputs = _inputs(model)

    def ask() -> bool:
        with torch.inference_mode():
            output = model(**inputs, return_dict=True)
        read = {name: output[name] for name in reads} if reads else output
        return any(
            value.isnan().any().item()
            for value in read.values()
            if isinstance(value, torch.Tensor) and value.is_floating_point()
        )

    return ask


def _inputs(model: Any) -> dict[str, Any]:
    """Made-up input of the names that this model's `forward` takes."""
    names = inspect.signature(model.forward).parameters
    config, device, kind = model.config, model.device, model.dtype
    made: dict[str, Any] = {}
    if "input_ids" in names:
        made["input_ids"] = torch.tensor([_tokens(config)], device=device)
    if "pixel_values" in names:
        made["pixel_values"] = _waves(1, *_image(config)).to(device, kind)
    if "input_values" in names:
        made["input_values"] = _waves(1, 16_000).to(device, kind)
    if "input_features" in names:
        made["input_features"] = _waves(1, *_sound(config)).to(device, kind)
    if "decoder_input_ids" in names and getattr(config, "is_encoder_decoder", False):
        start = getattr(config, "decoder_start_token_id", None) or 0
        made["decoder_input_ids"] = torch.tensor([[start]], device=device)
    return made


def _tokens(config: Any) -> list[int]:
    """A few small ids that are no padding, and the end of a text where the model looks for it."""
    text = config.get_text_config()
    padding, end = (getattr(text, name, None) for name in ("pad_token_id", "eos_token_id"))
    ids = [number for number in range(2, 12) if number != padding and number < text.vocab_size][:6]
    return [*ids, end] if isinstance(end, int) and end < text.vocab_size else ids


def _image(config: Any) -> tuple[int, int, int]:
    vision = getattr(config, "vision_config", None) or config
    size = getattr(vision, "image_size", None) or 224
    height, width = (size, size) if isinstance(size, int) else tuple(size)[:2]
    return getattr(vision, "num_channels", 3), height, width


def _sound(config: Any) -> tuple[int, int]:
    """Mel bands and frames, as Whisper reads them; frames and features, as others do."""
    if (bands := getattr(config, "num_mel_bins", None)) is not None:
        frames = 2 * getattr(config, "max_source_positions", 1500)
        return (bands, frames) if hasattr(config, "decoder_layers") else (100, bands)
    features = getattr(config, "input_feat_per_channel", None)
    return 100, features or config.feature_projection_input_dim


def _waves(*shape: int) -> Any:
    return torch.sin(torch.arange(torch.Size(shape).numel())).reshape(shape)
