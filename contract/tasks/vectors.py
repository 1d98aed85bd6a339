"""Tasks over vectors of texts."""

from contract.examples import SENTENCE
from contract.tasks.row import (
    MAX_ITEMS,
    TEXT,
    Schema,
    Task,
    items_input,
    one_input,
    or_list,
    parameters,
)

CUTS: dict[str, Schema] = {
    "truncate": {
        "type": "boolean",
        "description": "Whether a text too long is cut, which is the default, or refused.",
    },
    "truncation_direction": {
        "enum": ["left", "right"],
        "description": "The side that is cut off; by default what the model's tokenizer says.",
    },
    "prompt_name": {
        **TEXT,
        "maxLength": 1000,
        "description": "Which of the model's own prompts stands in front of each text.",
    },
    "dimensions": {
        "type": "integer",
        "minimum": 1,
        "maximum": 1_000_000,
        "description": "So many of the first numbers of each vector, for models trained for that.",
    },
}
CUT_NOTE = (
    "Vectors are those of sentence-transformers' `encode`: its files of the model are read whole, and a key that "
    "is not applied stops the worker's start by its name. `dimensions` cuts what the model gives, so a vector "
    "that was normalised by the model has not length 1 any more unless `normalize` is true."
)

TASKS = (
    Task(
        name="feature-extraction",
        model="worker.models.tasks.embedding:FeatureExtraction",
        heads=("AutoModel", "AutoModelForTextEncoding"),
        gives="a vector",
        input=items_input(
            TEXT,
            parameters(
                normalize={
                    "type": "boolean",
                    "description": "Whether vectors have length 1; by default what the model says.",
                },
                **CUTS,
            ),
            bare="text",
            example={"text": SENTENCE},
        ),
        output=or_list(
            {
                "type": "array",
                "description": "One vector, or one vector a token without pooling.",
            }
        ),
        notes=CUT_NOTE,
    ),
    Task(
        name="sentence-similarity",
        model="worker.models.tasks.embedding:SentenceSimilarity",
        heads=("AutoModel", "AutoModelForTextEncoding"),
        gives="`[number]`",
        input=one_input(
            {
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
            parameters(**CUTS),
            example={
                "inputs": {
                    "source_sentence": "A violinist plays alone.",
                    "sentences": ["A soloist performs.", "The cat sleeps."],
                }
            },
        ),
        output={"type": "array", "items": {"type": "number"}},
        notes="The similarity is the one that the model's files name: cosine where they name none, dot product, or "
        "the negative Euclidean or Manhattan distance.",
    ),
)
