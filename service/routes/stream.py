"""One prediction as it goes on, as server-sent events."""

import asyncio
from collections.abc import AsyncIterator
from typing import Annotated, Any

from fastapi import APIRouter, Header, Request
from fastapi.responses import StreamingResponse
from starlette.responses import Response

from contract.errors import LedgerUnavailable, PredictionNotFound
from service.gateway.context import context_of, owner_of
from service.gateway.predictions import Predictions
from service.http.openapi import ERRORS
from service.http.sse import KEEP_ALIVE, EventEncoder, parse_last_event_id

router = APIRouter(tags=["predictions"])

KEEP_ALIVE_SECONDS = 15.0
RETRY_SECONDS = 1.0


@router.get(
    "/v1/predictions/{id}/stream",
    responses={200: {"content": {"text/event-stream": {}}}, **ERRORS},
    response_class=Response,
)
async def stream_prediction(
    request: Request, id: str, last_event_id: Annotated[str | None, Header()] = None
) -> Response:
    """Server-sent events: output, logs, error, done. `Last-Event-ID` resumes."""
    context = context_of(request)
    owner = owner_of(request)
    since = parse_last_event_id(last_event_id)
    await context.predictions.require_prediction(id, owner)  # a 404 comes before the stream begins
    return StreamingResponse(
        _follow_events(context.predictions, id, owner, since),
        media_type="text/event-stream",
        headers={"cache-control": "no-store", "x-accel-buffering": "no"},
    )


async def _follow_events(
    predictions: Predictions, id: str, owner: str, since: int
) -> AsyncIterator[bytes]:
    """All events after number `since`, until the prediction is over."""
    changed = asyncio.Event()

    def on_announcement(kind: str, fields: dict[str, Any]) -> None:
        changed.set()

    encoder = EventEncoder(since)
    with predictions.listen_to(id, on_announcement):
        while True:
            changed.clear()
            try:
                found = await predictions.read_stream(id, owner, encoder.number)
            except LedgerUnavailable:
                yield KEEP_ALIVE
                await asyncio.sleep(RETRY_SECONDS)
                continue
            except PredictionNotFound:  # deleted while somebody listened
                return
            if events := b"".join(encoder.encode_events(found)):
                yield events
            if found.status.terminal:
                return
            if predictions.draining:
                return  # the client comes again with Last-Event-ID
            try:
                async with asyncio.timeout(KEEP_ALIVE_SECONDS):
                    await changed.wait()
            except TimeoutError:
                yield KEEP_ALIVE
