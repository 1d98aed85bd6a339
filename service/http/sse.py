"""One prediction as server-sent events, as Replicate's clients read them.

Event names are only output, logs, error and done; each event has a name, an id and data; the last is
`done` with `{}`. Ids count the events of the prediction, which the ledger keeps and never takes back, so that
`Last-Event-ID` resumes anywhere. What a listener was sent can not be taken back either: if it is not how
the output begins, the stream ends with an error.
"""

from collections.abc import Iterator
from hashlib import blake2b

import orjson

from contract.errors import InvalidRequest
from contract.ledger.transitions import Streamed
from contract.prediction import Status

KEEP_ALIVE = b": keep-alive\n\n"
DIFFERS = (
    "the output is not what was streamed: the model ran again and said something else, or changed its "
    "text in the end; the prediction has the output"
)

REMOVED = "the output was removed from the prediction"


def parse_last_event_id(header: str | None) -> int:
    """How many events the client has seen.

    Raises:
        InvalidRequest: the header is no id of ours.
    """
    if not header:
        return 0
    if not header.isascii() or not header.isdigit() or len(header) > 9:
        raise InvalidRequest("Last-Event-ID is not the id of an event of this stream")
    return int(header)


def encode_event(name: str, number: int, data: str) -> bytes:
    """One event in the wire format (WHATWG HTML, section 9.2)."""
    # "\r" alone ends a line there too, and str.splitlines would split at far more.
    lines = data.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    body = "".join(f"data: {line}\n" for line in lines)
    return f"event: {name}\nid: {number}\n{body}\n".encode()


class StreamedText:
    """The text that was streamed so far: enough of it to tell whether an output begins so."""

    def __init__(self) -> None:
        self._digest = blake2b()
        self._bytes = 0
        self.any = False

    def add_piece(self, piece: str) -> None:
        raw = piece.encode()
        self._digest.update(raw)
        self._bytes += len(raw)
        self.any = True

    def find_rest(self, ended: Streamed) -> str | None:
        """The part of the output that was not streamed; None if it does not begin with what was."""
        output = ended.output or ""
        if not self.any:  # and if the run said nothing, it was never meant to come in pieces
            pieces = ended.said is not None or output.startswith('"')
            text = _text(output) if pieces else None
            return output if text is None else text
        text = _text(output)
        if text is None:
            return "" if ended.said in (None, self._bytes) else None
        raw = text.encode()
        if blake2b(raw[: self._bytes]).digest() != self._digest.digest():
            return None
        return raw[self._bytes :].decode()


def _text(output: str) -> str | None:
    """The text of an output that has one: a text, a list of texts, or an object with nothing but a text,
    like `{"generated_text": ...}`.
    """
    value = orjson.loads(output)
    if isinstance(value, dict) and len(value) == 1:
        (value,) = value.values()
    if value and isinstance(value, list) and all(isinstance(piece, str) for piece in value):
        return "".join(value)
    return value if isinstance(value, str) else None


class EventEncoder:
    """Encodes a stream for a client that has its first `since` events."""

    def __init__(self, since: int) -> None:
        self.number = 0
        """The number of the last event."""
        self._since = since
        self._text = StreamedText()
        self._half_line_end = False

    def encode_events(self, found: Streamed) -> Iterator[bytes]:
        """Encode the next events, and the last ones if the prediction is over."""
        outdated = self.number == self._since == 0 and _outdated(found)
        for kind, text in found.events:
            self.number += 1
            if kind == "output":
                if outdated:
                    continue
                self._text.add_piece(text)
                text = self._whole_lines(text)
            if self.number > self._since:
                yield encode_event(kind, self.number, text)
        if found.status.terminal:
            for kind, text in self._end(found):
                self.number += 1
                if self.number > self._since or kind == "done":
                    yield encode_event(kind, self.number, text)

    def _whole_lines(self, piece: str) -> str:
        """Without a "\\n" at its start if the piece before ended with "\\r": that was sent as a whole line end."""
        if not piece:
            return piece
        halved, self._half_line_end = self._half_line_end, piece.endswith("\r")
        return piece[1:] if halved and piece.startswith("\n") else piece

    def _end(self, found: Streamed) -> list[tuple[str, str]]:
        """The events that close a stream. Output that was not streamed comes with them."""
        if found.status is Status.CANCELED:
            return [("done", "{}")]
        error = found.error or ""
        if found.status is Status.SUCCEEDED and found.output is None:
            error = REMOVED
        elif found.status is Status.SUCCEEDED:
            rest = self._text.find_rest(found)
            if rest == "" and self._text.any:
                return [("done", "{}")]
            if rest is not None:
                return [("output", self._whole_lines(rest)), ("done", "{}")]
            error = DIFFERS
        return [("error", orjson.dumps({"detail": error}).decode()), ("done", "{}")]


def _outdated(found: Streamed) -> bool:
    """Whether the output does not begin with these pieces: a client that comes late gets it whole instead."""
    if found.output is None:
        return False
    text_so_far = StreamedText()
    for kind, text in found.events:
        if kind == "output":
            text_so_far.add_piece(text)
    return text_so_far.find_rest(found) is None
