"""Models that read two texts at once: labels of the caller's own, and texts for a query."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch
import transformers as tf

from tests.worker.models.batch_invariance.family import Answering, Asked, Family
from tests.worker.models.builders import text_encoders as made
from tests.worker.models.builders.embedding_models import quiet
from tests.worker.models.builders.task_models import labels

LONG = "the dog sat on the mat , " * 20
NAMES = ["sports", "food", "politics in paris"]
INFERENCE = labels("contradiction", "neutral", "entailment")
ZERO_SHOT = {
    "lengths": [
        Asked("the", {"candidate_labels": NAMES}),
        Asked("a very good movie about food", {"candidate_labels": NAMES}),
        Asked("bob is red , anna is in london " * 3, {"candidate_labels": NAMES[:2]}),
    ],
    "up to the limit": [
        Asked("cat", {"candidate_labels": NAMES}),
        Asked(LONG, {"candidate_labels": NAMES}),
        Asked("the " * 70, {"candidate_labels": NAMES}),
    ],
    "lists and parameters": [
        Asked(["the cat", "a big red car"], {"candidate_labels": NAMES}),
        Asked("bob", {"candidate_labels": NAMES, "multi_label": True}),
        Asked("anna ran", {"candidate_labels": NAMES[:1]}),
        Asked("anna", {"candidate_labels": NAMES, "hypothesis_template": "this is {} ."}),
    ],
    "a neighbour that fails": [
        Asked("the cat sat", {"candidate_labels": NAMES}),
        Asked(LONG, {"candidate_labels": NAMES, "truncation": False}, fails="more than 64"),
        Asked(["bob", LONG], {"candidate_labels": NAMES, "truncation": False}, fails="more than"),
    ],
}


def put(folder: Path) -> Answering:
    """zero-shot-classification, by transformers' own pipeline."""
    pipeline = tf.pipeline("zero-shot-classification", model=str(folder), device="cpu")

    def answer(text: Any, parameters: Mapping[str, Any]) -> Any:
        if isinstance(text, list):
            return [answer(one, parameters) for one in text]
        given = {name: value for name, value in parameters.items() if name != "truncation"}
        found = pipeline(text, **given)
        both = zip(found["labels"], found["scores"], strict=True)
        return [{"label": label, "score": score} for label, score in both]

    return answer


def zero_shot(name: str, base: str | None = None, **options: Any) -> Family:
    return Family(
        name=name,
        task="zero-shot-classification",
        build=partial(made.family, name=base or name, **{**INFERENCE, **options}),
        reference=put,
        situations=ZERO_SHOT,
    )


TEXTS = [
    "the cat sat",
    "london is the capital",
    "a very good movie about food , the dog sat on the mat",
]
RANKING = {
    "lengths": [
        Asked({"query": "the", "texts": ["cat"]}),
        Asked({"query": "who lives in london ?", "texts": TEXTS}),
        Asked({"query": "where ?", "texts": [*TEXTS, "bob " * 40, "anna"]}),
    ],
    "up to the limit": [
        Asked({"query": "what ?", "texts": [LONG, "cat"]}),
        Asked({"query": LONG, "texts": [LONG, "the dog", *TEXTS]}),
        Asked({"query": "the", "texts": ["the"]}),
    ],
    "lists and parameters": [
        Asked([{"query": "who ?", "texts": TEXTS}, {"query": "what", "texts": TEXTS[:1]}]),
        Asked({"query": "the cat", "texts": TEXTS}, {"top_k": 1, "return_documents": True}),
        Asked({"query": "the cat", "texts": TEXTS}, {"raw_scores": True}),
    ],
    "a neighbour that fails": [
        Asked({"query": "who ?", "texts": TEXTS}),
        Asked({"query": "who ?", "texts": [*TEXTS, LONG]}, {"truncate": False}, fails="more than"),
        Asked({"query": "who ?", "texts": TEXTS}, {"truncate": False}),
    ],
}


def ranked(folder: Path) -> Answering:
    """text-ranking, by sentence-transformers' CrossEncoder, one pair at a time."""
    model = quiet().CrossEncoder(str(folder), device="cpu", local_files_only=True)

    def answer(asked: Any, parameters: Mapping[str, Any]) -> Any:
        if isinstance(asked, list):
            return [answer(one, parameters) for one in asked]
        as_it_is = torch.nn.Identity() if parameters.get("raw_scores") else None
        found = [
            {
                "index": index,
                "score": float(model.predict([(asked["query"], text)], activation_fn=as_it_is)[0]),
            }
            for index, text in enumerate(asked["texts"])
        ]
        if parameters.get("return_documents"):
            found = [{**one, "text": asked["texts"][one["index"]]} for one in found]
        return sorted(found, key=lambda one: -one["score"])[: parameters.get("top_k")]

    return answer


def ranker(name: str, base: str | None = None, build: Any = None, **options: Any) -> Family:
    one = {**labels("score"), "num_labels": 1}
    return Family(
        name=name,
        task="text-ranking",
        build=build or partial(made.family, name=base or name, **{**one, **options}),
        reference=ranked,
        situations=RANKING,
    )


def saved(folder: Path, **options: Any) -> Path:
    """As CrossEncoder saves it: with modules.json, a prompt and an activation of its own."""
    plain = made.family(folder.parent / "plain", "bert", **{**labels("score"), "num_labels": 1})
    model = quiet().CrossEncoder(
        str(plain), device="cpu", local_files_only=True, activation_fn=torch.nn.Tanh(), **options
    )
    model.save_pretrained(str(folder), create_model_card=False)
    return folder


FAMILIES = (
    zero_shot("bert"),
    zero_shot(
        "bert, one segment",
        "bert",
        type_vocab_size=1,
        read={"model_input_names": ["input_ids", "attention_mask"]},
    ),
    zero_shot("bart"),
    zero_shot("deberta-v2"),
    zero_shot("roberta"),
    zero_shot("xlnet"),
    zero_shot("modernbert"),
    zero_shot("fnet"),
    zero_shot("bert, entailment first", "bert", **labels("entailment", "neutral", "contradiction")),
    ranker("bert"),
    ranker("roberta"),
    ranker("xlm-roberta"),
    ranker("deberta-v2"),
    ranker("electra"),
    ranker("modernbert"),
    ranker("xlnet"),
    ranker("qwen3"),
    ranker("gpt2, tokenizer's padding is another", "gpt2", read={"pad_token": "</s>"}),
    ranker(
        "bert, scores as they are",
        "bert",
        sentence_transformers={"activation_fn": "torch.nn.modules.linear.Identity"},
    ),
    ranker(
        "bert, activation of old",
        "bert",
        sbert_ce_default_activation_function="torch.nn.modules.linear.Identity",
    ),
    ranker(
        "bert, saved with a prompt",
        build=partial(saved, prompts={"ask": "who lives : "}, default_prompt_name="ask"),
    ),
)
