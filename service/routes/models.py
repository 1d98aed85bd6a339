"""Models and their versions, with the schemas of their inputs and outputs, their queues and their workers."""

from typing import Any

import orjson
from fastapi import APIRouter, Request
from starlette.responses import Response

from contract.catalog import ModelSpec
from contract.errors import LedgerUnavailable, NotFound
from contract.ledger.transitions import read_models
from service.gateway.context import context_of
from service.http import schemas
from service.http.openapi import ACCOUNT, ERRORS, MODEL, MODELS, VERSION, VERSIONS
from service.http.representation import represent_model, represent_version

router = APIRouter(tags=["models"])


def _json(body: Any) -> Response:
    return Response(orjson.dumps(body), media_type="application/json")


async def _represent(request: Request, specs: list[ModelSpec]) -> list[schemas.Model]:
    """The models with their states; without a ledger the models are still there."""
    context = context_of(request)
    try:
        states = await context.predictions.run_transition(
            read_models([spec.name for spec in specs])
        )
    except LedgerUnavailable:
        states = {}
    base = context.base_url(request)
    return [
        represent_model(spec, base, context.started_at, states.get(spec.name)) for spec in specs
    ]


@router.get("/v1/models", responses=MODELS)
async def list_models(request: Request) -> Response:
    """All models: `results` for Replicate's clients, `data` for OpenAI's."""
    models = await _represent(request, list(context_of(request).catalog.values()))
    return _json(
        {"previous": None, "next": None, "results": models, "object": "list", "data": models}
    )


@router.get("/v1/models/{owner}/{name}", responses={**MODEL, **ERRORS})
async def get_model(request: Request, owner: str, name: str) -> Response:
    (model,) = await _represent(request, [context_of(request).catalog.find(f"{owner}/{name}")])
    return _json(model)


@router.get("/v1/models/{owner}/{name}/versions", responses={**VERSIONS, **ERRORS})
async def list_versions(request: Request, owner: str, name: str) -> Response:
    """Those that are served: the current one first, then others that still have workers. None before a
    worker of the model was there for the first time.
    """
    versions = await _versions(request, owner, name)
    return _json({"previous": None, "next": None, "results": versions})


@router.get("/v1/models/{owner}/{name}/versions/{version}", responses={**VERSION, **ERRORS})
async def get_version(request: Request, owner: str, name: str, version: str) -> Response:
    for shown in await _versions(request, owner, name):
        if shown["id"] == version:
            return _json(shown)
    raise NotFound(f"{owner}/{name} serves no version {version[:100]!r}")


async def _versions(request: Request, owner: str, name: str) -> list[schemas.ModelVersion]:
    context = context_of(request)
    spec = context.catalog.find(f"{owner}/{name}")
    states = await context.predictions.run_transition(read_models([spec.name]))
    return [
        represent_version(spec, version, context.started_at)
        for version in states[spec.name].versions(spec.entry)
    ]


@router.get("/v1/account", responses=ACCOUNT)
async def get_account(request: Request) -> Response:
    """Who asks, as Replicate's clients want to know."""
    return _json({"type": "organization", "username": "local", "name": "local", "github_url": ""})
