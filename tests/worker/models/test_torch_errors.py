"""Which error a failure becomes."""

import sys
from types import SimpleNamespace

import pytest

from contract.errors import BadItem, DeviceLost, ModelError, OutOfMemory
from worker.models.torch_errors import first_line, free_memory, translate_error


class OutOfMemoryError(RuntimeError):
    pass


class AcceleratorError(RuntimeError):
    pass


@pytest.fixture
def torch(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """What of torch the translation looks at."""
    emptied: list[bool] = []
    cuda = SimpleNamespace(
        is_available=lambda: True,
        is_initialized=lambda: True,
        empty_cache=lambda: emptied.append(True),
        emptied=emptied,
    )
    stand_in = SimpleNamespace(
        OutOfMemoryError=OutOfMemoryError, AcceleratorError=AcceleratorError, cuda=cuda
    )
    monkeypatch.setitem(sys.modules, "torch", stand_in)
    return stand_in


def test_memory_that_runs_out_is_known_on_every_device(torch: SimpleNamespace) -> None:
    errors = [
        OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB"),
        MemoryError(),
        RuntimeError(
            "[enforce fail at alloc_cpu.cpp:124] DefaultCPUAllocator: can't allocate memory"
        ),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling cublasCreate(handle)"),
    ]
    assert all(type(translate_error(error)) is OutOfMemory for error in errors)


@pytest.mark.parametrize(
    "text",
    [
        "CUDA error: device-side assert triggered\nCUDA kernel errors might be asynchronously reported",
        "CUDA error: an illegal memory access was encountered",
        "CUDA error: unspecified launch failure",
        "CUDA error: uncorrectable ECC error encountered",
        "CUDA error: CUBLAS_STATUS_EXECUTION_FAILED when calling `cublasSgemm`",
    ],
)
def test_a_sticky_error_means_that_the_device_is_lost(text: str) -> None:
    error = translate_error(RuntimeError(text))
    assert type(error) is DeviceLost
    assert "\n" not in str(error)


def test_an_accelerator_error_means_that_the_device_is_lost(torch: SimpleNamespace) -> None:
    assert type(translate_error(AcceleratorError("CUDA error: whatever"))) is DeviceLost


def test_an_accelerators_lack_of_memory_does_not_lose_it(torch: SimpleNamespace) -> None:
    assert type(translate_error(AcceleratorError("CUDA error: out of memory"))) is OutOfMemory


def test_our_own_errors_pass_through() -> None:
    error = BadItem("no mask")
    assert translate_error(error) is error


def test_anything_else_fails_the_prediction_with_one_short_line() -> None:
    error = translate_error(ValueError("\n  first line\nTraceback: /secret/path"))
    assert type(error) is ModelError
    assert str(error) == "ValueError: first line"
    assert str(translate_error(SystemExit())) == "SystemExit"
    assert len(str(translate_error(ValueError("x" * 5000)))) < 250


def test_a_brief_of_nothing_is_the_errors_name() -> None:
    assert first_line(KeyError()) == "KeyError"


def test_memory_is_given_back_to_a_device_in_use(torch: SimpleNamespace) -> None:
    free_memory()
    assert torch.cuda.emptied


def test_freeing_memory_needs_no_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    free_memory()
    assert "torch" not in sys.modules


@pytest.mark.slow
def test_the_memory_errors_of_the_real_torch_are_known() -> None:
    import torch

    with pytest.raises(RuntimeError) as caught:
        torch.empty(10**15)
    assert type(translate_error(caught.value)) is OutOfMemory
    assert type(translate_error(torch.OutOfMemoryError("CUDA out of memory."))) is OutOfMemory
    assert type(translate_error(torch.AcceleratorError("CUDA error: assert"))) is DeviceLost
    free_memory()
