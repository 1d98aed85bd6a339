"""The pages: the status page at `/` and the API's description at `/docs`, whose files lie in service/page."""

import hashlib
from dataclasses import dataclass
from importlib.resources import files
from itertools import chain

from fastapi import APIRouter, Request
from starlette.responses import Response

from contract.errors import NotFound

router = APIRouter()

KINDS = {
    "html": "text/html; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
}
# What the browser may load: these files and our own answers. No script can be written into the page.
HEADERS = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    # The browser asks each time whether its copy is still right, so a new version is seen at once.
    "cache-control": "no-cache",
}


SWAGGER = ("swagger-ui-bundle.js", "swagger-ui.css")
"""Of a package, so that the browser needs no public network for them."""
# Swagger UI's style sheet holds its icons as data.
DOCS_HEADERS = {
    **HEADERS,
    "content-security-policy": HEADERS["content-security-policy"].replace(
        "img-src 'self'", "img-src 'self' data:"
    ),
}


@dataclass(frozen=True, slots=True)
class File:
    content: bytes
    kind: str
    etag: str


def _load() -> dict[str, File]:
    found = {}
    own = (files("service") / "page").iterdir()
    for file in chain(own, (files("fastapi_swagger.resources") / name for name in SWAGGER)):
        kind = KINDS.get(file.name.rpartition(".")[2])
        if kind:
            content = file.read_bytes()
            etag = f'"{hashlib.sha256(content).hexdigest()[:16]}"'
            found[file.name] = File(content, kind, etag)
    return found


FILES = _load()


@router.api_route("/", methods=["GET", "HEAD"], include_in_schema=False)
async def page(request: Request) -> Response:
    """The page itself. It holds no data: what it shows it asks for under /v1."""
    return _answer(request, "index.html")


@router.api_route("/docs", methods=["GET", "HEAD"], include_in_schema=False)
async def docs(request: Request) -> Response:
    """Every route, with a form to try it, as /openapi.json has them."""
    return _answer(request, "docs.html", DOCS_HEADERS)


@router.api_route("/page/{name}", methods=["GET", "HEAD"], include_in_schema=False)
async def page_file(request: Request, name: str) -> Response:
    return _answer(request, name)


def _answer(request: Request, name: str, policy: dict[str, str] = HEADERS) -> Response:
    file = FILES.get(name)
    if file is None:
        raise NotFound("the page has no such file")
    headers = {**policy, "etag": file.etag}
    known = request.headers.get("if-none-match", "")
    if file.etag in (tag.strip().removeprefix("W/") for tag in known.split(",")):
        return Response(None, 304, headers)
    return Response(file.content, 200, {**headers, "content-type": file.kind})
