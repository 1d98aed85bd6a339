"""The gateway's REST API as the commands use it."""

from types import TracebackType
from typing import Any, Self
from urllib.parse import quote, urlsplit

import httpx

from cli.console import Failure

ANSWER_SECONDS = 15.0
"""How long the gateway may take beyond what a request asked it to wait."""


class GatewayUnreachable(Failure):
    """The gateway did not answer."""


class GatewayRefused(Failure):
    """The gateway answered with an error."""

    def __init__(
        self,
        sentence: str,
        status: int,
        code: str,
        retry_after: float | None,
        prediction: str | None = None,
    ) -> None:
        super().__init__(sentence)
        self.status = status
        self.code = code
        self.retry_after = retry_after
        self.prediction = prediction
        """Of an outcome that the gateway does not know: the prediction to ask for."""


class GatewayClient:
    """A connection to a gateway: ``async with GatewayClient(url) as gateway``."""

    def __init__(
        self, url: str, connections: int = 10, transport: httpx.AsyncBaseTransport | None = None
    ) -> None:
        self.url = url
        self.reached = False
        """True once it has answered anything at all."""
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise Failure(
                f"{url!r} is no address of a gateway; it begins with http:// or https://", 2
            )
        self._client = httpx.AsyncClient(
            base_url=url,
            timeout=ANSWER_SECONDS,
            limits=httpx.Limits(max_connections=connections, max_keepalive_connections=connections),
            trust_env=parts.hostname
            not in ("127.0.0.1", "localhost", "::1"),  # no proxy to ourselves
            transport=transport,
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._client.aclose()

    async def list_models(self) -> list[dict[str, Any]]:
        """The models that are served, with what waits for each."""
        results = (await self._call("GET", "/v1/models")).get("results")
        return (
            [model for model in results if isinstance(model, dict)]
            if isinstance(results, list)
            else []
        )

    async def create_prediction(
        self,
        model: str,
        input: dict[str, Any],
        *,
        key: str,
        wait: int = 0,
        priority: str | None = None,
        deadline: str | None = None,
    ) -> dict[str, Any]:
        """Submit one prediction; a second call with the same `key` answers with the first one's.

        Args:
            wait: seconds that the gateway may hold the request until the prediction is over.
            deadline: cancel it after this long, as in `90s` or `5m`.
        """
        headers = {"Idempotency-Key": key}
        if wait:
            headers["Prefer"] = f"wait={wait}"
        if priority:
            headers["X-Priority"] = priority
        if deadline:
            headers["Cancel-After"] = deadline
        owner, _, name = model.rpartition("/")
        path = f"/v1/models/{quote(owner or 'local', safe='')}/{quote(name, safe='')}/predictions"
        timeout = httpx.Timeout(ANSWER_SECONDS, read=wait + ANSWER_SECONDS)
        return await self._call(
            "POST", path, json={"input": input}, headers=headers, timeout=timeout
        )

    async def get_prediction(self, id: str) -> dict[str, Any]:
        """The prediction as it stands."""
        return await self._call("GET", f"/v1/predictions/{quote(id, safe='')}")

    async def cancel_prediction(self, id: str) -> dict[str, Any]:
        """Ask for its end; the prediction as it stands then."""
        return await self._call("POST", f"/v1/predictions/{quote(id, safe='')}/cancel")

    async def _call(self, method: str, path: str, **options: Any) -> dict[str, Any]:
        try:
            response = await self._client.request(method, path, **options)
        except httpx.ConnectError:
            raise GatewayUnreachable(
                f"no gateway answers at {self.url}; start one with `soloist up`, or name it with --url"
            ) from None
        except httpx.TimeoutException:
            raise GatewayUnreachable(f"the gateway at {self.url} did not answer in time") from None
        except httpx.HTTPError as error:
            raise GatewayUnreachable(
                f"the connection to {self.url} broke ({type(error).__name__})"
            ) from None
        self.reached = True
        try:
            body = response.json()
        except ValueError:
            body = None
        if not response.is_success:
            raise _refused(response, body if isinstance(body, dict) else {})
        if not isinstance(body, dict):
            raise Failure(f"what answers at {self.url} is not a Soloist gateway")
        return body


def public_id(model: dict[str, Any]) -> str:
    """A model's name as calls take it: owner/name."""
    return f"{model.get('owner', 'local')}/{model.get('name', '?')}"


def _refused(response: httpx.Response, problem: dict[str, Any]) -> GatewayRefused:
    """A problem+json answer (RFC 9457) as one sentence."""
    sentence = problem.get("detail") or problem.get("title")
    if not isinstance(sentence, str):
        sentence = f"{response.url} answered {response.status_code} {response.reason_phrase}"
    return GatewayRefused(
        " ".join(sentence.split()),
        response.status_code,
        str(problem.get("code") or ""),
        _seconds(response.headers.get("Retry-After")),
        str(problem.get("prediction") or "") or None,
    )


def _seconds(value: str | None) -> float | None:
    try:
        return max(0.0, float(value)) if value else None
    except ValueError:
        return None  # a date; nothing of ours sends one
