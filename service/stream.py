"""One prediction as server-sent events, as Replicate's clients read them.

Event names are only output, logs, error and done; each event has a name, an id and data; the last is
`done` with `{}`. Ids count the events of the prediction, so that `Last-Event-ID` resumes anywhere. A
prediction that is started again streams the same pieces again, and those already sent are skipped.
"""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import orjson

from contract.errors import InvalidRequest, LedgerUnavailable, PredictionNotFound
from contract.prediction import Prediction, Status
from service.intake import Intake

KEEP_ALIVE_SECONDS = 15.0
KEEP_ALIVE = b": keep-alive\n\n"
RETRY_SECONDS = 1.0


def last_event_number(header: str | None) -> int:
    """How many events the client has seen.

    Raises:
        InvalidRequest: the header is no id of ours.
    """
    if not header:
        return 0
    if not header.isascii() or not header.isdigit() or len(header) > 9:
        raise InvalidRequest("Last-Event-ID is not the id of an event of this stream")
    return int(header)


def event(name: str, number: int, data: str) -> bytes:
    """One event in the wire format (WHATWG HTML, section 9.2)."""
    # "\r" alone ends a line there too, and str.splitlines would split at far more.
    lines = data.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    body = "".join(f"data: {line}\n" for line in lines)
    return f"event: {name}\nid: {number}\n{body}\n".encode()


async def stream_events(intake: Intake, id: str, owner: str, since: int) -> AsyncIterator[bytes]:
    """All events after number `since`, until the prediction is over."""
    changed = asyncio.Event()

    def on_announcement(kind: str, fields: dict[str, Any]) -> None:
        changed.set()

    number = 0
    pieces = False
    with intake.listen(id, on_announcement):
        while True:
            changed.clear()
            try:
                view = await intake.view(id, owner, since=number, watch=True)
            except LedgerUnavailable:
                yield KEEP_ALIVE
                await asyncio.sleep(RETRY_SECONDS)
                continue
            except PredictionNotFound:  # deleted while somebody listened
                return
            for kind, text in view.events:
                number += 1
                pieces = pieces or kind == "output"
                if number > since:
                    yield event(kind, number, text)
            if view.prediction.status.terminal:
                for name, data in _end(view.prediction, streamed=pieces):
                    number += 1
                    if number > since or name == "done":
                        yield event(name, number, data)
                return
            if intake.draining:
                return  # the client comes again with Last-Event-ID
            try:
                async with asyncio.timeout(KEEP_ALIVE_SECONDS):
                    await changed.wait()
            except TimeoutError:
                yield KEEP_ALIVE


def _end(prediction: Prediction, *, streamed: bool) -> list[tuple[str, str]]:
    """The events that close a stream. An output that came in no pieces comes whole."""
    events = []
    if prediction.status is Status.SUCCEEDED and not streamed:
        output = orjson.loads(prediction.output or "null")
        text = output if isinstance(output, str) else (prediction.output or "null")
        events.append(("output", text))
    if prediction.status is Status.FAILED:
        events.append(("error", orjson.dumps({"detail": prediction.error or ""}).decode()))
    return [*events, ("done", "{}")]
