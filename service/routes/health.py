"""Probes and metrics."""

from fastapi import APIRouter, Request
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.responses import JSONResponse, Response

from contract.errors import SoloistError
from contract.ledger.transitions import read_models
from service.gateway.context import context_of

router = APIRouter(include_in_schema=False)


@router.get("/livez")
async def livez() -> Response:
    """The process turns its event loop."""
    return JSONResponse({"alive": True})


@router.get("/readyz")
async def readyz(request: Request) -> Response:
    """Predictions can be accepted, and their outcomes arrive. The broker may be away meanwhile."""
    predictions = context_of(request).predictions
    try:
        await predictions.run_transition(read_models([]))
    except SoloistError as error:
        return JSONResponse({"state": "waiting", "detail": error.detail}, 503)
    if not predictions.hears_outcomes:
        detail = "the subscription to outcomes is cut off"
        return JSONResponse({"state": "waiting", "detail": detail}, 503)
    return JSONResponse({"state": "ready"})


@router.get("/metrics")
async def metrics() -> Response:
    return Response(generate_latest(), headers={"content-type": CONTENT_TYPE_LATEST})
