"""No text is made of NaN or of nothing, and neighbours are untouched."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers as tf
from safetensors.torch import load_file, save_file
from tokenizers import processors

from contract.errors import BadItem, OutputInvalid
from tests.worker.models.answers import ask, item
from tests.worker.models.builders import generative_models as made
from tests.worker.models.builders import task_models
from worker.models import Item, Model

pytestmark = pytest.mark.slow

PARAMETERS: list[dict[str, Any]] = [
    {},
    {"num_beams": 3},
    {"temperature": 1.3, "seed": 1},
    {"repetition_penalty": 1.2},
]


def spoilt(path: Path, name: str, letter: str) -> Path:
    """The model with NaN where a text has this letter."""
    weights = load_file(path / "model.safetensors")
    table = weights[name].clone()
    table[tf.AutoTokenizer.from_pretrained(path)(letter)["input_ids"][0]] = torch.nan
    weights[name] = table
    save_file(weights, path / "model.safetensors", {"format": "pt"})
    return path


@pytest.mark.parametrize("parameters", PARAMETERS, ids=str)
def test_a_text_whose_logits_are_nan_fails_alone(
    parameters: dict[str, Any], tmp_path: Path, loaded: Callable[..., Model]
) -> None:
    path = made.writer(tmp_path / "model", "gpt2", tie_word_embeddings=False)
    model = loaded("text-generation", spoilt(path, "transformer.wte.weight", "q"))
    texts = ["hello", "quiet", "a longer text", "no q"]
    alone = [ask(model, text, max_new_tokens=6, **parameters)[0] for text in texts]
    together = ask(model, *texts, max_new_tokens=6, **parameters)
    for one, output in zip(alone, together, strict=True):
        assert type(one) is type(output)
    assert [type(output) for output in together] == [dict, OutputInvalid, dict, OutputInvalid]
    if "seed" not in parameters:
        assert together[0] == alone[0]
    assert "NaN" in str(together[1])


def test_nothing_is_streamed_of_a_text_that_is_nan(
    tmp_path: Path, loaded: Callable[..., Model]
) -> None:
    path = made.writer(tmp_path / "model", "gpt2", tie_word_embeddings=False)
    model = loaded("text-generation", spoilt(path, "transformer.wte.weight", "q"))
    pieces: list[str] = []

    def report(request: Item, kind: str, value: Any) -> None:
        pieces.append(value)

    request = item("quiet", max_new_tokens=6)
    request.report = report
    (output,) = model.predict([request])
    assert isinstance(output, OutputInvalid)
    assert pieces == []


def test_a_summary_that_is_nan_fails_alone(tmp_path: Path, loaded: Callable[..., Model]) -> None:
    path = made.rewriter(tmp_path / "model", "fsmt")
    model = loaded("summarization", spoilt(path, "model.encoder.embed_tokens.weight", "q"))
    good, bad = ask(model, "hello", "quiet", max_new_tokens=3)
    assert isinstance(bad, OutputInvalid)
    assert good == ask(model, "hello", max_new_tokens=3)[0]


@pytest.mark.parametrize("beams", [1, 2])
def test_a_text_that_no_token_may_follow_has_no_answer(
    beams: int, tmp_path: Path, loaded: Callable[..., Model]
) -> None:
    """Three tokens may be written, each of them once."""
    free = made.tokenizer()("XYZ")["input_ids"]
    others = [token for token in range(made.TOKENS) if token not in free]
    own = {"no_repeat_ngram_size": 1, "suppress_tokens": others}
    model = loaded("text-generation", made.writer(tmp_path / "model", "gpt2", own))
    good, bad, other = ask(model, "a", "ZYX", "one X", max_new_tokens=2, num_beams=beams)
    assert isinstance(bad, OutputInvalid)
    assert set(good["generated_text"]) < set("XYZ")
    assert set(other["generated_text"]) == set("YZ")


def test_a_text_without_a_token_fails_alone(tmp_path: Path, loaded: Callable[..., Model]) -> None:
    tokenizer = task_models.word_tokenizer()
    tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(single="$A")
    config = tf.LlamaConfig(
        vocab_size=len(tokenizer), eos_token_id=1, pad_token_id=0, bos_token_id=3, **made.GROUPED
    )
    path = task_models.save(
        tmp_path / "model", task_models.made(tf.LlamaForCausalLM, config), tokenizer
    )
    model = loaded("text-generation", path)
    good, bad, bulk = model.predict(
        [
            item("the cat", "a", max_new_tokens=3),
            item("  ", "b", max_new_tokens=3),
            item(["the cat", " "], "c", max_new_tokens=3),
        ]
    )
    assert good == ask(model, "the cat", max_new_tokens=3)[0]
    for one in (bad, bulk):
        assert isinstance(one, BadItem)
        assert "no tokens" in str(one)


def test_a_token_that_the_model_has_no_row_for_fails_alone(
    tmp_path: Path, loaded: Callable[..., Model]
) -> None:
    path = made.writer(tmp_path / "model", "gpt2")
    tokenizer = tf.AutoTokenizer.from_pretrained(path)
    tokenizer.add_tokens(["<new>"])
    tokenizer.add_special_tokens({"pad_token": "<padding>"})
    tokenizer.save_pretrained(path)
    made.owning(path, {"pad_token_id": made.TOKENS + 1})
    model = loaded("text-generation", path)
    good, bad, other = ask(model, "hello", "a <new> day", "a", max_new_tokens=4)
    assert isinstance(bad, BadItem)
    assert "<new>" in str(bad)
    assert [good, other] == [ask(model, one, max_new_tokens=4)[0] for one in ("hello", "a")]
