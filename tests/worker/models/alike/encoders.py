"""Models that read a whole text at once."""

from pathlib import Path
from typing import Any

import models_made as made
import torch
import transformers as tf

from alike.family import Answering, Asked, Family


def classified(folder: Path) -> Answering:
    """text-classification, by the model's own forward pass."""
    tokenizer = tf.AutoTokenizer.from_pretrained(folder)
    model = tf.AutoModelForSequenceClassification.from_pretrained(folder).eval()

    def answer(text: Any, parameters: Any) -> Any:
        if isinstance(text, list):
            return [answer(one, parameters) for one in text]
        encoding = tokenizer(text, truncation=True, return_tensors="pt")
        with torch.inference_mode():
            scores = torch.softmax(model(**encoding).logits[0], dim=-1).tolist()
        found = [
            {"label": model.config.id2label[n], "score": score} for n, score in enumerate(scores)
        ]
        found.sort(key=lambda one: -one["score"])
        return found[: parameters.get("top_k")]

    return answer


LONG = "the dog sat on the mat , " * 20
TEXTS = {
    "lengths": [Asked("the"), Asked("a very good movie about food"), Asked("bob is red . " * 4)],
    "up to the limit": [Asked("cat"), Asked("the " * 62), Asked(LONG)],
    "lists and parameters": [
        Asked(["the cat", "a very good movie about big red car"]),
        Asked("bob", {"top_k": 1}),
        Asked("anna ran in park .", {"top_k": 2}),
    ],
}

FAMILIES = (
    Family(
        name="bert",
        task="text-classification",
        build=made.bert_classifier,
        reference=classified,
        situations=TEXTS,
    ),
)
