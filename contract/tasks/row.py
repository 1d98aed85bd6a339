"""A row of the table of tasks, and the pieces of JSON Schema that rows are made of.

The inputs have the names of the Hugging Face Inference API: ``{"inputs": ..., "parameters": {...}}``.
Where a task has one input, ``{"text": ...}`` or ``{"image": ...}`` is accepted in its place. ``inputs``
may be a list: one prediction, many items; its output is then a list in the same order.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Schema = dict[str, Any]

MAX_TEXT = 200_000
MAX_ITEMS = 1024
MAX_MEDIA = 16 * 1024 * 1024

TEXT: Schema = {"type": "string", "minLength": 1, "maxLength": MAX_TEXT}
LABELS: Schema = {
    "type": "array",
    "items": {**TEXT, "maxLength": 1000},
    "minItems": 1,
    "maxItems": 100,
}
MEDIA: Schema = {
    "type": "string",
    "minLength": 1,
    "maxLength": MAX_MEDIA,
    "pattern": r"^(data:[\w.+-]+/[\w.+-]+(;[\w=.+-]+)*;base64,)?[A-Za-z0-9+/\s]+=*\s*$",
    "description": "The file's bytes in base64, or a data: URL of them. Addresses and paths are not opened.",
}
TOP_K: Schema = {"type": "integer", "minimum": 1, "maximum": 1000}
TEMPLATE: Schema = {
    **TEXT,
    "maxLength": 1000,
    "pattern": r"\{0?\}",
    "description": "A sentence with `{}` where the label goes; a brace of its own is written twice.",
}
UNIT: Schema = {"type": "number", "minimum": 0, "maximum": 1}
FUNCTION: Schema = {
    "enum": ["sigmoid", "softmax", "none"],
    "description": "What makes scores of logits; by default what the model's configuration says.",
}
SCORES: Schema = {
    "type": "array",
    "items": {
        "type": "object",
        "properties": {"label": {"type": "string"}, "score": {"type": "number"}},
        "required": ["label", "score"],
    },
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """What one task takes and gives, and where the class that does it is."""

    name: str
    model: str
    """`module:Class` of the worker. Imported on demand: each brings torch and transformers with it."""
    reads: Literal["texts", "images", "sounds"] = "texts"
    """What stands in `inputs`."""
    heads: tuple[str, ...] = ()
    """transformers' Auto classes that it is done with; none where the class itself names its models."""
    gives: str
    """The output in short, for people."""
    input: Schema
    output: Schema
    refused: Mapping[str, str] = field(default_factory=dict)
    """Parameters of the Hugging Face clients that are not served, each with the reason or the way out."""
    notes: str = ""
    """What else a caller should know, in Markdown."""

    @property
    def parameters(self) -> dict[str, Schema]:
        """The parameters that a prediction may have."""
        found: dict[str, Schema] = self.input["properties"]["parameters"]["properties"]
        return found


def parameters(**properties: Schema) -> Schema:
    return {"type": "object", "properties": properties, "additionalProperties": False}


def one_input(item: Schema, settings: Schema, example: Schema | None = None) -> Schema:
    """The input of a task over exactly one `item`."""
    return _exemplified(
        {
            "type": "object",
            "properties": {"inputs": item, "parameters": settings},
            "required": ["inputs", *(["parameters"] if "required" in settings else [])],
            "additionalProperties": False,
        },
        example,
    )


def items_input(
    item: Schema, settings: Schema, *, bare: str | None = None, example: Schema | None = None
) -> Schema:
    """The input of a task over one `item` or a list of them, under `inputs` or the `bare` name."""
    many = {"type": "array", "items": item, "minItems": 1, "maxItems": MAX_ITEMS}
    either = {"anyOf": [item, many]}
    properties = {"inputs": either, "parameters": settings}
    names = ["inputs"]
    if bare:
        properties[bare] = either
        names.append(bare)
    schema: Schema = {
        "type": "object",
        "properties": properties,
        "additionalProperties": False,
        "oneOf": [{"required": [name]} for name in names],
    }
    if "required" in settings:
        schema["required"] = ["parameters"]
    return _exemplified(schema, example)


def or_list(one: Schema) -> Schema:
    return {"anyOf": [one, {"type": "array", "items": one}]}


def _exemplified(schema: Schema, example: Schema | None) -> Schema:
    return schema if example is None else {**schema, "examples": [example]}
