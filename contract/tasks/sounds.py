"""Tasks over sounds."""

from contract.examples import SOUND
from contract.tasks.row import (
    FUNCTION,
    MEDIA,
    SCORES,
    TOP_K,
    UNIT,
    Schema,
    Task,
    items_input,
    or_list,
    parameters,
)
from contract.tasks.writing import GENERATION

TEMPERATURE: Schema = {"type": "number", "minimum": 0, "maximum": 100}
SECONDS: Schema = {"type": "number", "minimum": 0, "maximum": 1800}
LENGTH: Schema = {"type": "integer", "minimum": 0, "maximum": 32768}
WORD: Schema = {"type": "string", "minLength": 1, "maxLength": 100}

TRANSCRIPTION: dict[str, Schema] = {
    **{
        name: GENERATION[name]
        for name in (
            *("max_new_tokens", "min_new_tokens", "do_sample", "top_k", "top_p"),
            *("repetition_penalty", "num_beams", "seed"),
        )
    },
    "max_length": {**LENGTH, "minimum": 1},
    "min_length": LENGTH,
    "early_stopping": {"anyOf": [{"type": "boolean"}, {"const": "never"}]},
    "typical_p": {"type": "number", "exclusiveMinimum": 0, "maximum": 1},
    "epsilon_cutoff": {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1},
    "eta_cutoff": {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1},
    "use_cache": {"type": "boolean"},
    "temperature": {
        "anyOf": [TEMPERATURE, {"type": "array", "items": TEMPERATURE, "minItems": 1}],
        "description": "Whisper samples at one above 0, and takes a list of those to fall back to when a "
        "window misses a threshold.",
    },
    "language": {**WORD, "description": "Of the speech: `fr` or `french`; multilingual Whisper."},
    "task": {"enum": ["transcribe", "translate"], "description": "Multilingual Whisper."},
    "condition_on_prev_tokens": {
        "type": "boolean",
        "description": "Whisper: each window reads what was said in the one before.",
    },
    "compression_ratio_threshold": {
        "type": "number",
        "description": "Whisper: a window that repeats itself more falls back.",
    },
    "logprob_threshold": {
        "type": "number",
        "description": "Whisper: a window that is less sure falls back.",
    },
    "no_speech_threshold": {**UNIT, "description": "Whisper: a window of silence is skipped."},
}

TASKS = (
    Task(
        name="automatic-speech-recognition",
        model="worker.models.tasks.speech_recognition:SpeechRecognition",
        reads="sounds",
        heads=("AutoModelForSpeechSeq2Seq", "AutoModelForCTC"),
        gives="`{text}`, and `chunks: [{text, timestamp}]` if times are asked for",
        # no example: it needs speech
        input=items_input(
            MEDIA,
            parameters(
                return_timestamps={
                    "anyOf": [{"type": "boolean"}, {"enum": ["word", "char"]}],
                    "description": "Whisper times parts (`true`) and words, CTC words and characters.",
                },
                chunk_length_s={
                    **SECONDS,
                    "description": "Reads the sound in overlapping pieces of so many seconds.",
                },
                stride_length_s={
                    "anyOf": [
                        SECONDS,
                        {"type": "array", "items": SECONDS, "minItems": 2, "maxItems": 2},
                    ],
                    "description": "The seconds that a piece shares with each neighbour, or with (left, "
                    "right); by default a sixth of it.",
                },
                generation_parameters=parameters(**TRANSCRIPTION),
            ),
            bare="audio",
        ),
        output=or_list(
            {
                "type": "object",
                "properties": {
                    "text": {"type": "string"},
                    "chunks": {
                        "type": "array",
                        "items": {
                            "type": "object",
                            "properties": {
                                "text": {"type": "string"},
                                "timestamp": {
                                    "type": "array",
                                    "items": {"type": ["number", "null"]},
                                },
                            },
                        },
                    },
                },
                "required": ["text"],
            }
        ),
        refused={
            "num_beam_groups": "transformers has no group beam search any more; `num_beams` is served",
            "penalty_alpha": "transformers has no contrastive search any more",
        },
        notes="""
WAV, FLAC, Ogg, MP3, AIFF, CAF and AU are read, of up to 30 minutes and at 4 to 192 kHz; M4A, MP4, WebM and AAC too, if
the worker has its extra `ffmpeg`. Whisper reads a sound longer than its 30 seconds window by window; with
`chunk_length_s`, piece by piece. CTC reads one longer than `max_batch_tokens` (50 tokens are a second) in pieces of 30
seconds. Models that generate are Whisper, Speech2Text, SpeechEncoderDecoder, Moonshine and SpeechT5; they are greedy
unless `num_beams`, or the model's own file, says otherwise. `do_sample` draws by the prediction's id, or its `seed`. A
language model beside a CTC model's folder is not read.
""",
    ),
    Task(
        name="audio-classification",
        model="worker.models.tasks.audio_classification:AudioClassification",
        reads="sounds",
        heads=("AutoModelForAudioClassification",),
        gives="`[{label, score}]`",
        input=items_input(
            MEDIA,
            parameters(top_k=TOP_K, function_to_apply=FUNCTION),
            bare="audio",
            example={"audio": SOUND},
        ),
        output=or_list(SCORES),
        notes="""
Reads what automatic-speech-recognition reads. All labels, unless `top_k` says otherwise. A sound may be as long as
`max_batch_tokens` says (50 tokens are a second); AST and Whisper read its first 10 and 30 seconds, as they were trained.
""",
    ),
)
