"""The GPUs that a process may use: those of the host or their slices, as CUDA_VISIBLE_DEVICES names them."""

import sys
from typing import Any

import pytest

from contract.gpus import VISIBLE, list_gpus
from tests.support.fake_nvml import Card, Nvml


def seen(monkeypatch: pytest.MonkeyPatch, nvml: Any, visible: str | None = None) -> list[str]:
    monkeypatch.setitem(sys.modules, "pynvml", nvml)
    if visible is not None:
        monkeypatch.setenv(VISIBLE, visible)
    return [uuid for uuid, _ in list_gpus()]


def test_every_gpu_of_the_host_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    nvml = Nvml(Card("GPU-a"), Card("GPU-b"))
    assert seen(monkeypatch, nvml) == ["GPU-a", "GPU-b"]
    assert nvml.open == 0


@pytest.mark.parametrize(
    ("visible", "uuids"),
    [
        ("1", ["GPU-b1"]),
        ("2,0", ["GPU-c1", "GPU-a1"]),
        ("GPU-b", ["GPU-b1"]),
        (" GPU-c1 , 0 ", ["GPU-c1", "GPU-a1"]),
        ("", []),
        ("-1", []),
        ("NoDevFiles", []),
        ("7", []),
        ("0,7,1", ["GPU-a1"]),
        ("0,-1,1", ["GPU-a1"]),
    ],
)
def test_cuda_visible_devices_is_read_as_cuda_reads_it(
    monkeypatch: pytest.MonkeyPatch, visible: str, uuids: list[str]
) -> None:
    nvml = Nvml(Card("GPU-a1"), Card("GPU-b1"), Card("GPU-c1"))
    assert seen(monkeypatch, nvml, visible) == uuids


def test_a_gpu_cut_in_slices_is_its_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    nvml = Nvml(Card("GPU-a", ["MIG-1", "MIG-2"]), Card("GPU-b", []), Card("GPU-c"))
    assert seen(monkeypatch, nvml) == ["MIG-1", "MIG-2", "GPU-b", "GPU-c"]
    assert seen(monkeypatch, nvml, "MIG-2") == ["MIG-2"]


def test_a_machine_without_a_driver_has_no_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    class NoDriver(Nvml):
        def nvmlInit(self) -> None:  # noqa: N802
            raise self.NVMLError("driver not loaded")

    assert seen(monkeypatch, NoDriver()) == []
    assert seen(monkeypatch, None) == []  # and none where pynvml is not installed
