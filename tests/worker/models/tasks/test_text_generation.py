"""Texts that models write: against plain `generate`, streamed, stopped, sampled, in many languages."""

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import transformers as tf

from contract.catalog import ModelSpec
from contract.errors import BadItem, ModelUnloadable
from tests.worker.models.answers import ask, item, written
from tests.worker.models.builders.generative_models import writer
from worker.models import Item, Model, open_model

pytestmark = pytest.mark.slow

PROMPTS = ["hello", "a somewhat longer prompt, with more in it", "zz", "Die Größe, naïve 日本"]
LONG = {"max_new_tokens": 24}


def streamed(model: Model, *requests: Item) -> tuple[list[Any], list[list[str]]]:
    """The outputs and, for each request, the pieces that it streamed."""
    pieces: dict[str, list[str]] = {request.id: [] for request in requests}

    def report(request: Item, kind: str, value: Any) -> None:
        assert kind == "output"
        pieces[request.id].append(value)

    for request in requests:
        request.report = report
    return model.predict(list(requests)), list(pieces.values())


@pytest.fixture
def gpt(folder: Callable[..., Path], loaded: Callable[..., Model]) -> Model:
    return loaded("text-generation", folder("gpt"))


@pytest.mark.parametrize(
    "options",
    [{}, {"num_beams": 3}, {"repetition_penalty": 1.5}, {"min_new_tokens": 20}],
    ids=["greedy", "beams", "penalty", "least"],
)
def test_a_batch_writes_what_plain_generate_writes(
    options: dict[str, Any], folder: Callable[..., Path], gpt: Model
) -> None:
    outputs = ask(gpt, *PROMPTS, **LONG, **options)
    for prompt, output in zip(PROMPTS, outputs, strict=True):
        plain = written(
            folder("gpt"), tf.AutoModelForCausalLM, prompt, do_sample=False, **LONG, **options
        )
        assert output == {"generated_text": plain}


def test_items_with_different_wishes_share_a_batch(folder: Callable[..., Path], gpt: Model) -> None:
    parameters: list[dict[str, Any]] = [
        {"max_new_tokens": 4},
        {"max_new_tokens": 9},
        {"max_new_tokens": 9, "num_beams": 2},
        {"max_new_tokens": 4, "return_full_text": True},
    ]
    requests = [item("hello", f"id{n}", **given) for n, given in enumerate(parameters)]
    texts = [output["generated_text"] for output in gpt.predict(requests)]
    plain = [
        written(folder("gpt"), tf.AutoModelForCausalLM, "hello", do_sample=False, max_new_tokens=n)
        for n in (4, 9)
    ]
    assert texts[:2] == plain
    assert texts[3] == "hello" + plain[0]


def test_the_pieces_streamed_are_exactly_the_text(gpt: Model) -> None:
    requests = [item(prompt, f"id{n}", **LONG) for n, prompt in enumerate(PROMPTS)]
    outputs, pieces = streamed(gpt, *requests)
    for output, mine in zip(outputs, pieces, strict=True):
        assert len(mine) > 1
        assert "".join(mine) == output["generated_text"]


def test_the_pieces_of_a_full_text_begin_with_the_prompt(gpt: Model) -> None:
    (output,), (pieces,) = streamed(gpt, item("hello", **LONG, return_full_text=True))
    assert pieces[0] == "hello"
    assert "".join(pieces) == output["generated_text"]


def test_a_list_is_not_streamed_as_its_texts_would_mix(gpt: Model) -> None:
    (output,), (pieces,) = streamed(gpt, item(PROMPTS, **LONG))
    assert len(output) == len(PROMPTS)
    assert pieces == []


def test_a_text_ends_with_the_first_stop_that_it_comes_to(gpt: Model) -> None:
    whole = ask(gpt, "hello", **LONG)[0]["generated_text"]
    stop = whole[5:7]
    end = whole.index(stop) + len(stop)
    outputs, pieces = streamed(
        gpt, item("hello", "a", **LONG, stop=["never", stop]), item("hello", "b", **LONG)
    )
    assert outputs == [{"generated_text": whole[:end]}, {"generated_text": whole}]
    assert "".join(pieces[0]) == whole[:end]


def test_a_prediction_that_is_stopped_ends_and_the_others_go_on(gpt: Model) -> None:
    whole = ask(gpt, "hello", **LONG)[0]["generated_text"]
    stopping, going = item("hello", "a", **LONG), item("hello", "b", **LONG)
    pieces: list[str] = []

    def stop(request: Item, kind: str, value: Any) -> None:
        pieces.append(value)
        request.stopped.set()

    stopping.report = stop
    outputs = gpt.predict([stopping, going])
    assert outputs[1] == {"generated_text": whole}
    assert len(pieces) == 1
    assert len(pieces[0]) < len(whole)
    assert outputs[0] == {"generated_text": pieces[0]}


@pytest.mark.parametrize("beams", [1, 3])
def test_when_nobody_waits_any_more_the_model_stops(
    beams: int, gpt: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    model: Any = gpt
    requests = [item(prompt, prompt, max_new_tokens=60, num_beams=beams) for prompt in PROMPTS]
    steps, forward = [], model._decoder.model.forward

    def count(*args: Any, **options: Any) -> Any:
        steps.append(1)
        if len(steps) == 5:
            for request in requests:
                request.stopped.set()
        return forward(*args, **options)

    count.__signature__ = inspect.signature(forward)  # type: ignore[attr-defined]
    monkeypatch.setattr(model._decoder.model, "forward", count)
    gpt.predict(requests)
    assert len(steps) <= 7


def test_the_same_seed_writes_the_same_text_whoever_shares_the_batch(gpt: Model) -> None:
    parameters = {**LONG, "temperature": 1.2, "top_p": 0.95, "top_k": 0}
    alone = gpt.predict([item("hello", "any", **parameters, seed=7)])[0]
    among = gpt.predict(
        [
            item("a longer prompt than the other", "x", **parameters, seed=3),
            item("hello", "other", **parameters, seed=7),
            item("hello", "y", **parameters, seed=8),
        ]
    )
    assert among[1] == alone
    assert among[2] != alone


def test_a_second_attempt_writes_the_same_text_without_a_seed(gpt: Model) -> None:
    parameters = {**LONG, "do_sample": True}
    first, other = gpt.predict(
        [item("hello", "one", **parameters), item("hello", "two", **parameters)]
    )
    assert gpt.predict([item("hello", "one", **parameters)])[0] == first
    assert other != first


def test_each_of_a_list_draws_for_itself(gpt: Model) -> None:
    (outputs,) = gpt.predict([item(["hello"] * 3, **LONG, do_sample=True, seed=1)])
    assert len({output["generated_text"] for output in outputs}) == 3


def test_giving_a_temperature_asks_for_sampling_unless_refused(gpt: Model) -> None:
    greedy, drawn, refused = gpt.predict(
        [
            item("hello", "a", **LONG),
            item("hello", "b", **LONG, temperature=2.0, top_k=0),
            item("hello", "c", **LONG, temperature=2.0, do_sample=False),
        ]
    )
    assert drawn != greedy
    assert refused == greedy


def test_the_best_token_only_is_drawn_where_top_k_is_one(gpt: Model) -> None:
    greedy, drawn = gpt.predict(
        [item("hello", "a", **LONG), item("hello", "b", **LONG, top_k=1, do_sample=True)]
    )
    assert drawn == greedy


def test_a_models_own_sampling_is_its_default(
    folder: Callable[..., Path], loaded: Callable[..., Model]
) -> None:
    model = loaded("text-generation", folder("llama"))
    one, two, greedy = model.predict(
        [
            item("hello", "a", **LONG),
            item("hello", "b", **LONG),
            item("hello", "c", **LONG, do_sample=False),
        ]
    )
    assert one != two
    plain = written(
        folder("llama"), tf.AutoModelForCausalLM, "hello", do_sample=False, temperature=1.0, **LONG
    )
    assert greedy == {"generated_text": plain}


def test_the_catalogs_defaults_stand_where_the_caller_says_nothing(
    folder: Callable[..., Path], loaded: Callable[..., Model]
) -> None:
    model = loaded("text-generation", folder("gpt"), generation={"max_new_tokens": 3})
    plain = written(
        folder("gpt"), tf.AutoModelForCausalLM, "hello", do_sample=False, max_new_tokens=3
    )
    first, second = model.predict([item("hello", "a"), item("hello", "b", max_new_tokens=5)])
    assert first == {"generated_text": plain}
    assert second["generated_text"] != plain


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"num_beams": 2, "do_sample": True}, "num_beams"),
        ({"num_beams": 2, "stop": ["a"]}, "num_beams"),
        ({"min_new_tokens": 9, "max_new_tokens": 8}, "min_new_tokens"),
        ({"max_new_tokens": 124}, "128"),
    ],
)
def test_wishes_that_cannot_be_met_fail_alone(
    given: dict[str, Any], reason: str, gpt: Model
) -> None:
    bad, good = gpt.predict([item("hello", "a", **given), item("hello", "b", max_new_tokens=3)])
    assert isinstance(bad, BadItem)
    assert reason in str(bad)
    assert good["generated_text"]


def test_a_text_never_grows_beyond_the_models_positions(gpt: Model) -> None:
    outputs = ask(gpt, "x" * 120, "y" * 127)
    assert [len(output["generated_text"].encode()) > 0 for output in outputs] == [True, True]


def test_a_text_longer_than_the_catalog_allows_fails_alone(
    folder: Callable[..., Path], loaded: Callable[..., Model]
) -> None:
    model = loaded("text-generation", folder("gpt"), max_batch_tokens=20)
    long, good = ask(model, "x" * 20, "hello", max_new_tokens=4)
    assert isinstance(long, BadItem)
    assert "20" in str(long)
    assert good["generated_text"]


@pytest.mark.parametrize("family", ["mamba", "bloom"])
def test_a_model_without_positions_writes_as_far_as_its_own_file_says(
    family: str, loaded: Callable[..., Model], tmp_path: Path
) -> None:
    """Its tokenizer's 64 tokens are none of the model's; plain `generate` does not look at them."""
    path = writer(tmp_path / family, family, {"max_length": 90, "eos_token_id": None})
    model = loaded("text-generation", path)
    outputs = ask(model, "x" * 70, "hello")
    for prompt, output in zip(("x" * 70, "hello"), outputs, strict=True):
        assert output == {"generated_text": written(path, tf.AutoModelForCausalLM, prompt)}
    least = loaded("text-generation", path, max_batch_tokens=80)
    (bad,) = ask(least, "x" * 70, max_new_tokens=20)
    assert "room for 80" in str(bad)


def test_the_biases_of_mpt_end_with_its_longest_text(
    loaded: Callable[..., Model], tmp_path: Path
) -> None:
    path = writer(tmp_path / "mpt", "mpt")
    long, good = ask(loaded("text-generation", path), "x" * 64, "hello", max_new_tokens=4)
    assert "room for 64" in str(long)
    assert good["generated_text"]


def test_unknown_generation_defaults_stop_the_load(folder: Callable[..., Path]) -> None:
    spec = ModelSpec(
        name="tiny",
        source=str(folder("gpt")),
        task="text-generation",
        generation={"max_tokens": 3},
    )
    with pytest.raises(ModelUnloadable, match="max_tokens"):
        open_model(spec).load(spec, "cpu")
