"""Models that read a whole text at once: labels for texts."""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
import transformers as tf

from tests.worker.models.batch_invariance.family import Answering, Asked, Family
from tests.worker.models.builders import task_models
from tests.worker.models.builders import text_encoders as made

POSITIONS = task_models.POSITIONS
LONG = "the dog sat on the mat , " * 20
LENGTHS = [
    Asked("the"),
    Asked("the cat"),
    Asked("a very good movie"),
    Asked("bob is red , anna is in london"),
    Asked("what is the capital of france ? " * 6),
]
LIMIT = [Asked("cat"), Asked("the " * 60 + "good"), Asked("bob " * 61 + "bad"), Asked(LONG)]
PARAMETERS = [
    Asked(["the cat", "a very good movie about big red car", "sat"]),
    Asked("bob", {"top_k": 1}),
    Asked("anna ran in park .", {"top_k": 2, "function_to_apply": "sigmoid"}),
    Asked("the dog", {"function_to_apply": "none"}),
]
NEIGHBOURS = [
    Asked("the cat sat"),
    Asked(LONG, {"truncation": False}, fails="more than 64 tokens"),
    Asked(["bob", LONG], {"truncation": False}, fails="more than 64 tokens"),
    Asked(["bob", "a very good movie about food"], {"truncation": False}),
]
MARKS = [
    Asked("the cat </s> sat on"),
    Asked("bob <pad>"),
    Asked("a very good movie </s>"),
    Asked("<s> <pad> the dog <pad> <pad>"),
]
"""Texts that spell out what the tokenizer adds by itself."""
NOTHING = [Asked("the cat"), Asked("  "), Asked(["bob", "\u200d", "a good dog"])]
NO_TOKEN = [
    Asked("the cat sat on the mat"),
    Asked("  ", fails="no token"),
    Asked(["bob", " "], fails="no token"),
]

SITUATIONS: Mapping[str, Sequence[Asked]] = {
    "lengths": LENGTHS,
    "up to the limit": LIMIT,
    "lists and parameters": PARAMETERS,
    "a neighbour that fails": NEIGHBOURS,
    "marks in the text": MARKS,
}
FRAMED = {**SITUATIONS, "nothing but the frame": NOTHING}
BARE = {**SITUATIONS, "no token": NO_TOKEN}


def scored(logits: torch.Tensor, names: Mapping[int, str], parameters: Mapping[str, Any]) -> Any:
    """Labels as transformers' own pipeline makes them of logits."""
    how = parameters.get("function_to_apply", "softmax")
    scores = {"sigmoid": logits.sigmoid(), "softmax": logits.softmax(-1), "none": logits}[how]
    found = [{"label": names[n], "score": score} for n, score in enumerate(scores.tolist())]
    found.sort(key=lambda one: -one["score"])
    return found[: parameters.get("top_k")]


def classified(folder: Path, anew: bool = False) -> Answering:
    """text-classification, by the model's own forward pass. `anew`: of a model that remembers what it read."""
    tokenizer = tf.AutoTokenizer.from_pretrained(folder)
    load = partial(tf.AutoModelForSequenceClassification.from_pretrained, folder)
    model = load().eval()
    model.config.return_dict = True

    def answer(text: Any, parameters: Mapping[str, Any]) -> Any:
        if isinstance(text, list):
            return [answer(one, parameters) for one in text]
        encoding = tokenizer(text, truncation=True, return_tensors="pt")
        with torch.inference_mode():
            output = (load().eval() if anew else model)(**encoding)
        return scored(output.logits[0], model.config.id2label, parameters)

    return answer


def row(
    name: str,
    base: str | None = None,
    situations: Mapping[str, Sequence[Asked]] | None = None,
    **options: Any,
) -> Family:
    """A family that classifies texts; `name` says what is special about it."""
    base = base or name
    usual = BARE if made.FAMILIES[base][2] == "none" else FRAMED
    return Family(
        name=name,
        task="text-classification",
        build=partial(made.family, name=base, **options),
        reference=partial(classified, anew=base.startswith("bigbird")),
        situations=situations or usual,
    )


SPECIAL = (
    row("bert, tokenizer pads at the left", "bert", read={"padding_side": "left"}),
    row("bert, return_dict is false", "bert", return_dict=False),
    row(
        "bert, one segment",
        "bert",
        type_vocab_size=1,
        read={"model_input_names": ["input_ids", "attention_mask"]},
    ),
    row("bert, of many labels", "bert", situations={"lengths": LENGTHS}, num_labels=3),
    row("roberta, other padding in the tokenizer", "roberta", read={"pad_token": "</s>"}),
    row("gpt2, no padding", "gpt2", pad_token_id=None, read={"pad_token": None}),
    row("gpt2, tokenizer's padding is another", "gpt2", read={"pad_token": "</s>"}),
    row("gpt2, padding is the end", "gpt2", pad_token_id=3, read={"pad_token": "</s>"}),
    row("gpt2, padding beyond the embeddings", "gpt2", pad_token_id=999),
    row("gpt2, padding is -1", "gpt2", pad_token_id=-1),
    row("llama, tokenizer pads at the left", "llama", read={"padding_side": "left"}),
    row("llama, no padding", "llama", pad_token_id=None, read={"pad_token": None}),
    row("qwen3, no padding and left", "qwen3", pad_token_id=None, read={"padding_side": "left"}),
    row("bart, padding is the end", "bart", pad_token_id=3),
)
ENCODER_DECODERS = ("bart", "mbart", "t5", "umt5")
WITHOUT_END = {
    **SITUATIONS,
    "marks in the text": [
        Asked("the cat </s> sat on"),
        Asked("bob </s> </s> a good dog"),
        Asked("a very good movie"),
        Asked("bob </s> the"),
    ],
}
"""Each with as many ends as there are: these models look at the last one."""
LONGER = {
    "lengths": [*LENGTHS, Asked("what is the capital of france ? " * 12), Asked("cat " * 50)],
    "up to the limit": [Asked("cat"), Asked("bob " * 93 + "bad"), Asked(LONG), Asked("the dog")],
}
"""Short ones are read with full attention, long ones sparsely."""
OTHERS = (
    row("bigbird, sparse", "bigbird-sparse", LONGER),
    row("canine", situations={"lengths": LENGTHS, "lists and parameters": PARAMETERS}),
    row("funnel", situations=SITUATIONS),
    *(row(name, situations=WITHOUT_END) for name in ENCODER_DECODERS),
    Family(
        name="bert, tokenizer in Python",
        task="text-classification",
        build=task_models.byte_classifier,
        reference=classified,
        situations={
            name: FRAMED[name] for name in ("lengths", "up to the limit", "a neighbour that fails")
        },
    ),
)

FAMILIES = (
    *(
        row(name)
        for name in made.FAMILIES
        if name not in {*ENCODER_DECODERS, "canine", "funnel", "bigbird-sparse"}
    ),
    *SPECIAL,
    *OTHERS,
)
