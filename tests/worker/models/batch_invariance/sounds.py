"""Models that read sounds."""

import base64
import io
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import torch
import transformers as tf

from tests.worker.models.batch_invariance.family import Answering, Asked, Family
from tests.worker.models.builders import sound_models as made
from tests.worker.models.builders.media import noise, pcm
from worker.models import Item
from worker.models.passes.rows import Row
from worker.models.sounds import sound_files
from worker.models.writing.sampling import find_seed

ASR = "automatic-speech-recognition"
ROW = Row("", {}, Item("", {}))


def listed(answer: Answering) -> Answering:
    """The same over a list of inputs too, without the warnings of transformers' own code."""

    def answers(inputs: Any, parameters: Any) -> Any:
        if isinstance(inputs, list):
            return [answers(one, parameters) for one in inputs]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return answer(inputs, parameters)

    return answers


def transcribed(folder: Path, **defaults: Any) -> Answering:
    """automatic-speech-recognition, by transformers' own pipeline, which is greedy here as `generate` is."""
    model = tf.AutoConfig.from_pretrained(folder)
    writes = model.is_encoder_decoder or model.model_type == "speech-encoder-decoder"
    auto = tf.AutoModelForSpeechSeq2Seq if writes else tf.AutoModelForCTC
    pipe = tf.AutomaticSpeechRecognitionPipeline(
        model=auto.from_pretrained(folder).eval(),
        feature_extractor=tf.AutoFeatureExtractor.from_pretrained(folder),
        tokenizer=tf.AutoTokenizer.from_pretrained(folder),
    )

    own = getattr(pipe.model, "generation_config", None)
    greedy = {} if not writes or own.num_beams else {"num_beams": 1}
    seeds: dict[str, int] = {}
    generate = pipe.model.generate if writes else None

    def seeded(*given: Any, **options: Any) -> Any:
        torch.manual_seed(seeds["now"])  # here, as the pipeline's own loader draws by chance
        return generate(*given, **options)

    if writes:
        pipe.model.generate = seeded

    def answer(data: Any, parameters: Any) -> Any:
        samples = sound_files.decode_sound(data, pipe.feature_extractor.sampling_rate)
        options = {**defaults, **parameters}
        parameters = {**greedy, **options.pop("generation_parameters", {})}
        if not writes and options.get("return_timestamps") is True:
            options["return_timestamps"] = "word"
        seeds["now"] = find_seed(ROW, parameters.pop("seed", 0))
        found = pipe(samples, **options, generate_kwargs=parameters)
        return {name: found[name] for name in ("text", "chunks") if name in found}

    return listed(answer)


def labelled(folder: Path) -> Answering:
    """audio-classification, by transformers' own pipeline."""
    pipe = tf.AudioClassificationPipeline(
        model=tf.AutoModelForAudioClassification.from_pretrained(folder).eval(),
        feature_extractor=tf.AutoFeatureExtractor.from_pretrained(folder),
    )
    number = pipe.model.config.label2id

    def answer(data: Any, parameters: Any) -> Any:
        found = pipe(
            sound_files.decode_sound(data, pipe.feature_extractor.sampling_rate), **parameters
        )
        return sorted(found, key=lambda one: (-one["score"], number[one["label"]]))

    return listed(answer)


def filed(seconds: float, seed: int, rate: int, kind: str, subtype: str | None = None) -> str:
    samples = np.random.default_rng(seed).uniform(-0.5, 0.5, (int(seconds * rate), 2))
    file = io.BytesIO()
    soundfile.write(file, samples, rate, format=kind, subtype=subtype)
    return base64.b64encode(file.getvalue()).decode()


def silence(seconds: float) -> str:
    return pcm(np.zeros(int(seconds * 16_000)))


def asked(data: Any, **parameters: Any) -> Asked:
    """With these generation parameters."""
    return Asked(data, {"generation_parameters": parameters})


NOTHING = Asked(pcm(np.zeros(0)), fails="no samples")
BROKEN = Asked("aGVsbG8=", fails="no sound")
FILES = [
    Asked(filed(0.5, 1, 48_000, "FLAC")),
    Asked(filed(0.4, 2, 8_000, "WAV", "ULAW")),
    Asked(filed(0.7, 3, 44_100, "OGG", "VORBIS")),
    Asked(noise(0.5, 4)),
]


def heard_by(shortest: int) -> dict[str, list[Asked]]:
    """What every model is asked; `shortest`: the samples that it reads at least."""
    least = np.random.default_rng(9).uniform(-0.5, 0.5, shortest)
    found = {
        "lengths": [Asked(pcm(least)), *(Asked(noise(one, 1)) for one in (0.2, 0.43, 0.9, 0.21))],
        "rates and formats": FILES,
        "lists, and nobody's": [Asked([noise(0.3, 2), noise(0.6, 3)]), Asked(noise(0.3, 4))],
        "a neighbour that fails": [Asked(noise(0.4, 5)), NOTHING, Asked(noise(0.8, 6)), BROKEN],
    }
    if shortest > 1:
        short = Asked(pcm(least[:-1]), fails="too short")
        found["a neighbour that fails"] = [*found["a neighbour that fails"], short]
    return found


SILENT = {"silence": [Asked(silence(0.5)), Asked(noise(0.7, 7)), Asked(silence(1.2))]}
SPOKEN = {
    "times": [
        Asked(noise(0.6, 1), {"return_timestamps": "word"}),
        Asked(noise(0.9, 2), {"return_timestamps": "char"}),
        Asked(noise(0.3, 3), {"return_timestamps": True}),
        Asked(noise(0.8, 4)),
    ],
    "pieces": [
        Asked(noise(2.5, 1), {"chunk_length_s": 1.0}),
        Asked(noise(2.03, 2), {"chunk_length_s": 1.0, "stride_length_s": [0.3, 0.1]}),
        Asked(noise(1.7, 3), {"chunk_length_s": 0.8, "return_timestamps": "word"}),
        Asked(noise(1.1, 4)),
    ],
    "what it has not": [
        Asked(noise(0.4, 1)),
        Asked(
            noise(0.5, 2),
            {"generation_parameters": {"num_beams": 2}},
            fails="generation_parameters",
        ),
    ],
}
UNTIMED = {
    "what it has not": [
        Asked(noise(0.4, 1)),
        Asked(noise(0.5, 2), {"return_timestamps": True}, fails="how long one of its steps is"),
        Asked(noise(0.5, 3), {"chunk_length_s": 1}, fails="how long one of its steps is"),
    ],
}
LABELS = {
    "parameters": [
        Asked(noise(0.5, 1), {"top_k": 1}),
        Asked(noise(0.3, 2), {"top_k": 1000, "function_to_apply": "sigmoid"}),
        Asked(noise(0.5, 3), {"function_to_apply": "none"}),
        Asked(noise(0.7, 4)),
    ],
}


def waves(kind: str, shortest: int, *, masked: bool = False) -> tuple[Family, Family]:
    name = kind.lower() + ("" if masked else ", unmasked")
    spoken = UNTIMED if kind == "Wav2Vec2Bert" else SPOKEN
    return (
        Family(
            name=name,
            task=ASR,
            build=partial(made.ctc, kind=kind, masked=masked),
            reference=transcribed,
            situations={**heard_by(shortest), **SILENT, **spoken},
        ),
        Family(
            name=name,
            task="audio-classification",
            build=partial(made.classifier, kind=kind, masked=masked),
            reference=labelled,
            situations={**heard_by(shortest), **SILENT, **LABELS},
        ),
    )


LONG = {
    "longer than the window": [
        Asked(noise(4.3, 1)),
        Asked(noise(2.2, 2)),
        Asked(noise(0.7, 3)),
        Asked(noise(4.1, 4), {"return_timestamps": True}),
        Asked(noise(3.1, 5), {"return_timestamps": "word"}),
    ],
    "pieces": [
        Asked(noise(4.5, 1), {"chunk_length_s": 2}),
        Asked(noise(3.0, 2), {"chunk_length_s": 1.5, "stride_length_s": 0.2}),
        Asked(noise(2.9, 3), {"chunk_length_s": 2, "return_timestamps": True}),
        Asked(noise(0.9, 4), {"chunk_length_s": 2, "return_timestamps": "word"}),
        Asked(noise(0.8, 5)),
        Asked(noise(2.5, 6), {"chunk_length_s": 30}, fails="at most 2"),
    ],
    "times": [
        Asked(noise(0.6, 1), {"return_timestamps": True}),
        Asked(noise(1.9, 2), {"return_timestamps": True}),
        Asked(noise(0.9, 3), {"return_timestamps": "word"}),
        Asked(noise(0.9, 4), {"return_timestamps": "word"}),
        Asked(noise(0.5, 5), {"return_timestamps": "char"}, fails="no characters"),
    ],
}
GENERATED = {
    "generation parameters": [
        asked(noise(0.5, 1), max_new_tokens=5),
        asked(noise(0.9, 2), num_beams=3),
        asked(noise(0.4, 3), num_beams=3),
        asked(noise(0.4, 3), num_beams=2, early_stopping=True),
        asked(noise(0.6, 4), max_length=9),
        asked(noise(0.6, 5), min_new_tokens=4, repetition_penalty=1.3),
        asked(noise(0.6, 6), min_length=9, use_cache=False),
        asked(noise(0.6, 6), num_beams=2, early_stopping="never"),
        Asked(
            noise(0.3, 7),
            {"generation_parameters": {"min_new_tokens": 9, "max_new_tokens": 3}},
            fails="min_new_tokens",
        ),
    ],
}
DRAWN = {
    "sampling": [
        asked(noise(0.5, 1), temperature=0.8, seed=1),
        asked(noise(0.9, 2), temperature=1.5, top_k=5, seed=2),
        asked(noise(0.9, 2), temperature=1.2, top_p=0.7, typical_p=0.9, seed=3),
        asked(noise(0.4, 3)),
        asked(noise(0.4, 4), temperature=0.0),
        asked(noise(0.8, 5), temperature=1.1, epsilon_cutoff=0.01, eta_cutoff=0.01, seed=4),
        Asked(noise(0.3, 6), {"generation_parameters": {"top_k": 5}}, fails="`top_k` needs"),
        Asked(noise(0.3, 6), {"generation_parameters": {"do_sample": True}}, fails="`do_sample`"),
    ],
    "falling back": [
        asked(noise(2.6, 1), temperature=[0.0, 0.4, 0.8], logprob_threshold=-0.5, seed=1),
        asked(noise(2.9, 2), temperature=[0.0, 0.9], compression_ratio_threshold=0.9, seed=2),
        asked(noise(1.2, 3), temperature=[0.0, 0.9], compression_ratio_threshold=0.9, seed=3),
        asked(
            noise(2.5, 4),
            temperature=0.0,
            logprob_threshold=-0.5,
            no_speech_threshold=0.001,
        ),
        asked(noise(3.1, 5), condition_on_prev_tokens=True),
        Asked(noise(0.7, 6)),
        Asked(
            noise(0.3, 7),
            {"generation_parameters": {"no_speech_threshold": 0.5}},
            fails="logprob_threshold",
        ),
    ],
}


THRESHOLDS = {
    "compression_ratio_threshold": 0.9,
    "logprob_threshold": -0.5,
    "no_speech_threshold": 0.001,
}


def refusing(name: str, **parameters: Any) -> list[Asked]:
    return [
        Asked(noise(0.4, 1)),
        Asked(noise(0.5, 2), {"generation_parameters": parameters}, fails=name),
    ]


LANGUAGES = {
    "languages and tasks": [
        Asked(noise(0.5, 1)),
        asked(noise(0.5, 1), language="fr"),
        asked(noise(0.7, 2), language="German", task="translate"),
        asked(noise(0.6, 3), task="translate"),
        asked(noise(0.6, 4), language="<|en|>"),
        asked(noise(3.3, 5), language="french", task="transcribe"),
        Asked(noise(0.3, 6), {"generation_parameters": {"language": "latin"}}, fails="de, en, fr"),
    ],
}


def whisper(
    name: str,
    situations: dict[str, list[Asked]],
    reference: Callable[[Path], Answering] = transcribed,
    **options: Any,
) -> Family:
    return Family(
        name=f"whisper, {name}",
        task=ASR,
        build=partial(made.whisper, **options),
        reference=reference,
        situations=situations,
    )


def writer(name: str, build: Callable[[Path], Path], shortest: int) -> Family:
    return Family(
        name=name,
        task=ASR,
        build=build,
        reference=transcribed,
        situations={
            **heard_by(shortest),
            **GENERATED,
            "sampling": [
                asked(noise(0.5, 1), do_sample=True, seed=1),
                asked(noise(0.9, 2), do_sample=True, temperature=0.7, top_p=0.9, seed=2),
                asked(noise(0.5, 3)),
                *refusing("do_sample: true", top_k=3),
            ],
            "what it has not": [
                *refusing("but for Whisper", language="fr"),
                Asked(noise(0.4, 3), {"return_timestamps": True}, fails="for Whisper"),
                Asked(noise(0.4, 3), {"chunk_length_s": 1}, fails="for Whisper"),
            ],
        },
    )


EVERYTHING = {**heard_by(1), **SILENT, **LONG, **GENERATED}
FAMILIES = (
    *waves("Wav2Vec2", 490),
    *waves("Wav2Vec2", 490, masked=True),
    *waves("Hubert", 490),
    *waves("Hubert", 490, masked=True),
    *waves("WavLM", 490, masked=True),
    *waves("UniSpeech", 490, masked=True),
    *waves("UniSpeechSat", 490, masked=True),
    *waves("Data2VecAudio", 490, masked=True),
    *waves("SEW", 810),
    *waves("SEW", 810, masked=True),
    *waves("SEWD", 810, masked=True),
    *waves("Wav2Vec2Conformer", 490, masked=True),
    *waves("Wav2Vec2Bert", 560, masked=True),
    *(
        Family(
            name=kind.lower(),
            task=ASR,
            build=partial(made.conformer, kind=kind),
            reference=transcribed,
            situations={**heard_by(shortest), **more},
        )
        for kind, shortest, more in (
            ("Parakeet", 320, UNTIMED),
            ("Lasr", 2320, {"times": SPOKEN["times"], "pieces": SPOKEN["pieces"]}),
        )
    ),
    Family(
        name="ast",
        task="audio-classification",
        build=made.spectrogram_transformer,
        reference=labelled,
        situations={**heard_by(240), **SILENT, **LABELS},
    ),
    Family(
        name="whisper",
        task="audio-classification",
        build=made.whisper_classifier,
        reference=labelled,
        situations={**heard_by(1), **SILENT, **LABELS},
    ),
    whisper(
        "english",
        {**EVERYTHING, **DRAWN, "what it has not": refusing("English-only", language="fr")},
    ),
    whisper("128 mels", {"lengths": heard_by(1)["lengths"]}, mels=128),
    whisper("multilingual", {**heard_by(1), **GENERATED, **LANGUAGES}, many=True),
    whisper(
        "its own language and task",
        LANGUAGES,
        many=True,
        language="fr",
        task="translate",
    ),
    whisper(
        "forced and suppressed tokens",
        {"lengths": heard_by(1)["lengths"], "longer": LONG["longer than the window"]},
        forced_decoder_ids=[[1, made.NUMBER["<|fr|>"]], [2, made.NUMBER["<|translate|>"]]],
        suppress_tokens=[made.NUMBER["q"], made.NUMBER["a"]],
        begin_suppress_tokens=[made.NUMBER["G"], made.NUMBER["<|endoftext|>"]],
    ),
    whisper(
        "its own beams and times",
        {"lengths": heard_by(1)["lengths"], "longer": LONG["longer than the window"][1:4]},
        num_beams=2,
        return_timestamps=True,
    ),
    whisper(
        "no times",
        {
            **heard_by(1),
            "what it has not": [
                Asked(noise(3.0, 1), fails="chunk_length_s: 2"),
                Asked(noise(3.0, 1), {"chunk_length_s": 2}),
                Asked(noise(0.4, 2), {"return_timestamps": True}, fails="no_timestamps_token_id"),
            ],
        },
        no_timestamps_token_id=None,
    ),
    whisper(
        "times no words",
        {
            "what it has not": [
                Asked(noise(0.4, 2), {"return_timestamps": "word"}, fails="alignment_heads"),
                Asked(noise(0.4, 2), {"return_timestamps": True}),
            ]
        },
        alignment_heads=None,
    ),
    whisper(
        "no length of its own",
        {"lengths": heard_by(1)["lengths"]},
        # as many as there are positions for, where transformers' pipeline asks for 256 and fails
        partial(transcribed, generation_parameters={"max_new_tokens": 60}),
        max_length=None,
    ),
    whisper(
        "no generation_config.json",
        {
            "lengths": heard_by(1)["lengths"],
            "what it has not": [
                *refusing("lang_to_id", language="fr"),
                Asked(noise(0.4, 2), {"return_timestamps": True}, fails="no_timestamps_token_id"),
            ],
        },
        partial(transcribed, generation_parameters={"max_new_tokens": 60}),
        plain=True,
    ),
    whisper(
        "its own thresholds",
        # no words, which the pipeline fails to time where all windows are skipped
        {"lengths": heard_by(1)["lengths"], "longer": LONG["longer than the window"][:4]},
        # told once more, as transformers' pipeline fails where they stand in the file alone
        partial(transcribed, generation_parameters={**THRESHOLDS, "temperature": 0.0}),
        **THRESHOLDS,
    ),
    writer("speech_to_text", made.speech_to_text, 560),
    writer("speech-encoder-decoder", made.speech_encoder_decoder, 490),
    writer("moonshine", made.moonshine, 895),
    writer("speecht5", made.speech_t5, 490),
)
