"""Models that write of images or answer questions about them, by their own documented use: transformers
has no pipelines for the two any more.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import transformers as tf

from tests.worker.models.batch_invariance.family import Answering, Asked, Family
from tests.worker.models.batch_invariance.images import PICTURES, seen, situations
from tests.worker.models.builders import image_text_models as made


def captioned(folder: Path) -> Answering:
    """`generate` on what the image processor gives, the end told by the tokenizer."""
    processor = tf.AutoImageProcessor.from_pretrained(folder, backend="pil")
    tokenizer = tf.AutoTokenizer.from_pretrained(folder)
    model = tf.AutoModelForImageTextToText.from_pretrained(folder).eval()

    def answer(inputs: Any, parameters: Mapping[str, Any]) -> Any:
        if isinstance(inputs, list):
            return [answer(one, parameters) for one in inputs]
        pixels = processor(images=seen(inputs).convert("RGB"), return_tensors="pt")
        given = {**parameters, **parameters.get("generation_parameters", {})}
        given.pop("generation_parameters", None)
        with torch.inference_mode():
            (tokens,) = model.generate(**pixels, **given)
        return {"generated_text": tokenizer.decode(tokens, skip_special_tokens=True)}

    return answer


def answered(folder: Path) -> Answering:
    """A processor's inputs, and the model's scores or what it writes."""
    processor = tf.AutoImageProcessor.from_pretrained(folder, backend="pil")
    tokenizer = tf.AutoTokenizer.from_pretrained(folder)
    model = tf.AutoModelForVisualQuestionAnswering.from_pretrained(folder).eval()

    def answer(inputs: Any, parameters: Mapping[str, Any]) -> Any:
        if isinstance(inputs, list):
            return [answer(one, parameters) for one in inputs]
        given = dict(processor(images=seen(inputs["image"]).convert("RGB"), return_tensors="pt"))
        given |= tokenizer(inputs["question"], return_tensors="pt")
        with torch.inference_mode():
            if model.config.model_type == "blip":
                del given["token_type_ids"]
                (tokens,) = model.generate(**given, max_new_tokens=20)  # its own default
                return [{"answer": tokenizer.decode(tokens, skip_special_tokens=True)}]
            scores = torch.sigmoid(model(**given).logits[0])
        scores, labels = scores.topk(min(parameters.get("top_k", 5), len(scores)))
        return [
            {"answer": model.config.id2label[label], "score": score}
            for label, score in zip(labels.tolist(), scores.tolist(), strict=True)
        ]

    return answer


def about(image: str, question: str) -> dict[str, str]:
    return {"image": image, "question": question}


QUESTIONS = [
    "who is the cat ?",
    "bob",
    "where was anna ?",
    "what is the big red car in london about ?",
]
TOO_LONG = "tokens, and the model reads"
ASKED = {
    "questions of one image": [Asked(about(PICTURES[0], question)) for question in QUESTIONS],
    "one question of several": [Asked(about(picture, QUESTIONS[0])) for picture in PICTURES * 2],
    "all of both": [
        Asked(about(picture, question)) for picture in PICTURES for question in QUESTIONS
    ],
    "mixed parameters, lists and those that fail": [
        Asked(about(PICTURES[0], QUESTIONS[2]), {"top_k": 2}),
        Asked(about("aGVsbG8=", QUESTIONS[0]), fails="no image"),
        Asked(about(PICTURES[1], "the " * 100), fails=TOO_LONG),
        Asked([about(PICTURES[2], QUESTIONS[0]), about(PICTURES[0], QUESTIONS[1])], {"top_k": 100}),
        Asked([about(PICTURES[0], "the " * 100), about(PICTURES[0], "bob")], fails=TOO_LONG),
        Asked(about(PICTURES[0], QUESTIONS[2])),
    ],
}
SHORT = {"max_new_tokens": 7}
BEAMS = {"generation_parameters": {"num_beams": 3, "max_length": 9, "repetition_penalty": 1.5}}

FAMILIES = (
    *(
        Family(
            name=name,
            task="image-to-text",
            build=build,
            reference=captioned,
            situations=situations({} if "of its own" in name else SHORT, BEAMS),
        )
        for name, build in made.CAPTIONERS.items()
    ),
    *(
        Family(
            name=name,
            task="visual-question-answering",
            build=build,
            reference=answered,
            situations=ASKED,
        )
        for name, build in made.ANSWERERS.items()
    ),
)
