"""An input to try each task with, so that the first answer is one copied line away."""

import base64
import json
import shlex
import struct
import zlib
from typing import Any

from contract.catalog import ModelSpec
from contract.schemas import Schema

TEXT = "Soloist plays one model at a time."

SAMPLES: dict[str, dict[str, Any]] = {
    "text-classification": {"text": "Win a free cruise, reply now!"},
    "zero-shot-classification": {
        "inputs": "My card was charged twice.",
        "parameters": {"candidate_labels": ["billing", "delivery", "praise"]},
    },
    "token-classification": {"text": "Ada Lovelace was born in London."},
    "question-answering": {
        "inputs": {"question": "Where was Ada born?", "context": "Ada Lovelace was born in London."}
    },
    "feature-extraction": {"text": TEXT},
    "sentence-similarity": {
        "inputs": {
            "source_sentence": "A violinist plays alone.",
            "sentences": ["A soloist performs.", "The cat sleeps."],
        }
    },
    "summarization": {
        "text": "The violinist had practised the concerto for a year. On the evening of the concert the "
        "hall was full, the orchestra was in form, and she played it without one mistake."
    },
    "translation": {"text": TEXT},
    "text-generation": {"inputs": "Once upon a time", "parameters": {"max_new_tokens": 20}},
}


def sample_input(spec: ModelSpec) -> dict[str, Any] | None:
    """An input that the model accepts, or None if we cannot think of one."""
    if spec.task in ("image-classification", "object-detection"):
        return {"image": base64.b64encode(tiny_png()).decode()}
    if spec.task:
        return SAMPLES.get(spec.task)  # fill-mask needs the model's own mask, speech needs speech
    return _from_schema(spec.input_schema)


def curl(url: str, public_id: str, input: dict[str, Any]) -> str:
    """The same call for a shell; it waits for the answer."""
    body = shlex.quote(json.dumps({"input": input}, ensure_ascii=False))
    return (
        f"curl {url}/v1/models/{public_id}/predictions "
        f"-H 'Content-Type: application/json' -H 'Prefer: wait' -d {body}"
    )


def _from_schema(schema: Schema) -> dict[str, Any] | None:
    """The first of the schema's `examples`, or something in place of each required text."""
    examples = schema.get("examples")
    if isinstance(examples, list) and examples and isinstance(examples[0], dict):
        return examples[0]
    properties = schema.get("properties", {})
    required = schema.get("required", [])
    if required and all(properties.get(name, {}).get("type") == "string" for name in required):
        return dict.fromkeys(required, TEXT)
    return None


def tiny_png(size: int = 32) -> bytes:
    """A grey gradient (PNG, https://www.w3.org/TR/png-3/)."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        check = struct.pack(">I", zlib.crc32(kind + data))
        return struct.pack(">I", len(data)) + kind + data + check

    rows = b"".join(b"\0" + bytes(8 * column for column in range(size)) for _ in range(size))
    header = struct.pack(">IIBBBBB", size, size, 8, 0, 0, 0, 0)
    parts = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows, 9)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + parts
