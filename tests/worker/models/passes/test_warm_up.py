"""A model that cannot answer does not become ready."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from contract.errors import BadItem, ModelUnloadable, OutputInvalid
from worker.models import Item
from worker.models.passes.warm_up import warm_up

pytestmark = pytest.mark.slow


class Folder:
    """The part of a checkpoint that the proof needs."""

    overflow = "; set `dtype`"

    def refusal(self, reason: str) -> ModelUnloadable:
        return ModelUnloadable(f"model 'tiny': {reason}")


class Fake:
    def __init__(self, answer: Callable[[list[Item]], list[Any]]) -> None:
        self.predict = answer

    def load(self, spec: Any, device: str) -> None: ...


INPUTS = {"a short text": {"inputs": "a"}, "a list": {"inputs": ["a", "b"]}}


def refused(answer: Callable[[list[Item]], list[Any]]) -> str:
    checkpoint: Any = Folder()
    with pytest.raises(ModelUnloadable) as caught:
        warm_up(checkpoint, Fake(answer), INPUTS)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_each_input_is_asked_alone_and_all_of_them_together() -> None:
    asked: list[list[Any]] = []

    def answer(items: list[Item]) -> list[Any]:
        asked.append([item.input["inputs"] for item in items])
        return [{"score": np.float32(0.5)} for _ in items]

    checkpoint: Any = Folder()
    warm_up(checkpoint, Fake(answer), INPUTS)
    assert asked == [["a"], [["a", "b"]], ["a", ["a", "b"]]]


def test_what_is_raised_is_told_in_one_line_with_the_input_that_it_was() -> None:
    def answer(items: list[Item]) -> list[Any]:
        if isinstance(items[0].input["inputs"], list):
            raise IndexError("index out of range\nin self")
        return ["good"]

    assert (
        refused(answer) == "model 'tiny': it cannot answer a list: IndexError: index out of range"
    )


def test_an_error_in_an_answers_place_is_no_answer() -> None:
    assert "a short text: BadItem: no tokens" in refused(lambda items: [BadItem("no tokens")])


def test_an_answer_that_json_cannot_say_is_no_answer() -> None:
    assert "a short text: OutputInvalid" in refused(lambda items: [float("nan")])


def test_of_numbers_that_are_none_the_type_may_be_the_reason() -> None:
    assert refused(lambda items: [OutputInvalid("NaN")]).endswith("OutputInvalid: NaN; set `dtype`")
    assert "dtype" not in refused(lambda items: [BadItem("no tokens")])


def test_what_fails_in_company_only_is_found() -> None:
    def answer(items: list[Item]) -> list[Any]:
        return ["good", ValueError("padded")] if len(items) > 1 else ["good"]

    assert "a list with others beside it: ValueError: padded" in refused(answer)


def test_a_batch_that_raises_names_all_of_it() -> None:
    def answer(items: list[Item]) -> list[Any]:
        if len(items) > 1:
            raise ValueError("unequal lengths")
        return ["good"]

    assert "a short text with a list: ValueError: unequal lengths" in refused(answer)


def test_a_device_that_is_too_small_is_told_with_what_to_lower() -> None:
    sentence = refused(lambda items: [RuntimeError("CUDA out of memory. Tried to allocate 2 GiB")])
    assert "lower `max_batch_tokens`" in sentence


def test_a_batch_too_large_for_the_device_is_no_fault_for_the_worker_halves_it() -> None:
    def answer(items: list[Item]) -> list[Any]:
        if len(items) > 1:
            raise RuntimeError("CUDA out of memory. Tried to allocate 2 GiB")
        return ["good"]

    checkpoint: Any = Folder()
    warm_up(checkpoint, Fake(answer), INPUTS)
