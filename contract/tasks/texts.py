"""Tasks over texts that a model reads at once: labels, entities, answers, masked words, ranks."""

from contract.tasks.row import (
    FUNCTION,
    LABELS,
    MAX_ITEMS,
    SCORES,
    TEMPLATE,
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
RANKS: Schema = {
    "type": "array",
    "items": {
        "type": "object",
        "properties": {
            "index": {"type": "integer"},
            "score": {"type": "number"},
            "text": {"type": "string"},
        },
        "required": ["index", "score"],
    },
}
TRUNCATION: Schema = {
    "type": "boolean",
    "description": "Whether a text too long for the model is cut; by default it is. `false` refuses it.",
}
TOKENS: Schema = {"type": "integer", "minimum": 1, "maximum": 1_000_000}

TASKS = (
    Task(
        name="text-classification",
        model="worker.models.tasks.text_classification:TextClassification",
        heads=("AutoModelForSequenceClassification",),
        gives="`[{label, score}]`",
        input=items_input(
            TEXT,
            parameters(top_k=TOP_K, function_to_apply=FUNCTION, truncation=TRUNCATION),
            bare="text",
            example={"text": "Win a free cruise, reply now!"},
        ),
        output=or_list(SCORES),
    ),
    Task(
        name="zero-shot-classification",
        model="worker.models.tasks.text_classification:ZeroShotClassification",
        heads=("AutoModelForSequenceClassification",),
        gives="`[{label, score}]`",
        input=items_input(
            TEXT,
            {
                **parameters(
                    candidate_labels=LABELS,
                    hypothesis_template={
                        **TEMPLATE,
                        "description": f"{TEMPLATE['description']} `This example is {{}}.` by default.",
                    },
                    multi_label={"type": "boolean"},
                    truncation=TRUNCATION,
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
        model="worker.models.tasks.token_tasks:TokenClassification",
        heads=("AutoModelForTokenClassification",),
        gives="`[{entity_group, score, word, start, end}]`",
        input=items_input(
            TEXT,
            parameters(
                aggregation_strategy={"enum": ["none", "simple", "first", "average", "max"]},
                ignore_labels={"type": "array", "items": {"type": "string"}, "maxItems": 1000},
                stride={
                    **TOKENS,
                    "minimum": 0,
                    "description": "Reads a text too long in windows that share so many tokens. Without "
                    "it what is too long is cut off.",
                },
                truncation=TRUNCATION,
            ),
            bare="text",
            example={"text": "Ada Lovelace was born in London."},
        ),
        output=or_list(ENTITIES),
    ),
    Task(
        name="question-answering",
        model="worker.models.tasks.question_answering:QuestionAnswering",
        heads=("AutoModelForQuestionAnswering",),
        gives="`{answer, score, start, end}`",
        input=items_input(
            {
                "type": "object",
                "properties": {"question": TEXT, "context": TEXT},
                "required": ["question", "context"],
                "additionalProperties": False,
            },
            parameters(
                top_k=TOP_K,
                max_answer_len={**TOP_K, "description": "In tokens; by default 15."},
                handle_impossible_answer={"type": "boolean"},
                align_to_words={
                    "type": "boolean",
                    "description": "Widens answers to whole words; by default it does, in scripts that "
                    "put blanks between words.",
                },
                doc_stride={
                    **TOKENS,
                    "minimum": 0,
                    "description": "Tokens that the windows of a long context share; by default a quarter of "
                    "a window, at most 128.",
                },
                max_seq_len={
                    **TOKENS,
                    "description": "Tokens of a window, question included; by default 384, or as many as "
                    "the model reads.",
                },
                max_question_len={
                    **TOKENS,
                    "description": "Cuts a question to so many tokens. One that fills more than half of "
                    "a window is refused.",
                },
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
        model="worker.models.tasks.token_tasks:FillMask",
        heads=("AutoModelForMaskedLM",),
        gives="`[{sequence, score, token, token_str}]`; a list a mask where a text has several",
        # no example: it needs the model's own mask
        input=items_input(
            TEXT,
            parameters(
                top_k=TOP_K,
                targets={"type": "array", "items": TEXT, "minItems": 1, "maxItems": 1000},
                truncation=TRUNCATION,
            ),
            bare="text",
        ),
        output=or_list(or_list(FILLINGS)),
    ),
    Task(
        name="text-ranking",
        model="worker.models.tasks.text_ranking:TextRanking",
        heads=("AutoModelForSequenceClassification",),
        gives="`[{index, score}]`, best first",
        input=items_input(
            {
                "type": "object",
                "properties": {
                    "query": TEXT,
                    "texts": {
                        "type": "array",
                        "items": TEXT,
                        "minItems": 1,
                        "maxItems": MAX_ITEMS,
                    },
                },
                "required": ["query", "texts"],
                "additionalProperties": False,
            },
            parameters(
                top_k=TOP_K,
                raw_scores={
                    "type": "boolean",
                    "description": "Scores as the model computes them, without the activation that its "
                    "files name (by default a sigmoid).",
                },
                return_documents={
                    "type": "boolean",
                    "description": "Whether each has its `text`, too.",
                },
                truncate=TRUNCATION,
            ),
            example={
                "inputs": {
                    "query": "Who played the concerto?",
                    "texts": ["The cat sleeps.", "A violinist played the concerto."],
                }
            },
        ),
        output=or_list(RANKS),
        refused={
            "return_text": "say `return_documents`",
            "top_n": "say `top_k`",
            "truncation_direction": "texts are cut as the model's tokenizer says",
        },
        notes="`inputs` is `{query, texts}`, as the rerank route of Text Embeddings Inference has it; `index` is "
        "a text's place in `texts`.",
    ),
)
