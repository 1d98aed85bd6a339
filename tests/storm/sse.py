"""Server-sent events as a client reads them."""

from collections.abc import AsyncIterator

import httpx


async def events(answer: httpx.Response) -> AsyncIterator[tuple[str, str, str]]:
    """The events of a stream as (name, id, data)."""
    event: dict[str, list[str]] = {}
    async for line in answer.aiter_lines():
        if line:
            name, _, value = line.partition(":")
            event.setdefault(name, []).append(value.removeprefix(" "))
        elif event:
            if "event" in event:
                number = event.get("id", [""])[0]
                yield event["event"][0], number, "\n".join(event.get("data", []))
            event = {}
