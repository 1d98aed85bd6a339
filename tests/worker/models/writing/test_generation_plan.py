"""How long a text becomes and how it is searched: what is not served is refused by name."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from contract.errors import BadItem, ModelUnloadable
from tests.worker.models.answers import ask, item
from tests.worker.models.builders import generative_models as made
from worker.models import Model

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(
    ("own", "name"),
    [
        ({"penalty_alpha": 0.6, "top_k": 4}, "penalty_alpha"),
        ({"dola_layers": "high"}, "dola_layers"),
        ({"num_beam_groups": 2, "num_beams": 4, "diversity_penalty": 0.5}, "num_beam_groups"),
        ({"force_words_ids": [[5]], "num_beams": 2}, "force_words_ids"),
        ({"do_sample": True, "num_beams": 2}, "`do_sample` with `num_beams`"),
        ({"token_healing": True}, "token_healing"),
        ({"max_time": 3.0}, "max_time"),
        ({"num_return_sequences": 3, "num_beams": 3}, "num_return_sequences"),
        ({"cache_implementation": "quantized"}, "quantized"),
    ],
)
def test_what_a_models_own_file_asks_for_in_vain_is_named(
    own: dict[str, Any], name: str, tmp_path: Path, loaded: Callable[..., Model]
) -> None:
    path = made.writer(tmp_path / "model", "gpt2", own)
    with pytest.raises(
        ModelUnloadable, match=r"generation_config\.json asks for .*; take it out"
    ) as caught:
        loaded("text-generation", path)
    assert name in str(caught.value)


def test_the_catalog_may_say_otherwise(tmp_path: Path, loaded: Callable[..., Model]) -> None:
    path = made.writer(tmp_path / "model", "gpt2", {"do_sample": True, "num_beams": 2})
    model = loaded("text-generation", path, generation={"do_sample": False, "max_new_tokens": 5})
    plain = made.writer(tmp_path / "plain", "gpt2", {"num_beams": 2})
    asked = loaded("text-generation", plain, generation={"max_new_tokens": 5})
    assert ask(model, "hello", "a") == ask(asked, "hello", "a")


def test_sampling_that_is_asked_for_takes_the_place_of_beams(
    tmp_path: Path, loaded: Callable[..., Model]
) -> None:
    plain = loaded("text-generation", made.writer(tmp_path / "plain", "gpt2"))
    parameters = {"max_new_tokens": 6, "temperature": 1.2, "seed": 4}
    drawn = ask(plain, "hello", **parameters)
    path = made.writer(tmp_path / "model", "gpt2", {"num_beams": 3})
    assert ask(loaded("text-generation", path), "hello", **parameters) == drawn
    by_catalog = loaded("text-generation", path, generation={"num_beams": 2})
    assert ask(by_catalog, "hello", **parameters) == drawn
    (refused,) = ask(by_catalog, "hello", **parameters, num_beams=2)
    assert isinstance(refused, BadItem)
    assert "do_sample: false" in str(refused)


@pytest.mark.parametrize(
    ("name", "value"),
    [("temperature", "hot"), ("stop", "x"), ("early_stopping", "yes"), ("max_length", True)],
)
def test_a_value_of_the_catalog_that_is_none_stops_the_load(
    name: str, value: Any, tmp_path: Path, loaded: Callable[..., Model]
) -> None:
    path = made.writer(tmp_path / "model", "gpt2")
    with pytest.raises(ModelUnloadable, match=f"`generation` has {name}"):
        loaded("text-generation", path, generation={name: value})


def test_parameters_that_a_models_own_do_not_go_with_fail_alone(
    tmp_path: Path, loaded: Callable[..., Model]
) -> None:
    path = made.writer(tmp_path / "model", "gpt2", {"temperature": 0.0})
    bad, good, other = loaded("text-generation", path).predict(
        [
            item("hello", "a", max_new_tokens=3, top_p=0.9, seed=1),
            item("hello", "b", max_new_tokens=3),
            item("hello", "c", max_new_tokens=3, top_p=0.9, temperature=0.7, seed=1),
        ]
    )
    assert isinstance(bad, BadItem)
    assert "temperature" in str(bad)
    assert good["generated_text"]
    assert other["generated_text"]


def test_code_of_a_models_own_is_not_left_out_silently(
    tmp_path: Path, loaded: Callable[..., Model]
) -> None:
    path = made.writer(tmp_path / "model", "gpt2")
    (path / "custom_generate").mkdir()
    (path / "custom_generate" / "generate.py").write_text("def generate(model, **kwargs): ...")
    with pytest.raises(ModelUnloadable, match="custom_generate"):
        loaded("text-generation", path)


def test_the_shortest_length_of_a_model_gives_way_to_the_longest_of_a_caller(
    tmp_path: Path, loaded: Callable[..., Model]
) -> None:
    path = made.rewriter(tmp_path / "model", "bart", {"min_length": 30, "max_length": 40})
    model = loaded("summarization", path)
    (short,) = ask(model, "hello", max_new_tokens=5)
    assert len(short["summary_text"].encode()) >= 5
    bad, good = model.predict(
        [
            item("hello", "a", max_new_tokens=5, min_length=20),
            item("hello", "b", max_new_tokens=5),
        ]
    )
    assert isinstance(bad, BadItem)
    assert good == short


@pytest.mark.parametrize("named", ["generate_parameters", ""])
def test_a_length_means_what_transformers_means_by_it(
    named: str, tmp_path: Path, loaded: Callable[..., Model]
) -> None:
    """12 with a decoder's start token are 11 new ones; 12 with a prompt of 5 are 7."""
    path = made.rewriter(tmp_path / "model", "bart")
    model = loaded("summarization", path)
    length = {"max_length": 12}
    given = {named: length} if named else length
    assert ask(model, "hello", **given) == ask(model, "hello", max_new_tokens=11)
    if not named:
        path = made.writer(tmp_path / "writer", "gpt2")
        model = loaded("text-generation", path)
        assert ask(model, "hello", **length) == ask(model, "hello", max_new_tokens=7)


def test_a_text_beyond_the_trained_length_is_read_cut_or_refused(
    tmp_path: Path, loaded: Callable[..., Model]
) -> None:
    """T5's positions are relative: its tokenizer's 64 tokens are what it was trained with."""
    model = loaded("translation", made.rewriter(tmp_path / "t5", "t5"))
    text = "one two three " * 5 + "ÄÖÜ@" * 12
    whole, cut, only = model.predict(
        [
            item(text, "a", max_new_tokens=9),
            item(text, "b", max_new_tokens=9, truncation="longest_first"),
            item(text[:63], "c", max_new_tokens=9),
        ]
    )
    assert cut == only != whole
    model = loaded("translation", made.rewriter(tmp_path / "bart", "bart"))
    refused, unsaid, cut, only = model.predict(
        [
            item(text, "a", max_new_tokens=9, truncation=False),
            item(text, "b", max_new_tokens=9),
            item(text, "c", max_new_tokens=9, truncation=True),
            item(text[:63], "d", max_new_tokens=9),
        ]
    )
    assert isinstance(refused, BadItem)
    assert isinstance(unsaid, BadItem)
    assert "truncation" in str(unsaid)
    assert cut == only


def test_a_marked_text_is_found_by_the_detector_of_transformers(
    tmp_path: Path, loaded: Callable[..., Model]
) -> None:
    import transformers as tf

    path = made.writer(tmp_path / "model", "gpt2")
    marked, plain = loaded("text-generation", path).predict(
        [
            item("hello", "a", max_new_tokens=50, watermark=True),
            item("hello", "b", max_new_tokens=50),
        ]
    )
    found = tf.AutoModelForCausalLM.from_pretrained(path).generate(
        **tf.AutoTokenizer.from_pretrained(path)("hello", return_tensors="pt"),
        watermarking_config=tf.WatermarkingConfig(),
        max_new_tokens=50,
    )
    text = tf.AutoTokenizer.from_pretrained(path).decode(found[0, 5:], skip_special_tokens=True)
    assert marked == {"generated_text": text}
    assert marked != plain
