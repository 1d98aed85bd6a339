"""Where the time of a batch goes: what the models mark, and how marks add up."""

import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Thread
from types import SimpleNamespace
from typing import Any

import pytest

from contract.catalog import ModelSpec
from tests.worker.models.answers import ask
from tests.worker.models.builders.samples import SAMPLES
from worker.models import open_model
from worker.models.timing import take_seconds, timed
from worker.models.torch_memory import read_device_memory


@pytest.fixture(autouse=True)
def _nothing_left() -> Iterator[None]:
    take_seconds()
    yield
    take_seconds()


def cuda(**parts: Any) -> SimpleNamespace:
    """torch as far as it is asked, on a GPU."""
    return SimpleNamespace(cuda=SimpleNamespace(is_initialized=lambda: True, **parts))


def test_marks_of_one_phase_add_up_and_are_taken_once() -> None:
    for _ in range(3):
        with timed("inference"):
            time.sleep(0.01)
    with timed("preprocess"):
        pass
    marked = take_seconds()
    assert set(marked) == {"inference", "preprocess"}
    assert 0.03 <= marked["inference"] < 1
    assert take_seconds() == {}


def test_what_is_marked_within_a_mark_belongs_to_it() -> None:
    with timed("warm_up"), timed("inference"), timed("preprocess"):
        pass
    assert set(take_seconds()) == {"warm_up"}


def test_a_part_that_fails_took_its_time_too() -> None:
    @timed("preprocess")
    def tokenise() -> None:
        raise KeyError

    for _ in range(2):
        with pytest.raises(KeyError):
            tokenise()
    assert set(take_seconds()) == {"preprocess"}


def test_each_thread_has_marks_of_its_own() -> None:
    seen: list[dict[str, float]] = []
    with timed("inference"):
        other = Thread(target=lambda: seen.append(take_seconds()))
        other.start()
        other.join(10)
    assert seen == [{}]
    assert set(take_seconds()) == {"inference"}


def test_a_gpu_that_still_computes_is_waited_for_within_its_phase(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    waits: list[int] = []
    monkeypatch.setitem(sys.modules, "torch", cuda(synchronize=lambda: waits.append(1)))
    with timed("preprocess"):
        pass
    assert waits == []
    with timed("inference"), timed("inference"):
        pass
    assert waits == [1]


def test_a_device_that_is_lost_meanwhile_is_an_error_of_the_pass(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def synchronize() -> None:
        raise RuntimeError("CUDA error: an illegal memory access was encountered")

    monkeypatch.setitem(sys.modules, "torch", cuda(synchronize=synchronize))
    with pytest.raises(RuntimeError, match="illegal"), timed("inference"):
        pass


def test_torchs_memory_is_read_where_it_uses_cuda_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    assert read_device_memory() == {}
    stats = {
        "allocated_bytes.all.current": 10,
        "allocated_bytes.all.peak": 30,
        "reserved_bytes.all.current": 20,
    }
    on_gpu = cuda(memory_stats=lambda: stats)
    monkeypatch.setitem(sys.modules, "torch", on_gpu)
    assert read_device_memory() == {"allocated": 10, "reserved": 20, "peak": 30}
    on_gpu.cuda.is_initialized = lambda: False
    assert read_device_memory() == {}


@pytest.mark.slow
@pytest.mark.parametrize("task", SAMPLES)
def test_every_task_marks_its_warm_up_and_where_its_batches_spend_their_time(
    folder: Callable[..., Path], task: str
) -> None:
    builder, inputs, parameters = SAMPLES[task]
    spec = ModelSpec(name="tiny", source=str(folder(builder)), task=task)
    model = open_model(spec)
    model.load(spec, "cpu")
    assert set(take_seconds()) == {"warm_up"}
    started = time.perf_counter()
    ask(model, *inputs, **parameters)
    seconds = time.perf_counter() - started
    marked = take_seconds()
    assert set(marked) == {"preprocess", "inference"}
    assert 0 < sum(marked.values()) <= seconds
