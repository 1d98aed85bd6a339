"""Tasks whose output is a text that the model writes token by token."""

from contract.examples import SENTENCE
from contract.tasks.row import TEXT, Schema, Task, items_input, or_list, parameters

GENERATION: dict[str, Schema] = {
    "max_new_tokens": {"type": "integer", "minimum": 1, "maximum": 32768},
    "min_new_tokens": {"type": "integer", "minimum": 0, "maximum": 32768},
    "do_sample": {"type": "boolean"},
    "temperature": {"type": "number", "exclusiveMinimum": 0, "maximum": 100},
    "top_k": {"type": "integer", "minimum": 0, "maximum": 100_000},
    "top_p": {"type": "number", "exclusiveMinimum": 0, "maximum": 1},
    "repetition_penalty": {"type": "number", "exclusiveMinimum": 0, "maximum": 100},
    "num_beams": {"type": "integer", "minimum": 1, "maximum": 16},
    "seed": {"type": "integer", "minimum": 0, "maximum": 2**63 - 1},
    "stop": {"type": "array", "items": TEXT, "maxItems": 16},
    "return_full_text": {"type": "boolean"},
}

TASKS = (
    Task(
        name="summarization",
        model="worker.models.rewriting:Summarization",
        gives="`{summary_text}`",
        input=items_input(
            TEXT,
            parameters(**GENERATION),
            bare="text",
            example={
                "text": "The violinist had practised the concerto for a year. On the evening of the "
                "concert the hall was full, the orchestra was in form, and she played it without one "
                "mistake."
            },
        ),
        output=or_list({"type": "object", "properties": {"summary_text": {"type": "string"}}}),
    ),
    Task(
        name="translation",
        model="worker.models.rewriting:Translation",
        gives="`{translation_text}`",
        input=items_input(
            TEXT,
            parameters(**GENERATION, src_lang=TEXT, tgt_lang=TEXT),
            bare="text",
            example={"text": SENTENCE},
        ),
        output=or_list({"type": "object", "properties": {"translation_text": {"type": "string"}}}),
    ),
    Task(
        name="text-generation",
        model="worker.models.generation:TextGeneration",
        gives="`{generated_text}`; streams",
        input=items_input(
            TEXT,
            parameters(**GENERATION),
            bare="text",
            example={"inputs": "Once upon a time", "parameters": {"max_new_tokens": 20}},
        ),
        output=or_list({"type": "object", "properties": {"generated_text": {"type": "string"}}}),
    ),
)
