"""Texts through an encoder: tokenised in one call, sorted, cut, padded once, one forward pass a cut."""

import inspect
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import torch

from contract.errors import BadItem
from worker.models.faults import brief
from worker.models.loading import Checkpoint
from worker.models.padding import fill, mask_of
from worker.models.passes import Budget, cut
from worker.models.phases import during
from worker.models.rows import Row, each

Text = str | tuple[str, str]

WINDOW = 2048
"""Rows that are tokenised at a time: a million short texts must not fill the memory with tokens."""


@dataclass(slots=True)
class Tokens:
    """What a Python tokenizer gives, in the shape of a `tokenizers.Encoding`."""

    ids: list[int]
    type_ids: list[int]
    overflowing: list[Any] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.ids)


class Encoder:
    """A tokenizer and a model that reads a whole text at once, such as BERT."""

    def __init__(
        self,
        checkpoint: Checkpoint,
        device: str,
        kind: str,
        *,
        truncation: str = "longest_first",
        overlap: int = 0,
        pairs: bool = False,
        offsets: bool = False,
        max_length: int | None = None,
    ) -> None:
        """`truncation`: which of a pair is cut, as the tokenizers library names it; `overlap`: tokens
        that the windows of a text too long share; `pairs`: texts come in pairs; `offsets`: encodings
        know the characters of their tokens.
        """
        spec = checkpoint.spec
        self.device = device
        self.tokenizer = checkpoint.tokenizer()
        if offsets and not self.tokenizer.is_fast:
            raise checkpoint.refusal(f"{spec.task} needs a fast tokenizer, and this model has none")
        self.model = checkpoint.model(kind, device)
        self.config = self.model.config
        self.pad_id = pad_id(self.tokenizer, self.config)
        if self.config.pad_token_id is None:
            self.config.pad_token_id = self.pad_id  # decoders find a row's last token by it
        self.max_length = min(
            longest_input(self.tokenizer, self.model),
            max_length or spec.max_batch_tokens,
            spec.max_batch_tokens,
        )
        self._encode_batch = self._tokenize_by(truncation, overlap, offsets)
        accepted = inspect.signature(self.model.forward).parameters
        self._always = {"use_cache": False} if "use_cache" in accepted else {}
        # for single texts they are mostly what the model assumes by itself
        typed = pairs or any(self._encode_batch(["a"])[0].type_ids)
        self._typed = typed and "token_type_ids" in accepted
        self.budget = Budget(spec.max_batch_size, spec.max_batch_tokens)
        with checkpoint.warming_up():
            self.budget = self._warm_up(pairs)

    @during("preprocess")
    def encode(self, texts: Sequence[Text]) -> list[Any]:
        """One encoding a text (`ids`, `type_ids`, `overflowing`), or the BadItem that it is."""
        return [
            BadItem(f"The text cannot be tokenised: {brief(found)}")
            if isinstance(found, Exception)
            else found
            for found in each(list(texts), self._encode_batch)
        ]

    def plain(self, text: str) -> list[int]:
        """The tokens of a text that is no longer than the model reads, without special ones."""
        if self.tokenizer.is_fast:
            # the wrapper's own `encode` would switch off the truncation that is set on it
            return list(self.tokenizer.backend_tokenizer.encode(text, add_special_tokens=False).ids)
        return list(self.tokenizer.encode(text, add_special_tokens=False))

    def passes(
        self,
        rows: Sequence[Row],
        texts: Sequence[Text],
        check: Callable[[Row, Any], BadItem | None] = lambda row, encoding: None,
    ) -> Iterator[tuple[list[int], list[Any]]]:
        """(indexes of the rows, encodings) of each pass.

        A row whose text cannot be read, or that `check` objects to, gets the error as its result.
        """
        for start in range(0, len(texts), WINDOW):
            window = range(start, min(start + WINDOW, len(texts)))
            encodings = self.encode([texts[index] for index in window])
            for index, encoding in zip(window, encodings, strict=True):
                failed = encoding if isinstance(encoding, BadItem) else check(rows[index], encoding)
                rows[index].result = failed or rows[index].result
            for places in self.cut([rows[index] for index in window], encodings):
                yield [start + place for place in places], [encodings[place] for place in places]

    def cut(self, rows: Sequence[Row], encodings: Sequence[Any]) -> Iterator[list[int]]:
        """Indexes of the rows of each pass: of those that are still to be answered."""
        ready = [index for index, row in enumerate(rows) if row.open]
        for places in cut([len(encodings[index]) for index in ready], self.budget):
            if wanted := [ready[place] for place in places if rows[ready[place]].open]:
                yield wanted

    @during("inference")
    def forward(self, encodings: Sequence[Any]) -> tuple[Any, Any]:
        """One pass: the model's output and the attention mask, both (rows, longest, ...)."""
        ids = [encoding.ids for encoding in encodings]
        mask = mask_of(ids)
        inputs = {
            "input_ids": fill(mask, ids, self.pad_id),
            "attention_mask": mask.astype(np.int64),
        }
        if self._typed:
            types = [encoding.type_ids for encoding in encodings]
            inputs["token_type_ids"] = fill(mask, types, self.tokenizer.pad_token_type_id)
        moved = {name: torch.from_numpy(array).to(self.device) for name, array in inputs.items()}
        with torch.inference_mode():
            return self.model(**moved, **self._always), moved["attention_mask"]

    def _tokenize_by(
        self, truncation: str, overlap: int, offsets: bool
    ) -> Callable[[list[Text]], list[Any]]:
        """The Rust tokenizer is called directly: the wrapper's padding alone costs as much again."""
        if not self.tokenizer.is_fast:
            return partial(self._encode_in_python, truncation)
        backend = self.tokenizer.backend_tokenizer
        backend.no_padding()
        backend.enable_truncation(
            self.max_length,
            stride=min(overlap, self.max_length // 4),  # it panics at one as long as a window
            strategy=truncation,
            direction=self.tokenizer.truncation_side,
        )
        encode: Callable[[list[Text]], list[Any]]
        encode = backend.encode_batch if offsets else backend.encode_batch_fast
        return encode

    def _encode_in_python(self, truncation: str, texts: list[Text]) -> list[Any]:
        paired = isinstance(texts[0], tuple)
        first, second = zip(*texts, strict=True) if paired else (texts, None)
        found = self.tokenizer(
            list(first),
            list(second) if second else None,
            truncation=truncation,
            max_length=self.max_length,
            return_token_type_ids=True,
        )
        return [
            Tokens(*row) for row in zip(found["input_ids"], found["token_type_ids"], strict=True)
        ]

    def _warm_up(self, pairs: bool) -> Budget:
        """Run a small and a larger pass, and learn what starting one costs, in tokens."""
        text: Text = ("a", "a") if pairs else "a"
        ids = self.encode([text])[0].ids
        short = Tokens((ids + ids[-1:] * 8)[: max(len(ids), 8)], [0] * max(len(ids), 8))
        small = self._seconds([short])
        large = self._seconds([short] * (rows := min(32, self.budget.rows_of(len(short)))))
        if rows == 1:
            return self.budget
        a_token = max(large - small, 1e-9) / ((rows - 1) * len(short))
        # twice what is measured: small passes compute less well, and the answers of each are read
        cost = 2 * round(min(max(small / a_token - len(short), 0), self.budget.max_tokens))
        return Budget(self.budget.max_rows, self.budget.max_tokens, cost)

    def _seconds(self, encodings: Sequence[Any]) -> float:
        """The best of three: the first one allocates and compiles."""
        best = float("inf")
        for _ in range(3):
            started = time.perf_counter()
            self.forward(encodings)
            if self.device != "cpu":
                torch.cuda.synchronize()
            best = min(best, time.perf_counter() - started)
        return best


def pad_id(tokenizer: Any, config: Any) -> int:
    """A token to pad with; the attention mask hides it, so any will do where the model names none."""
    end = getattr(config, "eos_token_id", None)
    end = end[0] if isinstance(end, list) else end
    known = (tokenizer.pad_token_id, getattr(config, "pad_token_id", None), end, 0)
    return next(int(found) for found in known if found is not None)


def longest_input(tokenizer: Any, model: Any) -> int:
    """Most tokens, special ones included, that the model has positions for."""
    limits = [int(tokenizer.model_max_length)]
    positions = getattr(model.config, "max_position_embeddings", None)
    if isinstance(positions, int) and positions > 0:
        limits.append(positions)
    for name, module in model.named_modules():
        if name.endswith("position_embeddings") and isinstance(module, torch.nn.Embedding):
            # RoBERTa and its kin count positions from behind the padding's
            behind = 0 if module.padding_idx is None else module.padding_idx + 1
            limits.append(module.num_embeddings - behind)
    return min(limits)
