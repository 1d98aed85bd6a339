"""What the Python client of the next generation does about 504, as one JSON list: unknown_2.py URL VERSION."""

import json
import sys
from collections.abc import Callable
from typing import Any

from replicate import Replicate

URL, VERSION = sys.argv[1:]
INPUT = {"text": "hello"}
client = Replicate(bearer_token="x", base_url=f"{URL}/v1")  # noqa: S106 - and with its own retries

calls: list[Callable[[], Any]] = [
    lambda: client.predictions.create(version="local/echo", input=INPUT),
    lambda: client.models.predictions.create(model_owner="local", model_name="echo", input=INPUT),
    lambda: client.run(f"local/echo:{VERSION}", input=INPUT),
]
seen = []
for call in calls:
    try:
        call()
        seen.append(None)
    except Exception as error:
        seen.append(getattr(error, "status_code", repr(error)))
print(json.dumps(seen))
