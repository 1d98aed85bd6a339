"""Texts to tokens: many in one call, each cut to what the model reads. A bad one is refused alone."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from contract.errors import BadItem
from worker.models.passes.rows import call_each
from worker.models.torch_errors import first_line

Text = str | tuple[str, str]
EMPTY = "The text has no token that the model could read"
UNCUT = "Sequence to truncate too short"
"""What the tokenizers library says of a pair whose other half alone is too long."""
TOO_LONG = (
    "What stands beside the text and is not cut, such as a label, leaves it no room in {} tokens"
)


class Cut(NamedTuple):
    """How a text too long is cut: tokens of a window, and how many it shares with the next."""

    length: int
    overlap: int = 0


@dataclass(slots=True)
class TokenList:
    """What a Python tokenizer gives, in the shape of a `tokenizers.Encoding`."""

    ids: list[int]
    type_ids: list[int]
    overflowing: list[Any] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.ids)


class TextTokenizer:
    """A tokenizer, and how a task cuts texts that are too long."""

    def __init__(
        self, tokenizer: Any, longest: int, embedded: int, *, truncation: str, offsets: bool
    ) -> None:
        """`longest`: most tokens of a text; `embedded`: how many tokens the model has embeddings for;
        `truncation`: which of a pair is cut, as the tokenizers library names it; `offsets`: whether
        encodings know the characters of their tokens.
        """
        self.tokenizer = tokenizer
        self._longest = longest
        self._truncation = truncation
        self._offsets = offsets
        self._set: Cut | None = None
        self._embedded = embedded
        self._outgrown = max(tokenizer.get_vocab().values(), default=0) >= embedded

    def tokenize(self, texts: Sequence[Text], cut: Cut) -> list[Any]:
        """One encoding a text (`ids`, `type_ids`, `overflowing`), or the BadItem that it is."""
        found = call_each(list(texts), self._caller(cut))
        return [self._checked(one, cut) for one in found]

    def plain_tokens(self, text: str) -> list[int]:
        """The tokens of a text that is no longer than the model reads, without special ones."""
        if self.tokenizer.is_fast:
            # the wrapper's own `encode` would switch off the truncation that is set on it
            return list(self.tokenizer.backend_tokenizer.encode(text, add_special_tokens=False).ids)
        return list(self.tokenizer.encode(text, add_special_tokens=False))

    def is_cut(self, text: Text, encoding: Any) -> bool:
        """Whether the text has more tokens than its encoding."""
        if self.tokenizer.is_fast or len(encoding) < self._longest:
            return bool(encoding.overflowing)
        pair = text if isinstance(text, tuple) else (text,)
        return len(self.tokenizer(*pair)["input_ids"]) > len(encoding)

    def _checked(self, found: Any, cut: Cut) -> Any:
        if isinstance(found, Exception) and UNCUT in str(found):
            return BadItem(TOO_LONG.format(cut.length))
        if isinstance(found, Exception):
            return BadItem(f"The text cannot be tokenised: {first_line(found)}")
        if len(found) > cut.length:  # tokenizers in Python then cut nothing
            return BadItem(TOO_LONG.format(cut.length))
        if not len(found):
            return BadItem(EMPTY)
        if self._outgrown and (most := max(found.ids)) >= self._embedded:
            word = self.tokenizer.convert_ids_to_tokens(most)
            return BadItem(f"The text holds {word!r}, a token that the model has no embedding for")
        return found

    def _caller(self, cut: Cut) -> Callable[[list[Text]], list[Any]]:
        """The Rust tokenizer is called directly: the wrapper's padding alone costs as much again."""
        if not self.tokenizer.is_fast:
            return lambda texts: self._tokenize_in_python(texts, cut)
        backend = self.tokenizer.backend_tokenizer
        if cut != self._set:
            backend.no_padding()
            backend.enable_truncation(
                cut.length,
                stride=cut.overlap,
                strategy=self._truncation,
                direction=self.tokenizer.truncation_side,
            )
            self._set = cut
        call: Callable[[list[Text]], list[Any]]
        call = backend.encode_batch if self._offsets else backend.encode_batch_fast
        return call

    def _tokenize_in_python(self, texts: list[Text], cut: Cut) -> list[Any]:
        paired = isinstance(texts[0], tuple)
        first, second = zip(*texts, strict=True) if paired else (texts, None)
        found = self.tokenizer(
            list(first),
            list(second) if second else None,
            truncation=self._truncation,
            max_length=cut.length,
            return_token_type_ids=True,
        )
        return [
            TokenList(*row) for row in zip(found["input_ids"], found["token_type_ids"], strict=True)
        ]


def sample_texts(tokenizer: Any, longest: int) -> tuple[str, str, str]:
    """(a short, a middling, a text as long as can be): of words all over the vocabulary."""
    special = set(tokenizer.all_special_ids)
    ids = [number for number in sorted(tokenizer.get_vocab().values()) if number not in special]
    spread = [ids[place * len(ids) // 24] for place in range(24)] if ids else []
    words = [word for number in spread if (word := tokenizer.decode([number]).strip())]
    words = [word for word in dict.fromkeys(words) if word.isprintable() and "\ufffd" not in word]
    short, middle = (words or ["a"])[0], " ".join(words) or "a a a a"
    return short, middle, " ".join([middle] * (longest // max(len(words), 1) + 1))
