"""Models that write token by token."""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
import transformers as tf

from tests.worker.models.batch_invariance.family import Answering, Asked, Family
from tests.worker.models.builders import generative_models as made
from worker.models import Item
from worker.models.passes.rows import Row
from worker.models.writing.sampling import find_seed

OURS = ("seed", "stop", "return_full_text", "truncate", "truncation", "generate_parameters")
"""Parameters that plain `generate` does not have."""


@contextmanager
def drawing(seed: int | None, number: int) -> Iterator[None]:
    """Inside, the tokens that transformers draws are drawn by the seed of this row, as documented."""
    draw = np.random.default_rng(find_seed(Row("", {}, Item("", {}), number), seed))

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
    for module in model.modules():  # else plain `generate` fails
        if hasattr(module, "config"):
            module.config.return_dict = True
    decoder_only = not model.config.is_encoder_decoder

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
        tokenizer.truncation_side = "left" if decoder_only else "right"
        cut = bool(limit) or asked.get("truncation") in ("longest_first", "only_first", True)
        encoding = tokenizer(prefix + text, truncation=cut, return_tensors="pt", **limit)
        with torch.inference_mode(), drawing(asked.get("seed"), number):
            found = fresh().generate(
                input_ids=encoding["input_ids"],
                attention_mask=encoding["attention_mask"],
                tokenizer=tokenizer,
                **options,
            )[0]
        first = encoding["input_ids"].shape[1] if decoder_only else 0
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
LIMITLESS = ("bloom", "falcon_mamba", "mamba", "mamba2", "mpt", "xlnet")
"""Families without positions, which the catalog limits."""


WHOLE = (
    *("bart", "bert", "bloom", "ctrl", "falcon", "falcon alibi", "gemma2", "gemma3_text", "gpt2"),
    *("gpt_neo", "gpt_neox", "gptj", "llama", "mamba", "mistral", "mixtral", "mpt", "opt", "phi"),
    *("phi3", "qwen2", "qwen3", "qwen3_next", "recurrent_gemma", "rwkv", "xglm", "xlnet"),
)
"""Families that are asked everything; the others are much like one of them."""


def decoder(family: str) -> Family:
    situations = {**WRITING_ON, **(TO_THE_LIMIT if family in LIMITED else {})}
    if family not in WHOLE:
        situations = {name: situations[name] for name in ("greedy", "mixed")}
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


OWN: dict[str, dict[str, Any]] = {
    "bad_words_ids": {"bad_words_ids": [[n] for n in range(40, 90)] + [[100, 101]]},
    "begin_suppress_tokens": {"begin_suppress_tokens": list(range(2, 200))},
    "beams": {"num_beams": 3, "early_stopping": True, "length_penalty": -1.0},
    "cache_implementation": {"cache_implementation": "static"},
    "encoder_no_repeat_ngram_size": {"encoder_no_repeat_ngram_size": 1},
    "encoder_repetition_penalty": {"encoder_repetition_penalty": 3.0, "num_beams": 2},
    "ends": {"eos_token_id": [0, *range(100, 200)], "pad_token_id": 50, "min_length": 4},
    "ends of beams": {"eos_token_id": list(range(60, 230)), "pad_token_id": 50, "num_beams": 3},
    "exponential_decay": {"exponential_decay_length_penalty": [3, 1.5]},
    "forced tokens": {"forced_bos_token_id": 70, "forced_eos_token_id": 0},
    "guidance_scale": {"guidance_scale": 1.5},
    "max_length": {"max_length": 44},
    "min_length": {"min_length": 10, "eos_token_id": [0, *range(60, 230)]},
    "min_new_tokens": {"min_new_tokens": 5, "min_length": 50, "eos_token_id": [0, *range(60, 230)]},
    "no_repeat_ngram_size": {"no_repeat_ngram_size": 1},
    "no_cache": {"use_cache": False},
    "prompt_lookup": {"prompt_lookup_num_tokens": 2},
    "renormalize_logits": {"renormalize_logits": True, "num_beams": 2, "repetition_penalty": 2.0},
    "repetition_penalty": {"repetition_penalty": 2.5},
    "return_dict": {"return_dict_in_generate": None, "output_attentions": False},
    "sequence_bias": {"sequence_bias": [[[70], 9.0], [[70, 71], 30.0]]},
    "stop_strings": {"stop_strings": ["e", "three, \x02", "a"]},
    "stop_strings of beams": {"stop_strings": ["e", "a", "t"], "num_beams": 2},
    "suppress_tokens": {"suppress_tokens": list(range(2, 250, 2))},
    "watermarking": {"watermarking_config": {"bias": 9.0, "greenlist_ratio": 0.3}},
    "sampling": {"do_sample": True, "temperature": 1.6, "top_p": 0.9},
    "typical sampling": {"do_sample": True, "typical_p": 0.6, "top_k": 0},
    "sampling cut off": {"do_sample": True, "epsilon_cutoff": 0.1, "eta_cutoff": 0.3},
    "sampling by entropy": {"do_sample": True, "top_h": 0.5, "min_p": 0.01, "top_k": 30},
}
"""What a model's own generation_config.json may say, by its name. Tokens are bytes, two behind."""


def owning(family: str, name: str) -> Family:
    """A family whose own file says so."""
    decoder_only = family in made.DECODERS and family != "bart"
    values = OWN[name]
    seeds = [{"seed": 5}, {"seed": 6, "max_new_tokens": 6}]
    few = [{"max_new_tokens": 12}, {"max_new_tokens": 9}]
    situations = {
        "the model's own words": asked(
            [*TEXTS, ["b", "cd"]],
            *([{}] if "max_length" in values else few),
        )
    }
    if values.get("do_sample"):
        situations = {
            "the model's own draw": asked(TEXTS, *({**one, "max_new_tokens": 8} for one in seeds)),
            "drawn no more": asked(TEXTS, {"do_sample": False, "max_new_tokens": 8}),
        }
    return Family(
        name=f"{family} with {name}",
        task="text-generation" if decoder_only else "summarization",
        build=made.maker(made.writer if decoder_only else made.rewriter, family, own=values),
        reference=decoded if decoder_only else summed_up,
        situations=situations,
    )


def legacy(folder: Path) -> Path:
    """A folder from before generation_config.json: the values stand in config.json."""
    made.rewriter(folder, "bart")
    (folder / "generation_config.json").unlink()
    path = folder / "config.json"
    values = {"num_beams": 2, "max_length": 12, "no_repeat_ngram_size": 1, "min_length": 5}
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))
    return folder


def odd(family: str, name: str, **options: Any) -> Family:
    """A family with something odd in its folder."""
    situations = {"greedy": SITUATIONS["greedy"], "mixed": SITUATIONS["mixed"]}
    decoder_only = family in made.DECODERS and family != "bart"
    return Family(
        name=f"{family} {name}",
        task="text-generation" if decoder_only else "summarization",
        build=made.maker(made.writer if decoder_only else made.rewriter, family, **options),
        reference=decoded if decoder_only else summed_up,
        situations=situations,
    )


BEYOND = asked(["x" * 30, "ab " * 60, "é" * 150], {"max_new_tokens": 8})
"""Texts longer than the 64 tokens that the tokenizers name."""
CUT = asked(
    ["x" * 30, "ab " * 60, "é" * 150],
    {"max_new_tokens": 8, "truncation": "longest_first"},
    {"generate_parameters": {"max_length": 8, "num_beams": 2}, "truncation": "only_first"},
)

FAMILIES = (
    odd("gpt2", "without a cache", use_cache=False),
    odd("gpt2", "that returns tuples", return_dict=False),
    odd("gpt2", "whose pad no embedding has", pad_token_id=made.TOKENS + 7),
    odd("llama", "whose pad is a letter", pad_token_id=70),
    odd("opt", "without a pad", pad_token_id=None),
    odd("bart", "without a cache", use_cache=False),
    odd("bart", "that returns tuples", return_dict=False),
    odd("t5", "that returns tuples", return_dict=False),
    Family(
        name="bart with its settings in config.json",
        task="summarization",
        build=legacy,
        reference=summed_up,
        situations={"the model's own words": asked(TEXTS, {}, {"num_beams": 1})},
    ),
    Family(
        name="two berts",
        task="translation",
        build=made.translator,
        reference=translated,
        situations=SITUATIONS,
    ),
    Family(
        name="t5 beyond its trained length",
        task="translation",
        build=made.maker(made.rewriter, "t5"),
        reference=translated,
        situations={"whole": BEYOND, "cut": CUT},
    ),
    Family(
        name="bart beyond its positions",
        task="translation",
        build=made.maker(made.rewriter, "bart"),
        reference=translated,
        situations={
            "cut": CUT,
            "whole": [
                BEYOND[0],
                Asked("x" * 64, {"truncation": False}, fails="the model reads 64"),
            ],
        },
    ),
    *(decoder(family) for family in made.DECODERS),
    *(encoder_decoder(family) for family in made.REWRITERS),
    *(owning(family, name) for family in ("gpt2", "bart") for name in OWN),
)
