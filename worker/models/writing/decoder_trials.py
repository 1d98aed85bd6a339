"""Trials of a decoder: the batches in which it continues a text as it does alone, and whether it can search.

Some models take no padding mask (XLNet), others count positions through it (the decoders of BART and its
kin, alone), RWKV in transformers mixes up whole rows.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from transformers import LogitsProcessor, LogitsProcessorList

from worker.models.passes.batching import Batching, find_batching
from worker.models.passes.padding import make_mask, pad_rows
from worker.models.writing.carried_state import CarriedState
from worker.models.writing.generation_plan import make_config

TEXT = "This is a text. "
STEPS = 2
"""The first token is computed from the whole prompt, the second from the cache."""


class ForcedToken(LogitsProcessor):
    """Forces every next token to be this one, so that runs can be compared."""

    def __init__(self, token: int) -> None:
        self._token = token

    def __call__(self, input_ids: Any, scores: Any) -> Any:
        forced = torch.full_like(scores, float("-inf"))
        forced[:, self._token] = 0.0
        return forced


def make_inputs(
    model: Any, prompts: Sequence[Sequence[int]], padding: int, device: str
) -> dict[str, Any]:
    """Prompts as `generate` takes them: padded at the left where the model writes on, with the mask."""
    mask = make_mask(prompts, left=not model.config.is_encoder_decoder)
    return {
        "input_ids": torch.from_numpy(pad_rows(mask, prompts, padding)).to(device),
        "attention_mask": torch.from_numpy(mask.astype(np.int64)).to(device),
    }


def find_decoder_batching(
    model: Any, carried: CarriedState, tokens: Sequence[int], padding: int, start: int | None
) -> Batching:
    """The largest batches in which a text is continued as alone.

    `tokens` are those of a text, at least two; `start` is the token that a decoder begins with, where
    there is an encoder.

    Raises:
        ValueError: the model does not say the same of a text twice.
    """

    def scores(prompts: list[list[int]]) -> Any:
        carried.reset()
        return _scores(model, prompts, padding, start)

    long = list(tokens)
    short = long[-max(1, len(long) // 3) :]
    alone = scores([short])
    if alone.isfinite().any() and _distance(scores([short]), alone) > _noise(model):
        raise ValueError("it writes other things each time that it is asked the same")

    def agrees(batching: Batching) -> bool:
        try:
            found = scores([short, long if batching.pads else short])
        except (ValueError, RuntimeError, IndexError, TypeError):
            return False
        return _distance(found, alone) <= _noise(model)

    side = Batching.PAD_RIGHT if model.config.is_encoder_decoder else Batching.PAD_LEFT
    candidates = [Batching.EQUAL_LENGTHS] if carried.sparse else [side, Batching.EQUAL_LENGTHS]
    return find_batching(candidates, agrees, Batching.SINGLE)


def can_search(
    model: Any, carried: CarriedState, tokens: Sequence[int], padding: int, start: int | None
) -> bool:
    """Whether the model can search with beams; some cannot have their cache put in order."""
    carried.reset()
    try:
        _scores(model, [list(tokens)], padding, start, num_beams=2)
    except (ValueError, RuntimeError, IndexError, TypeError, AttributeError, NotImplementedError):
        return False
    return True


def _noise(model: Any) -> float:
    """The largest difference of two runs that is only rounding, as a share of the largest logit.

    Passes of other shapes add up in another order. A wrong position is off by a tenth and more.
    """
    finest = torch.finfo(model.dtype).eps if model.dtype.is_floating_point else 0.0
    return max(16 * float(finest), 1e-3)


def _scores(
    model: Any, prompts: list[list[int]], padding: int, start: int | None, **options: Any
) -> Any:
    """The logits of the first prompt's next tokens, (steps, vocabulary)."""
    config = make_config(
        max_new_tokens=STEPS,
        do_sample=False,
        pad_token_id=padding,
        decoder_start_token_id=start,
        output_logits=True,
        return_dict_in_generate=True,
        **options,
    )
    with torch.inference_mode():
        found = model.generate(
            **make_inputs(model, prompts, padding, str(model.device)),
            generation_config=config,
            logits_processor=LogitsProcessorList([ForcedToken(prompts[0][-1])]),
        )
    return torch.stack([step[0] for step in found.logits]).float()


def _distance(found: Any, wanted: Any) -> float:
    """The largest difference, as a part of the largest number that is compared."""
    usable = wanted.isfinite() & found.isfinite()
    if not usable.any() or not torch.equal(wanted.isfinite(), found.isfinite()):
        return float("inf")
    wanted, found = wanted[usable], found[usable]
    return float((found - wanted).abs().max() / wanted.abs().max().clamp_min(1e-6))
