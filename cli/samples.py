"""A first call to copy, so that the first answer is one line away."""

import json
import shlex
from typing import Any

from contract.catalog import ModelSpec
from contract.examples import example


def sample_input(spec: ModelSpec) -> dict[str, Any] | None:
    """An input that the model accepts, or None if we cannot think of one."""
    return example(spec.inputs)


def curl(url: str, public_id: str, input: dict[str, Any]) -> str:
    """The same call for a shell; it waits for the answer."""
    body = shlex.quote(json.dumps({"input": input}, ensure_ascii=False))
    return (
        f"curl {url}/v1/models/{public_id}/predictions "
        f"-H 'Content-Type: application/json' -H 'Prefer: wait' -d {body}"
    )
