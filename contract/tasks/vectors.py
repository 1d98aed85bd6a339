"""Tasks over vectors of texts."""

from contract.examples import SENTENCE
from contract.tasks.row import MAX_ITEMS, TEXT, Task, items_input, one_input, or_list, parameters

TASKS = (
    Task(
        name="feature-extraction",
        model="worker.models.embedding:FeatureExtraction",
        gives="a vector",
        input=items_input(
            TEXT,
            parameters(normalize={"type": "boolean"}, truncate={"type": "boolean"}),
            bare="text",
            example={"text": SENTENCE},
        ),
        output=or_list(
            {
                "type": "array",
                "description": "One vector, or one vector a token without pooling.",
            }
        ),
    ),
    Task(
        name="sentence-similarity",
        model="worker.models.embedding:SentenceSimilarity",
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
            parameters(),
            example={
                "inputs": {
                    "source_sentence": "A violinist plays alone.",
                    "sentences": ["A soloist performs.", "The cat sleeps."],
                }
            },
        ),
        output={"type": "array", "items": {"type": "number"}},
    ),
)
