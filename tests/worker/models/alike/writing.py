"""Models that write token by token."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

import made_writing as made
import numpy as np
import torch
import transformers as tf

from alike.family import Answering, Asked, Family
from worker.models import Item
from worker.models.rows import Row
from worker.models.sampling import seed_of

OURS = ("seed", "stop", "return_full_text", "truncate", "truncation", "generate_parameters")
"""Parameters that plain `generate` does not have."""


@contextmanager
def drawing(seed: int | None, number: int) -> Iterator[None]:
    """Inside, the tokens that transformers draws are drawn by the seed of this row, as documented."""
    draw = np.random.default_rng(seed_of(Row("", {}, Item("", {}), number), seed))

    def multinomial(chances: Any, num_samples: int) -> Any:
        sums = chances.double().cumsum(dim=-1)
        point = torch.tensor([[draw.random()]], dtype=sums.dtype) * sums[:, -1:]
        return torch.searchsorted(sums, point, right=True)

    with patch.object(torch, "multinomial", multinomial):
        yield


def writing(auto: str, name: str, folder: Path, prefix: str = "") -> Answering:
    """Plain `generate` on one text, by the model's own generation_config.json."""
    tokenizer = tf.AutoTokenizer.from_pretrained(folder)
    model = getattr(tf, auto).from_pretrained(folder).eval()
    writes_on = not model.config.is_encoder_decoder

    def fresh() -> Any:
        """RecurrentGemma and BigBird remember what they read before."""
        forgets = model.config.model_type not in ("recurrent_gemma", "bigbird_pegasus")
        return model if forgets else getattr(tf, auto).from_pretrained(folder).eval()

    def answer(text: Any, parameters: Mapping[str, Any], number: int = 0) -> Any:
        if isinstance(text, list):
            return [answer(one, parameters, n) for n, one in enumerate(text)]
        asked = {**parameters.get("generate_parameters", {}), **parameters}
        options = {key: value for key, value in asked.items() if key not in OURS}
        if options.keys() & {"temperature", "top_k", "top_p", "min_p", "typical_p"}:
            options = {"do_sample": True, **options}
        options |= {"num_beams": 1} if options.get("do_sample") else {}
        limit = {"max_length": asked["truncate"]} if "truncate" in asked else {}
        tokenizer.truncation_side = "left" if writes_on else "right"
        cut = bool(limit) or asked.get("truncation") in ("longest_first", "only_first", True)
        encoding = tokenizer(prefix + text, truncation=cut, return_tensors="pt", **limit)
        with torch.inference_mode(), drawing(asked.get("seed"), number):
            found = fresh().generate(
                input_ids=encoding["input_ids"],
                attention_mask=encoding["attention_mask"],
                tokenizer=tokenizer,
                **options,
            )[0]
        first = encoding["input_ids"].shape[1] if writes_on else 0
        written = tokenizer.decode(found[first:], skip_special_tokens=True)
        ends = [written.index(one) + len(one) for one in asked.get("stop", []) if one in written]
        written = written[: min(ends, default=None)]
        return {name: (text if asked.get("return_full_text") else "") + written}

    return answer


decoded = partial(writing, "AutoModelForCausalLM", "generated_text")
summed_up = partial(writing, "AutoModelForSeq2SeqLM", "summary_text")
translated = partial(writing, "AutoModelForSeq2SeqLM", "translation_text")


def asked(texts: Sequence[Any], *several: Mapping[str, Any]) -> list[Asked]:
    """The texts, with the parameters in turn."""
    return [Asked(text, several[n % len(several)]) for n, text in enumerate(texts)]


TEXTS = ["a", "hello there", "Die Größe, naïve 日本", "one, two, three, one, two, three, "]
PENALTIES = {"repetition_penalty": 1.7, "no_repeat_ngram_size": 2}
DRAWN = {"max_new_tokens": 9, "temperature": 1.4, "top_k": 40, "top_p": 0.95, "seed": 3}
MIXED = (
    {"max_new_tokens": 6},
    {"max_new_tokens": 11, "repetition_penalty": 1.3, "min_new_tokens": 8},
    {**DRAWN, "repetition_penalty": 1.2},
    {"max_new_tokens": 7, "num_beams": 3, "no_repeat_ngram_size": 2},
)
STOPS = asked(
    [*TEXTS, ["ab", "b" * 20]],
    {"max_new_tokens": 20, "stop": ["e", "never"]},
    {"max_new_tokens": 20, "stop": [" "]},
)

SITUATIONS: dict[str, list[Asked]] = {
    "greedy": asked(TEXTS, {"max_new_tokens": 10}),
    "beams": asked(TEXTS, {"max_new_tokens": 8, "num_beams": 3, "length_penalty": 0.6}),
    "penalties": asked(TEXTS, {"max_new_tokens": 12, **PENALTIES, "min_new_tokens": 9}),
    "mixed": asked(TEXTS, *MIXED),
    "drawn": asked([*TEXTS, ["ab", "ab"]], DRAWN, {**DRAWN, "seed": 4, "min_p": 0.02, "top_k": 0}),
}
"""What every family is asked."""

WRITING_ON: dict[str, list[Asked]] = {
    **SITUATIONS,
    "mixed": [
        *SITUATIONS["mixed"],
        Asked("x" * 300, {"max_new_tokens": 3}, fails="The text has 300 tokens"),
        Asked("abc", {"max_length": 3}, fails="max_length"),
    ],
}

TO_THE_LIMIT = {
    "to the limit": [
        Asked("y" * (made.POSITIONS - 1), {"max_new_tokens": 1}),
        Asked("x" * 40, {"max_new_tokens": 24}),
        Asked("ab", {"max_length": 64}),
        Asked("x" * 40, {"max_new_tokens": 25}, fails="room for 64"),
        Asked("x" * 64, fails="room for 64"),
        Asked("x" * 70, {"truncate": 20, "max_new_tokens": 5}),
        Asked("x" * 70, {"truncate": 20, "max_length": 30}),
    ],
    "stops": STOPS,
    "the whole text": asked(TEXTS, {"max_new_tokens": 5, "return_full_text": True}),
}
LIMITED = ("gpt2", "opt", "llama")
LIMITLESS = ("bloom", "mamba", "mpt", "xlnet")
"""Families without positions, which the catalog limits."""


def decoder(family: str) -> Family:
    situations = {**WRITING_ON, **(TO_THE_LIMIT if family in LIMITED else {})}
    if family == "rwkv":
        unbeamed = {**MIXED[3], "num_beams": 1}
        situations["mixed"] = asked(TEXTS, *MIXED[:3], unbeamed)
        situations["beams"] = [Asked("a", {"num_beams": 3}, fails="cannot search with beams")]
    return Family(
        name=family,
        task="text-generation",
        build=made.maker(made.writer, family),
        reference=decoded,
        situations=situations,
        catalog={"max_batch_tokens": 256} if family in LIMITLESS else {},
    )


def encoder_decoder(family: str) -> Family:
    task, reference = ("translation", translated)
    if family in ("bart", "pegasus", "t5", "led", "prophetnet"):
        task, reference = ("summarization", summed_up)
    long = [*SITUATIONS["mixed"], Asked("x" * 70, {"max_new_tokens": 4}, fails="the model reads 6")]
    relative = made.REWRITERS[family] is made.RELATIVE or "d_kv" in made.REWRITERS[family]
    return Family(
        name=family,
        task=task,
        build=made.maker(made.rewriter, family),
        reference=reference,
        situations={**SITUATIONS, **({} if relative else {"mixed": long})},
    )


FAMILIES = (
    *(decoder(family) for family in made.DECODERS),
    *(encoder_decoder(family) for family in made.REWRITERS),
)
