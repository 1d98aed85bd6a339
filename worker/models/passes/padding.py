"""Rows of unequal length as one rectangle, padded with a token that the model takes for padding."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np

Rectangle = np.ndarray[tuple[int, int], np.dtype[Any]]


def make_mask(rows: Sequence[Sequence[int]], *, left: bool = False, least: int = 1) -> Rectangle:
    """(rows, longest), True where a row has a number; rows end (`left`) or begin at one edge."""
    lengths = np.fromiter(map(len, rows), np.int64, len(rows))[:, None]
    longest = max(int(lengths.max()), least)
    places = np.arange(longest)
    return places >= longest - lengths if left else places < lengths


def pad_rows(mask: Rectangle, rows: Sequence[Sequence[int]], padding: int) -> Rectangle:
    """The rows' numbers where the mask is True, `padding` elsewhere. One copy, no loop over rows."""
    filled = np.full(mask.shape, padding, np.int64)
    filled[mask] = np.fromiter(chain.from_iterable(rows), np.int64)
    return filled


@dataclass(slots=True)
class PaddingToken:
    """The token that pads rows and that the model itself takes for padding.

    Decoders that classify look for a row's last token by `config.pad_token_id`: what fills must be what
    they look for. Where the model names none, alone it reads the very last token of a text, whichever
    that is; so the filling is a token that ends no row of the pass.
    """

    config: Any
    embedded: int
    token: int
    free: bool
    """Whether the model names no padding token, so that any will do."""

    @classmethod
    def of_model(cls, tokenizer: Any, config: Any, embedded: int) -> "PaddingToken":
        """Of a model with `embedded` tokens; only those may fill, as the others cannot be looked up."""
        text = _of_texts(config)
        named = _first(getattr(text, "pad_token_id", None))
        end = _first(getattr(text, "eos_token_id", None))
        known = named is not None and 0 <= named < embedded
        if known and not (config.is_encoder_decoder and named == end):
            return cls(config, embedded, int(named or 0), free=False)
        # encoder-decoders look for the end token, which must not pad
        candidates = (
            _first(tokenizer.pad_token_id),
            None if config.is_encoder_decoder else end,
            0,
            1,
        )
        token = next(
            found
            for found in candidates
            if found is not None
            and 0 <= found < embedded
            and not (config.is_encoder_decoder and found == end)
        )
        return cls(config, embedded, token, free=not known)

    def choose(self, rows: Sequence[Sequence[int]]) -> int:
        """The token to pad these rows with. It is set in the model's configuration where that names none."""
        if not self.free:
            return self.token
        ends = {row[-1] for row in rows}
        token = self.token
        if token in ends:
            token = next(number for number in range(self.embedded) if number not in ends)
        for config in (self.config, _of_texts(self.config)):
            config.pad_token_id = token
        return token


def _of_texts(config: Any) -> Any:
    """The part that is about texts, of a model that reads images, too."""
    return config if config.is_encoder_decoder else config.get_text_config()


def _first(token: Any) -> Any:
    """Some configurations have a list of them."""
    return token[0] if isinstance(token, list) else token
