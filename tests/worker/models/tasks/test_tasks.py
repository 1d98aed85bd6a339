"""What holds for the model of every task: batches, lists, bad items, the schemas."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest
import torch
from jsonschema_rs import validator_for

from contract.errors import BadItem
from contract.tasks import TASKS
from tests.worker.models.answers import ask, close, item
from tests.worker.models.builders.samples import NEW, SAMPLES
from worker.models import Model
from worker.models.torch_memory import find_weights_type

pytestmark = pytest.mark.slow

OTHERS = [
    ("token-classification", "bert_tagger", {"aggregation_strategy": "none"}),
    ("feature-extraction", "bert_embedder", {"normalize": True}),
    ("text-generation", "llama", {**NEW, "temperature": 1.5}),
    ("text-generation", "gpt", {**NEW, "repetition_penalty": 1.3}),
    ("text-generation", "gpt", {**NEW, "num_beams": 3}),
    ("summarization", "t5", {**NEW, "num_beams": 2}),
    ("question-answering", "bert_reader", {"top_k": 3}),
    ("object-detection", "detr", {"threshold": 0.01}),
    ("automatic-speech-recognition", "whisper", {}),
    ("automatic-speech-recognition", "whisper", {"return_timestamps": True}),
    ("automatic-speech-recognition", "wav2vec2_masked", {"return_timestamps": "word"}),
]
CASES = [(task, *sample) for task, sample in SAMPLES.items()] + [
    (task, builder, SAMPLES[task][1], parameters) for task, builder, parameters in OTHERS
]
BAD = {
    "fill-mask": "the cat",
    "text-generation": "x" * 200,
    "translation": "cat " * 200,
    "summarization": "the " * 20_000,  # T5 has positions for any length, a batch has not
    "question-answering": {"question": "who " * 100, "context": "bob"},
    "image-classification": "aGVsbG8=",
    "object-detection": "aGVsbG8=",
    "audio-classification": "aGVsbG8=",
    "automatic-speech-recognition": "aGVsbG8=",
}


def identified(case: Any) -> str:
    return "-".join((case[0], case[1], *map(str, case[3].values())))


@pytest.fixture(params=CASES, ids=identified)
def case(
    request: pytest.FixtureRequest, folder: Callable[..., Path], loaded: Callable[..., Model]
) -> tuple[str, Model, list[Any], dict[str, Any]]:
    task, builder, inputs, parameters = request.param
    options = {"masked": True} if builder.endswith("_masked") else {}
    return (
        task,
        loaded(task, folder(builder.removesuffix("_masked"), **options)),
        inputs,
        parameters,
    )


def test_the_type_of_its_weights_is_found(case: Any) -> None:
    assert find_weights_type(case[1]) == "float32"


def test_the_type_of_weights_is_found_behind_what_has_none() -> None:
    class Part:
        def __init__(self, **parts: Any) -> None:
            self.__dict__.update(parts)

    weights = torch.nn.Linear(1, 1, dtype=torch.bfloat16)
    model = Part(activation=torch.nn.Sigmoid(), count=3, part=Part(weights=weights))
    assert find_weights_type(model) == "bfloat16"
    assert find_weights_type(Part(activation=torch.nn.Sigmoid())) is None


def test_a_batch_answers_what_each_item_is_answered_alone(case: Any) -> None:
    _, model, inputs, parameters = case
    alone = [
        model.predict([item(given, f"id{n}", **parameters)])[0] for n, given in enumerate(inputs)
    ]
    assert not any(isinstance(output, Exception) for output in alone)
    close(ask(model, *inputs, **parameters), alone)


def test_a_list_is_answered_by_a_list_in_its_order(case: Any) -> None:
    _, model, inputs, parameters = case
    if "temperature" in parameters:
        parameters = {**parameters, "do_sample": False}  # each of a list draws for itself
    (bulk,) = ask(model, inputs, **parameters)
    close(bulk, ask(model, *inputs, **parameters))


def test_outputs_fit_the_schema_of_the_task(case: Any) -> None:
    task, model, inputs, parameters = case
    requests = [item(inputs[0], **parameters), item(inputs, "bulk", **parameters)]
    given, answer = validator_for(TASKS[task].input), validator_for(TASKS[task].output)
    for request, output in zip(requests, model.predict(requests), strict=True):
        given.validate(request.input)
        answer.validate(orjson.loads(orjson.dumps(output, option=orjson.OPT_SERIALIZE_NUMPY)))


@pytest.mark.parametrize("task", sorted(BAD))
def test_a_bad_item_fails_alone(
    task: str, folder: Callable[..., Path], loaded: Callable[..., Model]
) -> None:
    builder, inputs, parameters = SAMPLES[task]
    model = loaded(task, folder(builder))
    good, bad, bulk = model.predict(
        [
            item(inputs[0], "good", **parameters),
            item(BAD[task], "bad", **parameters),
            item([inputs[1], BAD[task]], "bulk", **parameters),
        ]
    )
    close(good, model.predict([item(inputs[0], "good", **parameters)])[0])
    assert type(bad) is type(bulk) is BadItem
    assert "\n" not in str(bad)


@pytest.mark.parametrize("task", sorted(set(SAMPLES) - {"text-generation"}))
def test_items_that_nobody_wants_are_not_run(
    task: str, folder: Callable[..., Path], loaded: Callable[..., Model]
) -> None:
    builder, inputs, parameters = SAMPLES[task]
    requests = [item(inputs[0], "a", **parameters), item(inputs[1], "b", **parameters)]
    requests[1].stopped.set()
    first, second = loaded(task, folder(builder)).predict(requests)
    assert first is not None
    assert second is None


@pytest.mark.parametrize(
    ("task", "bare"),
    [
        ("text-classification", "text"),
        ("image-classification", "image"),
        ("automatic-speech-recognition", "audio"),
    ],
)
def test_the_bare_form_is_the_same_as_inputs(
    task: str, bare: str, folder: Callable[..., Path], loaded: Callable[..., Model]
) -> None:
    from worker.models import Item

    builder, inputs, _ = SAMPLES[task]
    model = loaded(task, folder(builder))
    close(model.predict([Item("1", {bare: inputs[0]})]), ask(model, inputs[0]))
