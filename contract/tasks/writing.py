"""Tasks whose output is a text that the model writes token by token."""

from contract.examples import SENTENCE
from contract.tasks.row import TEXT, UNIT, Schema, Task, items_input, or_list, parameters

SHARE: Schema = {"type": "number", "exclusiveMinimum": 0, "maximum": 1}
COUNT: Schema = {"type": "integer", "minimum": 1, "maximum": 32768}
NGRAM: Schema = {"type": "integer", "minimum": 0, "maximum": 1000}

GENERATION: dict[str, Schema] = {
    "max_new_tokens": COUNT,
    "min_new_tokens": {**COUNT, "minimum": 0},
    "max_length": {
        **COUNT,
        "description": "As transformers counts it: with the prompt, or with a decoder's start token.",
    },
    "min_length": {**COUNT, "minimum": 0, "description": "Counted as `max_length` is."},
    "do_sample": {"type": "boolean"},
    "temperature": {"type": "number", "exclusiveMinimum": 0, "maximum": 100},
    "top_k": {"type": "integer", "minimum": 0, "maximum": 100_000},
    "top_p": SHARE,
    "min_p": UNIT,
    "typical_p": SHARE,
    "repetition_penalty": {"type": "number", "exclusiveMinimum": 0, "maximum": 100},
    "no_repeat_ngram_size": NGRAM,
    "num_beams": {"type": "integer", "minimum": 1, "maximum": 16},
    "length_penalty": {"type": "number", "minimum": -100, "maximum": 100},
    "early_stopping": {"enum": [True, False, "never"]},
    "seed": {"type": "integer", "minimum": 0, "maximum": 2**63 - 1},
    "stop": {"type": "array", "items": TEXT, "maxItems": 16},
}

REWRITING: dict[str, Schema] = {
    **GENERATION,
    "encoder_no_repeat_ngram_size": NGRAM,
    "clean_up_tokenization_spaces": {
        "type": "boolean",
        "description": "No blanks before full stops; by default what the tokenizer's own file says.",
    },
    "truncation": {
        "enum": [True, False, "do_not_truncate", "longest_first", "only_first"],
        "description": "Whether a text longer than the model was trained with is cut. By default it is "
        "not: it is read whole where the model has positions for it (T5), and refused elsewhere.",
    },
}
REWRITING["generate_parameters"] = {
    **parameters(**REWRITING),
    "description": "More of these parameters, as the Hugging Face clients send them.",
}

NOTES = (
    "What nobody says follows the model's own `generation_config.json`, as in plain `generate`; lengths "
    "are 256 new tokens then. Naming `temperature`, `top_k`, `top_p`, `min_p` or `typical_p` asks for "
    "sampling, unless `do_sample` is false; sampling that is asked for takes the place of a model's own "
    "beams."
)
ONE_TEXT = "one text is written for each input; send the input several times, in a list"

TASKS = (
    Task(
        name="summarization",
        model="worker.models.tasks.text2text:Summarization",
        heads=("AutoModelForSeq2SeqLM",),
        gives="`{summary_text}`",
        input=items_input(
            TEXT,
            parameters(**REWRITING),
            bare="text",
            example={
                "text": "The violinist had practised the concerto for a year. On the evening of the "
                "concert the hall was full, the orchestra was in form, and she played it without one "
                "mistake."
            },
        ),
        output=or_list({"type": "object", "properties": {"summary_text": {"type": "string"}}}),
        refused={"num_return_sequences": ONE_TEXT},
        notes=f"{NOTES} The `summarization` part of a model's `task_specific_params` (T5, BART) holds "
        "where that file says nothing: its prefix, lengths and beams.",
    ),
    Task(
        name="translation",
        model="worker.models.tasks.text2text:Translation",
        heads=("AutoModelForSeq2SeqLM",),
        gives="`{translation_text}`",
        input=items_input(
            TEXT,
            parameters(**REWRITING, src_lang=TEXT, tgt_lang=TEXT),
            bare="text",
            example={"text": SENTENCE},
        ),
        output=or_list({"type": "object", "properties": {"translation_text": {"type": "string"}}}),
        refused={"num_return_sequences": ONE_TEXT},
        notes=f"{NOTES} `src_lang` and `tgt_lang` are codes of the model (NLLB, M2M100, mBART), names of "
        "its own tasks (T5: `en`, `de`) or, for other T5 models, names in words. A Marian of many languages "
        "takes the code that it has as `>>fra<<` as `tgt_lang`; other models of one pair refuse languages that "
        "are not known to be theirs.",
    ),
    Task(
        name="text-generation",
        model="worker.models.tasks.text_generation:TextGeneration",
        heads=("AutoModelForCausalLM",),
        gives="`{generated_text}`; streams",
        input=items_input(
            TEXT,
            parameters(
                **GENERATION,
                return_full_text={"type": "boolean"},
                truncate={**COUNT, "description": "Only so many of a text's last tokens are read."},
                watermark={
                    "type": "boolean",
                    "description": "Marks the text as transformers' `WatermarkingConfig()` does.",
                },
            ),
            bare="text",
            example={"inputs": "Once upon a time", "parameters": {"max_new_tokens": 20}},
        ),
        output=or_list({"type": "object", "properties": {"generated_text": {"type": "string"}}}),
        refused={
            "adapter_id": "a model has its adapters merged; serve each merged model under its own name",
            "best_of": ONE_TEXT,
            "decoder_input_details": "the output is the text alone, without probabilities of tokens",
            "details": "the output is the text alone, without probabilities of tokens",
            "frequency_penalty": "transformers has none; `repetition_penalty` is served",
            "grammar": "texts are not held to a grammar",
            "num_return_sequences": ONE_TEXT,
            "top_n_tokens": "the output is the text alone, without probabilities of tokens",
        },
        notes=f"{NOTES} `task_specific_params` (GPT-2 has some) are not followed, as in transformers.",
    ),
)
