"""For each task the builder of a tiny model, and what is asked of it."""

from typing import Any

from tests.worker.models.builders.media import noise, picture

TEXTS = [
    "the cat",
    "a very good movie about food , the dog sat on the mat",
    "bob",
    "anna ran in park .",
]
NEW = {"max_new_tokens": 6}
SAMPLES: dict[str, tuple[str, list[Any], dict[str, Any]]] = {
    "text-classification": ("bert_classifier", TEXTS, {}),
    "zero-shot-classification": ("bert_inference", TEXTS, {"candidate_labels": ["sports", "food"]}),
    "token-classification": ("bert_tagger", TEXTS, {}),
    "question-answering": (
        "bert_reader",
        [{"question": "where is anna ?", "context": text} for text in TEXTS],
        {},
    ),
    "fill-mask": ("bert_filler", [f"{text} [MASK]" for text in TEXTS], {}),
    "feature-extraction": ("bert_embedder", TEXTS, {}),
    "summarization": ("t5", TEXTS, NEW),
    "translation": ("marian", TEXTS, NEW),
    "text-generation": ("gpt", TEXTS, NEW),
    "image-classification": (
        "vit",
        [picture(40, 30, 1), picture(8, 60, 2), picture(90, 90, 3)],
        {},
    ),
    "object-detection": (
        "yolos",
        [picture(40, 30, 1), picture(30, 60, 2), picture(80, 60, 3)],
        {"threshold": 0.01},
    ),
    "audio-classification": (
        "audio_classifier",
        [noise(0.4, 1), noise(0.7, 2), noise(0.4, 3)],
        {"top_k": 2},
    ),
    "automatic-speech-recognition": ("wav2vec2", [noise(0.4, 1), noise(0.7, 2), noise(0.4, 3)], {}),
}
