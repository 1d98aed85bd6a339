"""What becomes of each item of a batch, whatever the model does."""

from typing import Any

import pytest

from contract.errors import BadItem, DeviceLost, ModelError, OutOfMemory
from tests.worker.batches import Fake, Followed, claimed, items, numbers
from worker.batch import Batch, make_outcome, predict_items
from worker.models.interface import Item


def outputs_and_codes(answers: list[Any]) -> list[Any]:
    return [a.code if isinstance(a, Exception) else a for a in answers]


def breaking(on: int, error: BaseException) -> Fake:
    """Fails as a whole whenever item `on` is in the batch."""

    def run(batch: list[Item]) -> list[int]:
        if on in numbers(batch):
            raise error
        return numbers(batch)

    return Fake(run)


# Failures of a whole pass.


@pytest.mark.parametrize("bad", [0, 7, 15])
def test_one_bad_item_among_sixteen_fails_alone(bad: int) -> None:
    model = breaking(bad, ValueError("this text is no good"))
    answers = predict_items(model, items(16))
    fault = answers[bad]
    assert isinstance(fault, ModelError)
    assert fault.detail == "ValueError: this text is no good"
    assert [a for a in answers if a is not fault] == [n for n in range(16) if n != bad]
    # Halving, not one by one: 16, 8+8, 4+4, 2+2, 1+1.
    assert len(model.sizes) == 9


def test_two_bad_items_fail_alone_and_the_order_stays() -> None:
    def run(batch: list[Item]) -> list[int]:
        if {3, 4} & set(numbers(batch)):
            raise ValueError("no")
        return numbers(batch)

    answers = outputs_and_codes(predict_items(Fake(run), items(6)))
    assert answers == [0, 1, 2, "model_error", "model_error", 5]


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt(), GeneratorExit()])
def test_what_would_end_the_process_is_an_error_of_its_item(error: BaseException) -> None:
    answers = predict_items(breaking(1, error), items(3))
    assert outputs_and_codes(answers) == [0, "model_error", 2]
    assert answers[1].detail.startswith(type(error).__name__)


@pytest.mark.parametrize("wrong", [0, 3, 5])
def test_a_wrong_number_of_outputs_is_an_error_of_the_model(wrong: int) -> None:
    answers = predict_items(Fake(lambda batch: [0] * wrong), items(4))
    if wrong == 0:
        assert answers[0].detail == "the model gave 0 outputs for 1 items"
    assert {a.code for a in answers} == {"model_error"}


@pytest.mark.parametrize("nothing", [None, 7])
def test_an_answer_that_is_no_list_is_an_error_of_the_model(nothing: Any) -> None:
    answers = predict_items(Fake(lambda batch: nothing), items(2))
    assert outputs_and_codes(answers) == ["model_error", "model_error"]


def test_outputs_may_come_from_a_generator() -> None:
    assert predict_items(Fake(lambda batch: (n * 2 for n in numbers(batch))), items(3)) == [0, 2, 4]


def test_a_generator_that_breaks_costs_only_its_item() -> None:
    def run(batch: list[Item]) -> Any:
        return (10 // n for n in numbers(batch))

    assert outputs_and_codes(predict_items(Fake(run), items(3))) == ["model_error", 10, 5]


def test_no_items_need_no_pass() -> None:
    model = Fake(numbers)
    assert predict_items(model, []) == []
    assert model.sizes == []


# Errors in an output's place.


def test_an_exception_in_an_outputs_place_fails_that_item_without_a_second_pass() -> None:
    model = Fake(lambda batch: [ValueError("no"), BadItem("too odd"), MemoryError(), 3])
    answers = predict_items(model, items(4))
    assert outputs_and_codes(answers) == ["model_error", "invalid_input", "out_of_memory", 3]
    assert model.sizes == [4]


def test_a_lost_device_in_an_outputs_place_is_a_lost_device() -> None:
    lost = RuntimeError("CUDA error: an illegal memory access was encountered")
    with pytest.raises(DeviceLost):
        predict_items(Fake(lambda batch: [1, lost]), items(2))


# Memory and the device.


@pytest.mark.parametrize(
    "error", [MemoryError(), RuntimeError("CUDA out of memory. Tried to allocate 2 GiB")]
)
def test_too_little_memory_splits_the_batch_until_it_fits(error: BaseException) -> None:
    def run(batch: list[Item]) -> list[int]:
        if len(batch) > 4:
            raise error
        return numbers(batch)

    model = Fake(run)
    assert predict_items(model, items(16)) == list(range(16))
    assert model.sizes == [16, 8, 4, 4, 8, 4, 4]


def test_an_item_that_does_not_fit_is_tried_once_more_alone_and_then_fails() -> None:
    model = breaking(2, MemoryError())
    answers = predict_items(model, items(4))
    assert outputs_and_codes(answers) == [0, 1, "out_of_memory", 3]
    assert isinstance(answers[2], OutOfMemory)
    assert model.sizes == [4, 2, 2, 1, 1, 1]


def test_an_item_that_fits_once_memory_is_freed_succeeds() -> None:
    faults = iter([MemoryError()])

    def run(batch: list[Item]) -> list[int]:
        for fault in faults:
            raise fault
        return numbers(batch)

    assert predict_items(Fake(run), items(1)) == [0]


def test_a_lone_item_that_fails_otherwise_on_its_second_try_says_how() -> None:
    faults = iter([MemoryError(), ValueError("no")])

    def run(batch: list[Item]) -> list[int]:
        raise next(faults)

    assert predict_items(Fake(run), items(1))[0].detail == "ValueError: no"


def test_memory_is_freed_before_the_halves_run(monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[Any] = []
    monkeypatch.setattr("worker.batch.free_memory", lambda: done.append("freed"))

    def run(batch: list[Item]) -> list[int]:
        done.append(len(batch))
        if len(batch) > 1:
            raise MemoryError
        return numbers(batch)

    predict_items(Fake(run), items(2))
    assert done == [2, "freed", 1, 1]


def test_a_lost_device_ends_the_batch_at_once() -> None:
    model = breaking(1, RuntimeError("CUDA error: device-side assert triggered"))
    with pytest.raises(DeviceLost, match="device-side assert"):
        predict_items(model, items(8))
    assert model.sizes == [8]


def test_a_device_lost_while_looking_for_the_bad_item_ends_the_batch() -> None:
    faults = iter([ValueError("no"), RuntimeError("CUDA error: unspecified launch failure")])

    def run(batch: list[Item]) -> list[int]:
        raise next(faults)

    with pytest.raises(DeviceLost):
        predict_items(Fake(run), items(2))


def test_a_device_lost_on_the_second_try_of_a_lone_item_ends_the_batch() -> None:
    faults = iter([MemoryError(), RuntimeError("CUDA error: an illegal memory access")])

    def run(batch: list[Item]) -> list[int]:
        raise next(faults)

    with pytest.raises(DeviceLost):
        predict_items(Fake(run), items(1))


# The batch and its outcomes.


def test_a_batch_gives_one_outcome_for_each_claim_under_its_attempt() -> None:
    reporter = Followed()
    batch = Batch(claimed('{"n":0}', '{"n":1}', '{"n":2}'), reporter)
    assert [(c.id, c.attempt) for c in reporter.followed] == [("p0", 1), ("p1", 2), ("p2", 3)]
    outcomes = batch.predict(breaking(1, ValueError("no")))
    assert [(o.id, o.attempt, o.output, o.error_code) for o in outcomes] == [
        ("p0", 1, b"0", None),
        ("p1", 2, None, "model_error"),
        ("p2", 3, b"2", None),
    ]
    assert outcomes[1].error == "ValueError: no"
    assert all(0 <= o.predict_seconds <= batch.seconds for o in outcomes)


def test_a_recorded_input_that_is_not_json_fails_alone_and_never_reaches_the_model() -> None:
    model = Fake(numbers)
    outcomes = Batch(claimed('{"n":0}', "{'n':1}", '{"n":2}'), Followed()).predict(model)
    assert [o.error_code for o in outcomes] == [None, "invalid_input", None]
    assert outcomes[1].error == "the recorded input is not JSON"
    assert model.sizes == [2]


def test_integers_reach_the_model_and_come_back_exactly() -> None:
    given = [10**30, -(2**63) - 1, 2**64, 7, 1.5]
    model = Fake(lambda batch: [item.input["n"] for item in batch])
    outcomes = Batch(claimed(*(f'{{"n":{number}}}' for number in given)), Followed()).predict(model)
    assert [o.output for o in outcomes] == [str(number).encode() for number in given]


def test_a_batch_of_unreadable_inputs_needs_no_pass() -> None:
    model = Fake(numbers)
    outcomes = Batch(claimed("", "{"), Followed()).predict(model)
    assert [o.error_code for o in outcomes] == ["invalid_input"] * 2
    assert model.sizes == []


def test_what_is_no_longer_ours_is_told_to_its_item_and_not_extended() -> None:
    batch = Batch(claimed("{}", "{}", "{}"), Followed())
    batch.stop_items(["p1", "unknown"])
    assert [item.should_stop() for item in batch.items] == [False, True, False]
    assert batch.attempts == [("p0", 1), ("p2", 3)]


def test_items_report_through_the_batch() -> None:
    reporter = Followed()
    batch = Batch(claimed("{}"), reporter)
    batch.items[0].emit("piece")
    batch.items[0].log("line")
    batch.items[0].progress(7)
    assert reporter.taken == [
        ("p0", "output", "piece"),
        ("p0", "logs", "line\n"),
        ("p0", "progress", 1.0),
    ]


def test_each_item_that_is_run_again_says_so_first() -> None:
    reporter = Followed()

    def run(batch: list[Item]) -> list[int]:
        for item in batch:
            item.emit(f"{len(batch)}")
        if len(batch) > 1 or numbers(batch) == [1]:
            raise MemoryError
        return numbers(batch)

    batch = Batch(claimed('{"n":0}', '{"n":1}', '{"n":2}'), reporter)
    outcomes = batch.predict(Fake(run))
    said = [[what or "again" for id, _, what in reporter.taken if id == f"p{n}"] for n in range(3)]
    assert said == [
        ["3", "again", "1"],
        # Two halves of two, and then once more with all memory freed.
        ["3", "again", "2", "again", "1", "again", "1"],
        ["3", "again", "2", "again", "1"],
    ]
    assert [o.said for o in outcomes] == [2, None, 3]


def test_an_item_that_is_not_run_again_does_not_say_so() -> None:
    reporter = Followed()
    batch = Batch(claimed('{"n":1}'), reporter)
    batch.predict(breaking(1, ValueError("no")))
    assert reporter.taken == []


def test_an_output_that_is_not_json_costs_only_its_item() -> None:
    outcomes = Batch(claimed("{}", "{}"), Followed()).predict(
        Fake(lambda batch: [{"score": float("nan")}, "fine"])
    )
    assert [o.error_code for o in outcomes] == ["output_invalid", None]


@pytest.mark.parametrize(
    ("output", "size"), [("x" * 98, "100"), ("é" * 50, "102"), (list(range(50)), "141")]
)
def test_an_output_that_is_too_large_costs_only_its_item(output: Any, size: str) -> None:
    batch = Batch(claimed("{}", "{}"), Followed(), max_output_bytes=99)
    large, small = batch.predict(Fake(lambda batch: [output, "x" * 97]))
    assert (large.error_code, large.output) == ("output_too_large", None)
    assert large.error == (
        f"the output has {size} bytes as JSON; the model's max_output_bytes is 99"
    )
    assert small.output == b'"' + b"x" * 97 + b'"'


def test_an_error_of_ours_keeps_its_code_and_sentence() -> None:
    (one,) = claimed("{}")
    written = make_outcome(one, BadItem("the image is empty"), 0.5)
    assert (written.error_code, written.error) == ("invalid_input", "the image is empty")
    assert (written.output, written.predict_seconds) == (None, 0.5)
