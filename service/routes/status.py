"""What the status page asks for again and again: models, queues, workers and the newest predictions."""

import asyncio

import orjson
from fastapi import APIRouter, Request
from starlette.responses import Response

from contract import __version__
from contract.ledger.transitions import list_page, read_models
from service.gateway.context import context_of, owner_of
from service.http import schemas
from service.http.openapi import ERRORS, STATUS
from service.http.representation import format_instant, represent_state, represent_summary

router = APIRouter(tags=["models"])

RECENT = 15


@router.get("/v1/status", responses={**STATUS, **ERRORS})
async def get_status(request: Request) -> Response:
    """All models with their states, queues and workers, and the newest predictions without their data."""
    context = context_of(request)
    states, recent = await asyncio.gather(
        context.predictions.run_transition(read_models(list(context.catalog))),
        context.predictions.run_transition(
            list_page(owner_of(request), limit=RECENT, most_read=RECENT, brief=True)
        ),
    )
    body: schemas.StatusReport = {
        "version": __version__,
        "now": format_instant(recent.now),
        "models": [
            {"id": spec.id, **represent_state(states.get(name))}
            for name, spec in context.catalog.items()
        ],
        "predictions": [represent_summary(p, context.model_id(p)) for p in recent.predictions],
    }
    headers = {"cache-control": "no-store"}
    return Response(orjson.dumps(body), 200, headers, "application/json")
