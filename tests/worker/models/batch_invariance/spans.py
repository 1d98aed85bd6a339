"""Models that say something of each token of a text: entities, answers in a context, masked words."""

import warnings
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers as tf

from tests.worker.models.batch_invariance.family import Answering, Asked, Family
from tests.worker.models.builders import text_encoders as made
from tests.worker.models.builders.task_models import labels

LONG = "anna lives in london , bob visited paris . " * 12
TAGS = labels("O", "B-PER", "I-PER", "B-LOC", "I-LOC")
ENTITIES = {
    "lengths": [
        Asked("the"),
        Asked("anna"),
        Asked("anna lives in london ."),
        Asked("bob visited paris , the capital of france , in a big red car . " * 2),
    ],
    "up to the limit": [Asked("cat"), Asked("the " * 61 + "bob"), Asked(LONG)],
    "lists and parameters": [
        Asked(["the cat", "anna lives in london"], {"aggregation_strategy": "first"}),
        Asked("anna is in paris", {"aggregation_strategy": "none", "ignore_labels": []}),
        Asked("bob ran", {"aggregation_strategy": "max", "ignore_labels": ["PER"]}),
        Asked("anna visited paris", {"aggregation_strategy": "average"}),
    ],
    "strides": [
        Asked(LONG, {"stride": 8}),
        Asked([LONG, "anna"], {"stride": 0}),
        Asked(LONG + "the cat", {"stride": 20, "aggregation_strategy": "first"}),
        Asked("anna lives in london", {"stride": 8}),
        Asked(LONG, {"truncation": False, "stride": 4}),
    ],
    "a neighbour that fails": [
        Asked("anna"),
        Asked(LONG, {"truncation": False}, fails="more than 64 tokens"),
        Asked("bob", {"stride": 64}, fails="must be less than"),
        Asked("bob", {"stride": 4, "aggregation_strategy": "none"}, fails="aggregation_strategy"),
    ],
}
CONTEXT = "anna lives in london . bob visited paris , cats ran on the mat ."
QUESTIONS = {
    "lengths": [
        Asked({"question": "who", "context": "bob"}),
        Asked({"question": "where is anna ?", "context": "anna lives in london"}),
        Asked({"question": "who visited paris ?", "context": CONTEXT}),
        Asked({"question": "what lives in the park ?", "context": f"the dog . {CONTEXT} bob"}),
    ],
    "windows": [
        Asked({"question": "who ?", "context": CONTEXT * 9}),
        Asked({"question": "who ran ?", "context": CONTEXT * 5}, {"doc_stride": 4}),
        Asked({"question": "who ?", "context": CONTEXT * 2}, {"max_seq_len": 24, "doc_stride": 6}),
        Asked({"question": "who ?", "context": "bob"}, {"max_seq_len": 24}),
    ],
    "lists and parameters": [
        Asked([{"question": "who ?", "context": CONTEXT}, {"question": "what", "context": "bob"}]),
        Asked({"question": "who ?", "context": CONTEXT}, {"max_answer_len": 2}),
        Asked(
            {"question": "where is " + "anna " * 20, "context": CONTEXT}, {"max_question_len": 4}
        ),
    ],
    "a neighbour that fails": [
        Asked({"question": "who ?", "context": CONTEXT}),
        Asked({"question": "who " * 60, "context": CONTEXT}, fails="more than 32 tokens"),
        Asked({"question": " ", "context": CONTEXT}, fails="The question has no token"),
        Asked({"question": "who ?", "context": "  "}, fails="The context has no token"),
        Asked({"question": "who", "context": "bob"}, {"max_seq_len": 500}, fails="max_seq_len"),
        Asked({"question": "who", "context": "bob"}, {"doc_stride": 64}, fails="doc_stride"),
        Asked({"question": "who " * 20, "context": CONTEXT}, {"doc_stride": 50}, fails="has for"),
        Asked({"question": "who", "context": "bob"}, {"max_seq_len": 3}, fails="max_seq_len"),
    ],
}
M = "<mask>"
MASKS = {
    "lengths": [
        Asked(M),
        Asked(f"the {M} sat"),
        Asked(f"{M} is the capital of france , {M} is not"),
        Asked("anna lives in london " * 4 + M),
    ],
    "up to the limit": [Asked(f"a {M}"), Asked("the " * 61 + M), Asked(f"{M} {LONG}")],
    "lists and parameters": [
        Asked([f"the {M}", f"a very good {M} about food"]),
        Asked(f"the {M} ran", {"top_k": 2}),
        Asked(f"the {M}", {"targets": ["cat", "dog", "london"]}),
    ],
    "a neighbour that fails": [
        Asked(f"the {M} sat"),
        Asked("the cat", fails=M),
        Asked(LONG + M, fails=M),
        Asked(f"{M} {LONG}", {"truncation": False}, fails="more than"),
    ],
}


def tagged(folder: Path) -> Answering:
    """token-classification, by transformers' own pipeline."""
    pipeline = tf.pipeline("token-classification", model=str(folder), device="cpu")

    def answer(text: Any, parameters: Mapping[str, Any]) -> Any:
        if isinstance(text, list):
            return [answer(one, parameters) for one in text]
        given = {name: value for name, value in parameters.items() if name != "truncation"}
        given.setdefault("aggregation_strategy", "simple")
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Tokenizer does not support real words", UserWarning)
            found = pipeline(text, **given)
        return [{**one, "score": float(one["score"])} for one in found]

    return answer


def filled(folder: Path) -> Answering:
    """fill-mask, by transformers' own pipeline."""
    pipeline = tf.pipeline("fill-mask", model=str(folder), device="cpu")

    def answer(text: Any, parameters: Mapping[str, Any]) -> Any:
        if isinstance(text, list):
            return [answer(one, parameters) for one in text]
        return pipeline(text, tokenizer_kwargs={"truncation": True}, **parameters)

    return answer


def answered(folder: Path) -> Answering:
    """question-answering: every span of every window, the slow way; alike words are one token here."""
    tokenizer = tf.AutoTokenizer.from_pretrained(folder)
    model = tf.AutoModelForQuestionAnswering.from_pretrained(folder).eval()
    first = tokenizer.padding_side == "right"

    def answer(asked: Any, parameters: Mapping[str, Any]) -> Any:
        if isinstance(asked, list):
            return [answer(one, parameters) for one in asked]
        question, context = asked["question"], asked["context"]
        if most := parameters.get("max_question_len"):
            question = " ".join(question.split()[:most])
        length = parameters.get("max_seq_len", made.SIZES["max_position_embeddings"])
        pair = (question, context) if first else (context, question)
        windows = tokenizer(
            *pair,
            truncation="only_second" if first else "only_first",
            max_length=length,
            stride=parameters.get("doc_stride", length // 4),
            return_overflowing_tokens=True,
            return_offsets_mapping=True,
        )
        best: dict[str, Any] = {"score": 0.0}
        for number in range(len(windows["input_ids"])):
            found = _best(tokenizer, model, windows, number, int(first), parameters)
            best = max(best, found, key=lambda one: one["score"])
        return {"answer": context[best["start"] : best["end"]], **best}

    return answer


def _best(
    tokenizer: Any,
    model: Any,
    windows: Any,
    number: int,
    context: int,
    parameters: Mapping[str, Any],
) -> dict[str, Any]:
    """The best span of one window."""
    ids, offsets = windows["input_ids"][number], windows["offset_mapping"][number]
    given = {
        name: torch.tensor([windows[name][number]])
        for name in tokenizer.model_input_names
        if name in windows
    }
    with torch.inference_mode():
        output = model(**given)
    inside = [place for place, one in enumerate(windows.sequence_ids(number)) if one == context]
    cls = ids.index(tokenizer.cls_token_id) if tokenizer.cls_token_id in ids else 0
    among = sorted({*inside, cls})
    starts, ends = (
        np.exp(logits[0].numpy() - logits[0][among].logsumexp(0).item())
        for logits in (output.start_logits, output.end_logits)
    )
    scores = {
        (one, other): float(starts[one] * ends[other])
        for one in inside
        for other in inside
        if one <= other < one + parameters.get("max_answer_len", 15) and cls not in (one, other)
    }
    if not scores:
        return {"score": 0.0, "start": 0, "end": 0}
    (one, other), score = max(scores.items(), key=lambda item: item[1])
    return {"score": score, "start": offsets[one][0], "end": offsets[other][1]}


PADDED_BY_THE_REFERENCE = ("convbert", "fnet", "funnel", "bert, tokenizer pads at the left")
"""With a stride the pipeline fills up the windows of a text, which these models would read."""


def tagger(name: str, base: str | None = None, **options: Any) -> Family:
    left_out = "strides" if name in PADDED_BY_THE_REFERENCE else ""
    build = partial(made.family, name=base or name, head="ForTokenClassification")
    return Family(
        name=name,
        task="token-classification",
        build=partial(build, **{**TAGS, **options}),
        reference=tagged,
        situations={name: asked for name, asked in ENTITIES.items() if name != left_out},
    )


def reader(name: str, base: str | None = None, head: str = "", **options: Any) -> Family:
    head = head or "ForQuestionAnswering"
    return Family(
        name=name,
        task="question-answering",
        build=partial(made.family, name=base or name, head=head, **{**TWO, **options}),
        reference=answered,
        situations=QUESTIONS,
    )


def filler(name: str, base: str | None = None, **options: Any) -> Family:
    return Family(
        name=name,
        task="fill-mask",
        build=partial(made.family, name=base or name, head="ForMaskedLM", **options),
        reference=filled,
        situations=MASKS,
        tolerance=1e-4 if name == "funnel" else 1e-5,  # its numbers are large, and rounded so
    )


TWO = labels("start", "end")
ONE_SEGMENT = {"type_vocab_size": 1, "read": {"model_input_names": ["input_ids", "attention_mask"]}}
ENCODERS = ("albert", "bert", "bigbird", "convbert", "deberta-v2", "distilbert", "electra")
ENCODERS += ("funnel", "longformer", "modernbert", "mpnet", "roberta")

FAMILIES = (
    *(tagger(name) for name in (*ENCODERS, "fnet", "roformer", "xlm-roberta", "xlnet", "xlm")),
    *(tagger(name) for name in ("gpt2", "llama", "bloom", "t5")),
    tagger("bert, tokenizer pads at the left", "bert", read={"padding_side": "left"}),
    tagger("llama, no padding and left", "llama", pad_token_id=None, read={"padding_side": "left"}),
    *(reader(name) for name in (*ENCODERS, "fnet", "bart", "xlm-roberta")),
    reader("xlnet", head="ForQuestionAnsweringSimple"),
    reader("bert, one segment", "bert", **ONE_SEGMENT),
    *(filler(name) for name in (*ENCODERS, "fnet", "xlm-roberta", "rembert")),
)
