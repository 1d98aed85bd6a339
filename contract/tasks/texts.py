"""Tasks over texts that a model reads at once: labels, entities, answers, masked words."""

from contract.tasks.row import (
    FUNCTION,
    LABELS,
    SCORES,
    TEXT,
    TOP_K,
    Schema,
    Task,
    items_input,
    or_list,
    parameters,
)

ANSWER: Schema = {
    "type": "object",
    "properties": {
        "answer": {"type": "string"},
        "score": {"type": "number"},
        "start": {"type": "integer"},
        "end": {"type": "integer"},
    },
}
ENTITIES: Schema = {
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

TASKS = (
    Task(
        name="text-classification",
        model="worker.models.classification:TextClassification",
        gives="`[{label, score}]`",
        input=items_input(
            TEXT,
            parameters(top_k=TOP_K, function_to_apply=FUNCTION),
            bare="text",
            example={"text": "Win a free cruise, reply now!"},
        ),
        output=or_list(SCORES),
    ),
    Task(
        name="zero-shot-classification",
        model="worker.models.classification:ZeroShotClassification",
        gives="`[{label, score}]`",
        input=items_input(
            TEXT,
            {
                **parameters(
                    candidate_labels=LABELS,
                    hypothesis_template={**TEXT, "maxLength": 1000, "pattern": r"\{\}"},
                    multi_label={"type": "boolean"},
                ),
                "required": ["candidate_labels"],
            },
            bare="text",
            example={
                "inputs": "My card was charged twice.",
                "parameters": {"candidate_labels": ["billing", "delivery", "praise"]},
            },
        ),
        output=or_list(SCORES),
    ),
    Task(
        name="token-classification",
        model="worker.models.tokens:TokenClassification",
        gives="`[{entity_group, score, word, start, end}]`",
        input=items_input(
            TEXT,
            parameters(
                aggregation_strategy={"enum": ["none", "simple", "first", "average", "max"]},
                ignore_labels={"type": "array", "items": {"type": "string"}, "maxItems": 1000},
            ),
            bare="text",
            example={"text": "Ada Lovelace was born in London."},
        ),
        output=or_list(ENTITIES),
    ),
    Task(
        name="question-answering",
        model="worker.models.answering:QuestionAnswering",
        gives="`{answer, score, start, end}`",
        input=items_input(
            {
                "type": "object",
                "properties": {"question": TEXT, "context": TEXT},
                "required": ["question", "context"],
                "additionalProperties": False,
            },
            parameters(
                top_k=TOP_K, max_answer_len=TOP_K, handle_impossible_answer={"type": "boolean"}
            ),
            example={
                "inputs": {
                    "question": "Where was Ada born?",
                    "context": "Ada Lovelace was born in London.",
                }
            },
        ),
        output=or_list(or_list(ANSWER)),
    ),
    Task(
        name="fill-mask",
        model="worker.models.tokens:FillMask",
        gives="`[{sequence, score, token, token_str}]`; a list a mask where a text has several",
        # no example: it needs the model's own mask
        input=items_input(
            TEXT,
            parameters(
                top_k=TOP_K,
                targets={"type": "array", "items": TEXT, "minItems": 1, "maxItems": 1000},
            ),
            bare="text",
        ),
        output=or_list(or_list(FILLINGS)),
    ),
)
