"""The limits of a model that its tokenizer must keep: tokens, segments and positions."""

from typing import Any

import torch

from worker.models.files.checkpoint import Checkpoint

UNBOUNDED = 2**31
"""Of models that have no table of tokens: CANINE reads characters, by their hashes."""


def count_embeddings(model: Any) -> int:
    """How many tokens the model has embeddings for."""
    try:
        rows: int | None = getattr(model.get_input_embeddings(), "num_embeddings", None)
    except NotImplementedError:
        return UNBOUNDED
    return rows or UNBOUNDED


def find_longest_input(tokenizer: Any, model: Any) -> int:
    """Most tokens, special ones included, that the model has positions for."""
    limits = [int(tokenizer.model_max_length)]
    for name in ("max_position_embeddings", "max_seq_len"):
        positions = getattr(model.config, name, None)
        if isinstance(positions, int) and positions > 0:
            limits.append(positions)
    return min(limits + count_positions(model))


def count_positions(model: Any) -> list[int]:
    """How many tokens each table of positions in the model has room for."""
    counts = []
    for name, module in model.named_modules():
        if name.endswith("position_embeddings") and isinstance(module, torch.nn.Embedding):
            # RoBERTa and models like it count positions from behind the padding's
            behind = 0 if module.padding_idx is None else module.padding_idx + 1
            counts.append(module.num_embeddings - behind)
    return counts


def check_tokenizer(checkpoint: Checkpoint, tokenizer: Any, model: Any, segments: int) -> None:
    """Check that the tokenizer has no more than the model can look up. `segments`: how many it marks, 0 if it is not asked.

    Words beyond the embeddings are refused here. Special tokens beyond them are mostly for padding, which
    is chosen among those that the model has; a text that names one is refused by itself.

    Raises:
        ModelUnloadable: it did; texts would fail, on a GPU with the whole process.
    """
    rows = count_embeddings(model)
    added = getattr(tokenizer, "added_tokens_decoder", {}).values()
    special = {*tokenizer.all_special_tokens, *(str(token) for token in added if token.special)}
    beyond = [
        word
        for word, number in tokenizer.get_vocab().items()
        if number >= rows and word not in special
    ]
    if beyond:
        raise checkpoint.refusal(
            f"its tokenizer has {len(beyond)} tokens, such as {beyond[0]!r}, beyond the {rows} that the "
            "model has embeddings for; train it after `model.resize_token_embeddings(len(tokenizer))`, or "
            "take the tokenizer that it was trained with"
        )
    known = _segments(model)
    if known is not None and segments > known:
        raise checkpoint.refusal(
            f"its tokenizer marks {segments} segments and the model knows {known}; leave "
            "`token_type_ids` out of `model_input_names` in its tokenizer_config.json"
        )


def _segments(model: Any) -> int | None:
    """How many segments the model knows; None where it has no table of them."""
    for name, module in model.named_modules():
        if name.endswith("token_type_embeddings") and isinstance(module, torch.nn.Embedding):
            return module.num_embeddings
    return None
