"""Weights that a checkpoint lacks: a model is refused only if an answer depends on them.

Passes over made-up input, with other numbers in place of what lacks, show whether the output changes where
the task reads. NaN would not show it: fused attention swallows it. What no answer depends on is left as NaN
all the same, so that hardly anything can be made of it unseen.
"""

import inspect
from collections.abc import Iterable
from typing import Any

import torch

MOST_TRIED = 24
"""At most so many are tried one by one, to name those that an answer depends on."""


def find_needed_weights(
    model: Any, lacking: Iterable[str], reads: tuple[str, ...] = ()
) -> list[str]:
    """Those of the lacking weights that the model's answers depend on; the others are left as NaN.

    `reads`: the fields of the model's output that the task reads; all that are numbers if none is named.
    Where no pass can be made up for a model, all of them are needed.
    """
    weights = {name: model.get_parameter_or_buffer(name) for name in lacking}
    weights = {
        name: tensor for name, tensor in weights.items() if not is_computed(model, name, tensor)
    }
    if not weights:
        return []
    try:
        inputs = make_input(model)

        def differs(tensors: Iterable[Any]) -> bool:
            return _differ(*(_read(model, inputs, reads, tensors, seed) for seed in (1, 2)))

        if differs(weights.values()):
            few = weights if len(weights) <= MOST_TRIED else {}
            return sorted(name for name in few if differs([few[name]])) or sorted(weights)
    except Exception:  # of any kind, as the input is a guess at what this architecture reads
        return sorted(weights)
    for tensor in weights.values():
        tensor.data.fill_(float("nan"))
    return []


def is_computed(model: Any, name: str, tensor: Any) -> bool:
    """Whether it is a buffer that the class computes by itself, such as the numbers of the positions.

    One that is all zeros or ones is no such thing: it stands for what training would have counted.
    """
    if isinstance(tensor, torch.nn.Parameter) or name not in dict(model.named_buffers()):
        return False
    return not tensor.is_floating_point() or bool(
        tensor.numel() > 1 and tensor.min() != tensor.max()
    )


def _read(
    model: Any, inputs: dict[str, Any], reads: tuple[str, ...], tensors: Iterable[Any], seed: int
) -> list[Any]:
    """What the task reads of the output when these tensors hold the random numbers of a seed."""
    source = torch.Generator().manual_seed(seed)
    for tensor in tensors:
        tensor.data.copy_(torch.randn(tensor.shape, generator=source))
    with torch.inference_mode():
        output = model(**inputs, return_dict=True)
    found = [output[name] for name in reads] if reads else list(output.values())
    return [value.float() for value in found if isinstance(value, torch.Tensor)]


def _differ(ones: list[Any], others: list[Any]) -> bool:
    """Whether they differ by more than rounding; what is no number differs from everything."""
    return not ones or any(
        not bool((one - other).abs().max() <= 1e-3 * one.abs().max())
        for one, other in zip(ones, others, strict=True)
    )


def make_input(model: Any) -> dict[str, Any]:
    """Made-up input of the names that this model's `forward` takes."""
    names = inspect.signature(model.forward).parameters
    config, device, kind = model.config, model.device, model.dtype
    made: dict[str, Any] = {}
    if "input_ids" in names:
        made["input_ids"] = torch.tensor([_tokens(config)], device=device)
    if "pixel_values" in names:
        made["pixel_values"] = _waves(1, *_image(config)).to(device, kind)
    if "input_values" in names:
        frames = getattr(config, "max_length", None), getattr(config, "num_mel_bins", None)
        shape = (
            (16_000,) if None in frames else frames
        )  # a sound, or its spectrogram as AST reads it
        made["input_values"] = _waves(1, *shape).to(device, kind)
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
