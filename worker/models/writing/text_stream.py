"""The text of a row while it is generated: decoded piece by piece, streamed, stopped."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from transformers import StoppingCriteria

from worker.models.interface import Item
from worker.models.passes.rows import Row

CONTEXT = 5
"""Tokens of the prompt that are decoded along, as the first new token may need a space before it."""


class TextStream:
    """One row's text. The pieces that it emits are, in order, exactly its text."""

    def __init__(
        self,
        row: Row,
        tokenizer: Any,
        *,
        prompt: list[int],
        most: int,
        stops: list[str],
        emits: bool,
        clean: Callable[[str], str] | None = None,
    ) -> None:
        """`most`: tokens; `clean`: what is done to the text once it is whole, which is then one piece."""
        self.row = row
        self.text = ""
        self.done = False
        self._decode = tokenizer.decode
        self._ids = prompt[-CONTEXT:]
        self._from, self._to = 0, len(self._ids)
        self._left = most
        self._stops = stops
        self._emits = emits
        self._clean = clean
        self._raw = ""

    def add_token(self, token: int, *, last: bool = False) -> None:
        """The next token; `done` once the text has come to one of its stops, or nobody wants it."""
        if self.row.item.should_stop():
            self.done = True
            return
        self._ids.append(token)
        self._left -= 1
        self._read()
        if last or self._left < 1:
            self.finish()

    def add_tokens(self, tokens: Iterable[int]) -> None:
        """All tokens of a text that is final."""
        self._ids.extend(tokens)

    def finish(self) -> str:
        """The text, with what was held back: the last bytes of a character that never came whole."""
        if not self.done:
            self._read(final=True)
        self.done = True
        if self._clean:
            cleaned, self._clean = self._clean(self._raw), None
            self.add_text(cleaned)
        return self.text

    def add_text(self, piece: str) -> None:
        """Add a piece to the text, and stream it."""
        self.text += piece
        if self._emits and piece:
            self.row.item.emit(piece)

    def _read(self, *, final: bool = False) -> None:
        """Decode what is new. Two texts are compared, as a token's text depends on those before it."""
        before = self._text(self._ids[self._from : self._to])
        after = self._text(self._ids[self._from :])
        if len(after) <= len(before) or (after.endswith("�") and not final):
            return
        self._from, self._to = self._to, len(self._ids)
        self._cut(after[len(before) :])

    def _cut(self, piece: str) -> None:
        """Add the piece as far as the first stop that it completes, the stop included."""
        whole, ends = self._raw + piece, []
        for stop in self._stops:
            found = whole.find(stop, max(0, len(self._raw) - len(stop) + 1))
            if found >= 0:
                ends.append(found + len(stop))
        if ends:
            self.done = True
            piece = whole[len(self._raw) : min(ends)]
        self._raw += piece
        if not self._clean:
            self.add_text(piece)

    def _text(self, ids: list[int]) -> str:
        text: str = self._decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False)
        return text


class StopIfUnwanted(StoppingCriteria):
    """Ends a pass once all of its rows are unwanted."""

    def __init__(self, items: list[Item]) -> None:
        self._items = items

    def __call__(self, input_ids: Any, scores: Any, **kwargs: Any) -> Any:
        ended = all(item.should_stop() for item in self._items)
        return torch.full((input_ids.shape[0],), ended, device=input_ids.device)


class StreamingCriteria(StoppingCriteria):
    """Hands each new token to its row's stream and ends the rows that are done.

    With beams a row has several texts, and the last token of none of them is final: then rows are only
    ended that nobody wants any more or that are lost.
    """

    def __init__(
        self,
        streams: list[TextStream],
        ends: set[int],
        *,
        beams: bool,
        lost: Any,
        stops: StoppingCriteria | None = None,
        padding: Sequence[int] = (),
    ) -> None:
        """`lost` (rows): see `RowwiseProcessor`; `stops`: the stop strings of the model's own file, which see each
        row without its `padding`, tokens at the left.
        """
        self._streams = streams
        self._ends = ends
        self._beams = beams
        self._lost = lost
        self._stops = stops
        self._padding = padding

    def __call__(self, input_ids: Any, scores: Any, **kwargs: Any) -> Any:
        stopped = self._stopped(input_ids)
        lost = self._lost.tolist()
        for stream, gone in zip(self._streams, lost, strict=True):
            stream.done = stream.done or gone
        if self._beams:
            done = [stream.done or stream.row.item.should_stop() for stream in self._streams]
        else:
            self._take(input_ids[:, -1].tolist(), stopped)
            done = [stream.done for stream in self._streams]
        ended = torch.tensor(done, device=input_ids.device)
        ended = ended.repeat_interleave(input_ids.shape[0] // len(done))
        return ended | torch.tensor(stopped, device=input_ids.device)

    def _take(self, tokens: list[int], stopped: list[bool]) -> None:
        for stream, token, stops in zip(self._streams, tokens, stopped, strict=True):
            if not stream.done:
                stream.add_token(token, last=stops or token in self._ends)

    def _stopped(self, input_ids: Any) -> list[bool]:
        """For each text whether it has come to one of the model's own stop strings."""
        if self._stops is None:
            return [False] * len(input_ids)
        texts = len(input_ids) // len(self._streams)
        found = [
            self._stops(input_ids[row * texts : (row + 1) * texts, padding:], None)
            for row, padding in enumerate(self._padding)
        ]
        ended: list[bool] = torch.cat(found).tolist()
        return ended
