"""JSON Schemas of the built-in transformers tasks: what goes in and what comes out.

The inputs have the names of the Hugging Face Inference API: ``{"inputs": ..., "parameters": {...}}``.
Where a task has one input, ``{"text": ...}`` or ``{"image": ...}`` is accepted in its place. ``inputs``
may be a list: one prediction, many items; its output is then a list in the same order.
"""

from dataclasses import dataclass
from typing import Any, Literal

Schema = dict[str, Any]

TaskName = Literal[
    "text-classification",
    "zero-shot-classification",
    "token-classification",
    "question-answering",
    "fill-mask",
    "feature-extraction",
    "sentence-similarity",
    "summarization",
    "translation",
    "text-generation",
    "image-classification",
    "object-detection",
    "automatic-speech-recognition",
]

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
    "description": "The file's bytes in base64, or a data: URL of them. Never an address or a path.",
}
SCORES: Schema = {
    "type": "array",
    "items": {
        "type": "object",
        "properties": {"label": {"type": "string"}, "score": {"type": "number"}},
        "required": ["label", "score"],
    },
}
ANSWER: Schema = {
    "type": "object",
    "properties": {
        "answer": {"type": "string"},
        "score": {"type": "number"},
        "start": {"type": "integer"},
        "end": {"type": "integer"},
    },
}
FILLINGS: Schema = {
    "type": "array",
    "items": {
        "type": "object",
        "properties": {
            "sequence": {"type": "string"},
            "score": {"type": "number"},
            "token": {"type": "integer"},
            "token_str": {"type": "string"},
        },
    },
}
TOP_K: Schema = {"type": "integer", "minimum": 1, "maximum": 1000}
UNIT: Schema = {"type": "number", "minimum": 0, "maximum": 1}


@dataclass(frozen=True, slots=True)
class Task:
    """What one task takes and gives."""

    input: Schema
    output: Schema


def _parameters(**properties: Schema) -> Schema:
    return {"type": "object", "properties": properties, "additionalProperties": False}


def _task(item: Schema, output: Schema, parameters: Schema, *, bare: str | None = None) -> Task:
    """A task over one kind of item, or a list of them."""
    many = {"type": "array", "items": item, "minItems": 1, "maxItems": MAX_ITEMS}
    either = {"anyOf": [item, many]}
    properties = {"inputs": either, "parameters": parameters}
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
    if "required" in parameters:
        schema["required"] = ["parameters"]
    return Task(schema, _or_list(output))


def _or_list(one: Schema) -> Schema:
    return {"anyOf": [one, {"type": "array", "items": one}]}


GENERATION = _parameters(
    max_new_tokens={"type": "integer", "minimum": 1, "maximum": 32768},
    min_new_tokens={"type": "integer", "minimum": 0, "maximum": 32768},
    do_sample={"type": "boolean"},
    temperature={"type": "number", "exclusiveMinimum": 0, "maximum": 100},
    top_k={"type": "integer", "minimum": 0, "maximum": 100_000},
    top_p={"type": "number", "exclusiveMinimum": 0, "maximum": 1},
    repetition_penalty={"type": "number", "exclusiveMinimum": 0, "maximum": 100},
    num_beams={"type": "integer", "minimum": 1, "maximum": 16},
    seed={"type": "integer", "minimum": 0, "maximum": 2**63 - 1},
    stop={"type": "array", "items": TEXT, "maxItems": 16},
    return_full_text={"type": "boolean"},
)
TRANSCRIPTION = _parameters(  # no sampling: a transcript is what was said
    **{
        name: GENERATION["properties"][name]
        for name in ("max_new_tokens", "num_beams", "repetition_penalty")
    }
)
TRANSLATION = {
    **GENERATION,
    "properties": {**GENERATION["properties"], "src_lang": TEXT, "tgt_lang": TEXT},
}

TASKS: dict[str, Task] = {
    "text-classification": _task(
        TEXT,
        SCORES,
        _parameters(top_k=TOP_K, function_to_apply={"enum": ["sigmoid", "softmax", "none"]}),
        bare="text",
    ),
    "zero-shot-classification": _task(
        TEXT,
        SCORES,
        {
            **_parameters(
                candidate_labels=LABELS,
                hypothesis_template={**TEXT, "maxLength": 1000, "pattern": r"\{\}"},
                multi_label={"type": "boolean"},
            ),
            "required": ["candidate_labels"],
        },
        bare="text",
    ),
    "token-classification": _task(
        TEXT,
        {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {
                    "entity_group": {"type": "string"},
                    "score": {"type": "number"},
                    "word": {"type": "string"},
                    "start": {"type": "integer"},
                    "end": {"type": "integer"},
                },
            },
        },
        _parameters(
            aggregation_strategy={"enum": ["none", "simple", "first", "average", "max"]},
            ignore_labels={"type": "array", "items": {"type": "string"}, "maxItems": 1000},
        ),
        bare="text",
    ),
    "question-answering": _task(
        {
            "type": "object",
            "properties": {"question": TEXT, "context": TEXT},
            "required": ["question", "context"],
            "additionalProperties": False,
        },
        _or_list(ANSWER),
        _parameters(
            top_k=TOP_K, max_answer_len=TOP_K, handle_impossible_answer={"type": "boolean"}
        ),
    ),
    "fill-mask": _task(
        TEXT,
        _or_list(FILLINGS),  # a list a mask where a text has several
        _parameters(
            top_k=TOP_K, targets={"type": "array", "items": TEXT, "minItems": 1, "maxItems": 1000}
        ),
        bare="text",
    ),
    "feature-extraction": _task(
        TEXT,
        {"type": "array", "description": "One vector, or one vector a token without pooling."},
        _parameters(normalize={"type": "boolean"}, truncate={"type": "boolean"}),
        bare="text",
    ),
    "sentence-similarity": Task(
        {
            "type": "object",
            "properties": {
                "inputs": {
                    "type": "object",
                    "properties": {
                        "source_sentence": TEXT,
                        "sentences": {
                            "type": "array",
                            "items": TEXT,
                            "minItems": 1,
                            "maxItems": MAX_ITEMS,
                        },
                    },
                    "required": ["source_sentence", "sentences"],
                    "additionalProperties": False,
                },
                "parameters": _parameters(),
            },
            "required": ["inputs"],
            "additionalProperties": False,
        },
        {"type": "array", "items": {"type": "number"}},
    ),
    "summarization": _task(
        TEXT,
        {"type": "object", "properties": {"summary_text": {"type": "string"}}},
        GENERATION,
        bare="text",
    ),
    "translation": _task(
        TEXT,
        {"type": "object", "properties": {"translation_text": {"type": "string"}}},
        TRANSLATION,
        bare="text",
    ),
    "text-generation": _task(
        TEXT,
        {"type": "object", "properties": {"generated_text": {"type": "string"}}},
        GENERATION,
        bare="text",
    ),
    "image-classification": _task(
        MEDIA,
        SCORES,
        _parameters(top_k=TOP_K, function_to_apply={"enum": ["sigmoid", "softmax", "none"]}),
        bare="image",
    ),
    "object-detection": _task(
        MEDIA,
        {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {
                    "label": {"type": "string"},
                    "score": {"type": "number"},
                    "box": {
                        "type": "object",
                        "properties": {
                            edge: {"type": "integer"} for edge in ("xmin", "ymin", "xmax", "ymax")
                        },
                    },
                },
            },
        },
        _parameters(threshold=UNIT),
        bare="image",
    ),
    "automatic-speech-recognition": _task(
        MEDIA,
        {
            "type": "object",
            "properties": {"text": {"type": "string"}},
            "required": ["text"],
        },
        _parameters(
            return_timestamps={"anyOf": [{"type": "boolean"}, {"const": "word"}]},
            generation_parameters=TRANSCRIPTION,
        ),
        bare="audio",
    ),
}

SENTENCE = "Soloist plays one model at a time."
PICTURE = (  # a grey gradient of 16 by 16 pixels, a PNG
    "iVBORw0KGgoAAAANSUhEUgAAABAAAAAQCAAAAAA6mKC9AAAAHElEQVR42mNg4BCQUNAwsHDwCIhIyCio"
    "YBjZAgA44TwBZkYvEAAAAABJRU5ErkJggg=="
)
EXAMPLES: dict[str, dict[str, Any]] = {
    "text-classification": {"text": "Win a free cruise, reply now!"},
    "zero-shot-classification": {
        "inputs": "My card was charged twice.",
        "parameters": {"candidate_labels": ["billing", "delivery", "praise"]},
    },
    "token-classification": {"text": "Ada Lovelace was born in London."},
    "question-answering": {
        "inputs": {"question": "Where was Ada born?", "context": "Ada Lovelace was born in London."}
    },
    "feature-extraction": {"text": SENTENCE},
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
    "translation": {"text": SENTENCE},
    "text-generation": {"inputs": "Once upon a time", "parameters": {"max_new_tokens": 20}},
    "image-classification": {"image": PICTURE},
    "object-detection": {"image": PICTURE},
    # None for fill-mask, which needs the model's own mask, and for speech recognition, which needs speech.
}
for _name, _example in EXAMPLES.items():
    TASKS[_name].input["examples"] = [_example]


def example(schema: Schema) -> dict[str, Any] | None:
    """An input to try a model with: the first of its schema's `examples`, or a text in place of each text
    that it requires; None if neither will do.
    """
    given = schema.get("examples")
    if isinstance(given, list) and given and isinstance(given[0], dict):
        return given[0]
    properties = schema.get("properties", {})
    required = schema.get("required", [])
    if required and all(properties.get(name, {}).get("type") == "string" for name in required):
        return dict.fromkeys(required, SENTENCE)
    return None
