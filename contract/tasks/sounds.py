"""Tasks over sounds."""

from contract.tasks.row import MEDIA, Task, items_input, or_list, parameters
from contract.tasks.writing import GENERATION

TRANSCRIPTION = parameters(  # no sampling: a transcript is what was said
    **{name: GENERATION[name] for name in ("max_new_tokens", "num_beams", "repetition_penalty")}
)

TASKS = (
    Task(
        name="automatic-speech-recognition",
        model="worker.models.speech:SpeechRecognition",
        gives="`{text}`; PCM WAV",
        # no example: it needs speech
        input=items_input(
            MEDIA,
            parameters(
                return_timestamps={"anyOf": [{"type": "boolean"}, {"const": "word"}]},
                generation_parameters=TRANSCRIPTION,
            ),
            bare="audio",
        ),
        output=or_list(
            {
                "type": "object",
                "properties": {"text": {"type": "string"}},
                "required": ["text"],
            }
        ),
    ),
)
