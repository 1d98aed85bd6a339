"""The gateway as it is reached through the API server, for clients that speak HTTP."""

import asyncio
import json

import httpx

from k8s.cluster import Answer, Cluster

PASSED_ON = ("accept", "content-type", "idempotency-key", "prefer")


class ServiceProxy(httpx.AsyncBaseTransport):
    """Sends every request through the API server's proxy to a Service, with our rights there."""

    def __init__(self, cluster: Cluster, service: str) -> None:
        self._cluster = cluster
        self._root = cluster.service_path(service)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        content = await request.aread()
        headers = {name: request.headers[name] for name in PASSED_ON if name in request.headers}
        answer = await asyncio.to_thread(
            self._cluster.request,
            request.method,
            self._root + request.url.raw_path.decode(),
            None,
            {name.title(): value for name, value in headers.items()},
            json.loads(content) if content else None,
        )
        kept = {name: value for name, value in answer.headers.items() if name == "Retry-After"}
        return httpx.Response(answer.status, headers=kept, content=_content(answer))


def _content(answer: Answer) -> bytes:
    """What the API server itself says comes in the form in which our gateway tells of errors."""
    if answer.refusal is None:
        return answer.content
    return json.dumps({"title": "Not reached", "detail": answer.refusal}).encode()
