"""What the official Python client of the next generation sees, as one JSON object: calls_2.py URL VERSION."""

import asyncio
import json
import sys
import warnings
from typing import Any

import replicate
from replicate import AsyncReplicate, Replicate

warnings.simplefilter("ignore", DeprecationWarning)  # its own, of stream()
URL, VERSION = sys.argv[1:]
INPUT = {"text": "hello"}


def raised(act: Any) -> str | None:
    try:
        act()
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return None


def in_turn() -> dict[str, Any]:
    client = Replicate(bearer_token="x", base_url=f"{URL}/v1", max_retries=0)  # noqa: S106
    seen: dict[str, Any] = {"client": replicate.__version__}
    seen["run"] = client.run("local/echo", input=INPUT)
    seen["run_version"] = client.run(f"local/echo:{VERSION}", input=INPUT)
    seen["run_items"] = client.run("local/items", input={})
    seen["run_polling"] = client.run("local/slow", input={"seconds": 0.3}, wait=False)
    seen["run_past_the_wait"] = client.run("local/slow", input={"seconds": 0.8}, wait=1)
    seen["run_failing"] = raised(lambda: client.run("local/fail", input={}))
    seen["run_unknown"] = raised(lambda: client.run("local/nobody", input={}))
    prediction = client.predictions.create(version="local/echo", input=INPUT)
    seen["created"] = prediction.status
    waited = client.predictions.wait(prediction.id)
    seen["waited"] = [waited.status, waited.output]
    seen["got"] = client.predictions.get(prediction_id=prediction.id).output
    held = client.models.predictions.create(
        model_owner="local", model_name="echo", input=INPUT, prefer="wait=5"
    )
    seen["created_and_waited"] = [held.status, held.output]
    slow = client.predictions.create(version="local/slow", input={"seconds": 20})
    seen["canceled"] = client.predictions.cancel(prediction_id=slow.id).status
    # It streams only what a schema calls an iterator (x-cog-array-type); a text comes letter by letter.
    seen["stream"] = "".join(client.stream("local/pieces", input={"text": "one two"}))
    seen["used"] = replicate.use("local/echo")(**INPUT)
    seen["listed"] = sum(1 for _ in client.predictions.list())
    seen["models"] = [model.name for model in client.models.list()]
    model = client.models.get(model_owner="local", model_name="echo")
    seen["model"] = model.latest_version.id if model.latest_version else None
    seen["account"] = client.account.get().username
    client.close()
    return seen


async def at_once() -> dict[str, Any]:
    async with AsyncReplicate(bearer_token="x", base_url=f"{URL}/v1") as client:  # noqa: S106
        prediction = await client.predictions.create(version="local/echo", input=INPUT)
        # Its stream() forgets to await what use() gives: a second await makes up for it.
        stream = await (await client.stream("local/pieces", input={"text": "one two"}))
        return {
            "run": await client.run("local/echo", input=INPUT),
            "waited": (await client.predictions.wait(prediction.id)).output,
            "stream": "".join([piece async for piece in stream]),
        }


if __name__ == "__main__":
    print(json.dumps({**in_turn(), "at_once": asyncio.run(at_once())}))
