"""Predictions: create, get, list, cancel, erase; as the Replicate HTTP API has them."""

import re
from typing import Annotated, Any
from urllib.parse import urlencode

import orjson
from fastapi import APIRouter, Header, Query, Request
from pydantic import ValidationError
from starlette.responses import Response
from starlette.routing import Route

from contract.catalog import ModelSpec
from contract.errors import InvalidRequest, ModelNotFound
from contract.json_pointer import json_pointer
from contract.ledger.new_prediction import NewPrediction
from contract.ledger.transitions import Created, Page, list_page
from contract.prediction import Prediction, Priority, Status
from contract.versions import UNTOLD, named_version
from service.gateway.context import Context, context_of, owner_of
from service.http import schemas, strict_json
from service.http.body import read_body, require_json
from service.http.openapi import ERRORS, NOT_OVER, PREDICTION, PREDICTIONS, UNKNOWN
from service.http.representation import PREDICTION_PATH, represent_created, represent_prediction

router = APIRouter(tags=["predictions"])

ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
KEY = re.compile(r"[\x21-\x7e]{1,255}")
PREFER_WAIT = re.compile(r"(?:^|[\s,;])wait(?:=(\d{1,9}))?(?:$|[\s,;])", re.IGNORECASE)
DURATION = re.compile(r"(?:(\d{1,6})h)?(?:(\d{1,6})m)?(?:(\d{1,9}(?:\.\d{1,6})?)s?)?")
MARGIN_SECONDS = 0.5
"""How much before the client's own limit a waiting request is answered."""
PAGE = 100


async def create_for_model(request: Request) -> Response:
    """Predict with whatever version of the model a worker has, unless the body names one."""
    context = context_of(request)
    params = request.path_params
    return await _create(
        request, context, context.catalog.find(f"{params['owner']}/{params['name']}")
    )


async def create_for_version(request: Request) -> Response:
    """Predict with the version that the body names: a version id, owner/name or owner/name:version."""
    return await _create(request, context_of(request), None)


async def create_with_id(request: Request) -> Response:
    """Predict under an id of the caller's. The same again is the same prediction."""
    id = request.path_params["id"]
    if not ID.fullmatch(id):
        raise InvalidRequest("an id has 1 to 64 letters, digits, `-` or `_`")
    return await _create(request, context_of(request), None, id)


# Plain routes of Starlette, which service/http/fast_routes.py answers past FastAPI.
fast_routes = [
    Route("/v1/models/{owner}/{name}/predictions", create_for_model, methods=["POST"]),
    Route("/v1/predictions", create_for_version, methods=["POST"]),
    Route("/v1/deployments/{owner}/{name}/predictions", create_for_model, methods=["POST"]),
    Route("/v1/predictions/{id}", create_with_id, methods=["PUT"]),
]


async def _create(
    request: Request, context: Context, spec: ModelSpec | None, id: str | None = None
) -> Response:
    require_json(request)
    body = await strict_json.parse_json_async(
        await read_body(request, context.settings.body_limit_bytes)
    )
    wanted = _parse(body)
    spec, version = await _choose(context, spec, wanted.version)
    headers = request.headers
    wait_seconds = prefer_wait(headers.get("prefer"), context.settings.max_wait_seconds)
    request.state.model = spec.name
    trace = request.scope["trace"]
    new = NewPrediction.from_input(
        context.predictions.schemas[spec.name],
        wanted.input,
        owner_of(request),
        version=version,
        id=id,
        idempotency_key=_idempotency_key(headers.get("idempotency-key")),
        priority=wanted.priority or _priority(headers.get("x-priority")),
        priority_credit_seconds=context.settings.priority_credit_seconds,
        deadline_seconds=cancel_after(headers.get("cancel-after")),
        traceparent=trace.traceparent if trace else None,
        tracestate=trace.tracestate if trace else None,
    )
    created = await context.predictions.create_prediction(new, wait_seconds)
    request.state.prediction = created.prediction.id
    return _answer_created(request, context, created)


async def _choose(
    context: Context, spec: ModelSpec | None, reference: str | None
) -> tuple[ModelSpec, str | None]:
    """The model that path and body name, and the version, if they name one: no other will run it."""
    if reference is None:
        if spec is None:
            raise InvalidRequest("`version` says which model: a version id, or owner/name")
        return spec, None
    named = await context.find_model(reference)
    if spec is not None and named is not spec:
        raise InvalidRequest(
            f"`version` names {named.id}, and the path {spec.id}", pointer="/version"
        )
    version = named_version(reference)
    if version and version.endswith(UNTOLD):
        raise ModelNotFound(
            f"{version} says nothing of the model's files: no worker had told of them; name the model alone"
        )
    return named, version


def _answer_created(request: Request, context: Context, created: Created) -> Response:
    prediction = created.prediction
    # `processing` in the answer to a create makes the clients' run() return None at once.
    status = None if prediction.status.terminal else Status.STARTING
    base = context.base_url(request)
    body = represent_created(created, context.model_id(prediction), base, status)
    return Response(
        orjson.dumps(body),
        200 if created.repeated else 201,
        {"location": f"{base}{PREDICTION_PATH}{prediction.id}"},
        "application/json",
    )


def _parse(body: Any) -> schemas.PredictionRequest:
    if not isinstance(body, dict):
        raise InvalidRequest("the body must be a JSON object", pointer="")
    try:
        wanted = schemas.PredictionRequest.model_validate(body)
    except ValidationError as error:
        first = error.errors()[0]
        pointer = json_pointer(first["loc"])
        detail = f"{pointer or 'an unknown field'}: {first['msg']}"
        raise InvalidRequest(detail, pointer=pointer) from None
    if wanted.webhook is not None:
        raise InvalidRequest(
            "this version serves no webhooks; poll urls.get or listen to urls.stream",
            pointer="/webhook",
        )
    return wanted


def prefer_wait(header: str | None, most_seconds: float) -> float:
    """Seconds that `Prefer: wait[=n]` (RFC 7240) holds a request; 0 without it.

    The answer leaves before n is over, because the clients stop listening at n.
    """
    found = PREFER_WAIT.search(header) if header else None
    if not found:
        return 0.0
    seconds = min(float(found[1]) if found[1] else most_seconds, most_seconds)
    return max(seconds - MARGIN_SECONDS, 0.0)


def cancel_after(header: str | None) -> float | None:
    """Seconds of a `Cancel-After` header: `90`, `90s`, `1m`, `1h30m`.

    Raises:
        InvalidRequest: it is none of these, or less than a second or more than a day.
    """
    if header is None:
        return None
    found = DURATION.fullmatch(header.strip())
    hours, minutes, rest = found.groups() if found else (None, None, None)
    seconds = float(hours or 0) * 3600 + float(minutes or 0) * 60 + float(rest or 0)
    if not 1 <= seconds <= 86400:
        raise InvalidRequest("Cancel-After is a time from 1s to 24h, like 90s, 1m or 1h30m")
    return seconds


def _priority(header: str | None) -> Priority:
    if header is None:
        return Priority.NORMAL
    try:
        return Priority(header.strip().lower())
    except ValueError:
        raise InvalidRequest("X-Priority is high, normal or low") from None


def _idempotency_key(header: str | None) -> str | None:
    if header is not None and not KEY.fullmatch(header):
        raise InvalidRequest("Idempotency-Key has 1 to 255 printable ASCII characters")
    return header


@router.get("/v1/predictions/{id}", responses={**PREDICTION, **ERRORS})
async def get_prediction(
    request: Request, id: str, prefer: Annotated[str | None, Header()] = None
) -> Response:
    """A prediction as it stands; `Prefer: wait=n` waits for its end first."""
    context = context_of(request)
    wait_seconds = prefer_wait(prefer, context.settings.max_wait_seconds)
    owner = owner_of(request)
    if wait_seconds > 0:
        prediction = await context.predictions.wait_for_prediction(id, owner, wait_seconds)
    else:
        prediction = (await context.predictions.read_prediction(id, owner)).prediction
    return _answer(request, context, prediction)


@router.post("/v1/predictions/{id}/cancel", responses={**PREDICTION, **ERRORS, **UNKNOWN})
async def cancel_prediction(request: Request, id: str) -> Response:
    """Cancel at any stage. What is over stays as it is."""
    context = context_of(request)
    return _answer(
        request, context, await context.predictions.cancel_prediction(id, owner_of(request))
    )


@router.delete("/v1/predictions/{id}", responses={**PREDICTION, **NOT_OVER, **ERRORS, **UNKNOWN})
async def erase_prediction(request: Request, id: str) -> Response:
    """Remove the input, output and logs of what is over. That it was, and how it ended, stays known until its
    retention ends.
    """
    context = context_of(request)
    return _answer(
        request, context, await context.predictions.erase_prediction(id, owner_of(request))
    )


def _answer(request: Request, context: Context, prediction: Prediction) -> Response:
    body = represent_prediction(prediction, context.model_id(prediction), context.base_url(request))
    return Response(orjson.dumps(body), media_type="application/json")


@router.get("/v1/predictions", responses={**PREDICTIONS, **ERRORS})
async def list_predictions(
    request: Request,
    model: Annotated[str | None, Query(max_length=200)] = None,
    status: Status | None = None,
    cursor: Annotated[str | None, Query(pattern=r"^[ab][0-9]{1,15}$")] = None,
) -> Response:
    """Newest first, fewer on a page where they are large. The cursors are URLs to GET as they are."""
    context = context_of(request)
    name = context.catalog.find(model).name if model else None
    bound = int(cursor[1:]) if cursor else None
    newer = cursor is not None and cursor[0] == "a"
    page: Page = await context.predictions.run_transition(
        list_page(
            owner_of(request),
            after=bound if newer else None,
            before=None if newer else bound,
            model=name,
            status=status,
            limit=PAGE,
        )
    )
    base = context.base_url(request)
    filters = {k: v for k, v in (("model", model), ("status", status)) if v}

    def url(direction: str, sequence: int | None) -> str | None:
        query = urlencode({**filters, "cursor": f"{direction}{sequence}"})
        return None if sequence is None else f"{base}/v1/predictions?{query}"

    rows = page.predictions[::-1] if newer else page.predictions
    older = page.last if page.more else None
    if newer:
        older = rows[-1].sequence if rows else (bound or 0) + 1
    fresh = (rows[0].sequence if rows else None) if cursor else None
    body: schemas.PredictionPage = {
        "previous": url("a", (page.last if page.more else None) if newer else fresh),
        "next": url("b", older),
        "results": [represent_prediction(p, context.model_id(p), base) for p in rows],
    }
    return Response(orjson.dumps(body), media_type="application/json")
