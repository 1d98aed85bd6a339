"""What a worker exports of the GPU that it holds, by an NVML that the test plays."""

import sys
import threading
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from prometheus_client import REGISTRY

from tests.support.waiting import until
from worker import gpu as module
from worker import metrics
from worker.gpu import Gpu, watch_gpu
from worker.models import torch_memory

UUID = "GPU-1234"


@pytest.fixture(autouse=True)
def _no_gpu_before_or_after() -> Iterator[None]:
    def clear() -> None:
        for metric in vars(metrics).values():
            if getattr(metric, "_name", "").startswith("soloist_gpu_"):
                metric.clear()

    clear()
    yield
    clear()


class Nvml:
    """pynvml as far as it is asked. A name in `broken` raises what a driver that cannot say it does."""

    NVML_TEMPERATURE_GPU = 0

    class NVMLError(Exception):
        pass

    def __init__(self, *, sliced: bool = False, throttles: int = 0) -> None:
        self.sliced, self.throttles = sliced, throttles
        self.broken: set[str] = set()
        self.asked: list[tuple[str, str]] = []

    def __getattr__(self, name: str) -> Any:
        return lambda *args: self.answer(name, *args)

    def answer(self, name: str, *args: Any) -> Any:
        if args:
            self.asked.append((name, args[0]))
        if name in self.broken:
            raise self.NVMLError(name)
        answers = {
            "nvmlInit": None,
            "nvmlDeviceGetHandleByUUID": "slice" if self.sliced else "card",
            "nvmlDeviceIsMigDeviceHandle": int(self.sliced),
            "nvmlDeviceGetDeviceHandleFromMigDeviceHandle": "card",
            "nvmlDeviceGetMemoryInfo": SimpleNamespace(used=3_000, total=10_000, free=7_000),
            "nvmlDeviceGetUtilizationRates": SimpleNamespace(gpu=87, memory=40),
            "nvmlDeviceGetTemperature": 61,
            "nvmlDeviceGetPowerUsage": 512_500,
            "nvmlDeviceGetCurrentClocksThrottleReasons": self.throttles,
        }
        return answers[name]


def seen(name: str, **labels: str) -> float | None:
    return REGISTRY.get_sample_value(f"soloist_gpu_{name}", {"gpu_uuid": UUID, **labels})


def test_a_look_exports_memory_use_heat_and_power() -> None:
    Gpu(Nvml(), UUID).export()
    assert seen("memory_bytes", kind="used") == 3_000
    assert seen("memory_bytes", kind="total") == 10_000
    assert seen("utilisation_ratio") == 0.87
    assert seen("temperature_celsius") == 61
    assert seen("power_watts") == 512.5


@pytest.mark.parametrize(
    ("bits", "reasons"),
    [
        (0, set()),
        (0x01, set()),  # idle
        (0x04, {"power"}),
        (0x20, {"thermal"}),
        (0x40 | 0x08, {"thermal", "hardware"}),
        (0x80 | 0x04, {"hardware", "power"}),
    ],
)
def test_what_holds_the_clocks_back_is_named(bits: int, reasons: set[str]) -> None:
    Gpu(Nvml(throttles=bits), UUID).export()
    known = ("power", "thermal", "hardware")
    assert {reason for reason in known if seen("throttled", reason=reason)} == reasons
    assert all(seen("throttled", reason=reason) is not None for reason in known)


def test_torchs_share_of_the_memory_is_there_once_torch_uses_the_device(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    gpu = Gpu(Nvml(), UUID)
    gpu.export()
    assert seen("memory_torch_bytes", kind="allocated") is None
    found = {"allocated": 5, "reserved": 8, "peak": 7}
    monkeypatch.setattr(torch_memory, "read_device_memory", lambda: found)
    gpu.export()
    assert {kind: seen("memory_torch_bytes", kind=kind) for kind in found} == found


def test_of_a_slice_memory_is_its_own_and_heat_is_the_cards() -> None:
    nvml = Nvml(sliced=True)
    nvml.broken = {"nvmlDeviceGetUtilizationRates"}
    Gpu(nvml, UUID).export()
    asked = dict(nvml.asked)
    assert asked["nvmlDeviceGetMemoryInfo"] == "slice"
    assert asked["nvmlDeviceGetTemperature"] == asked["nvmlDeviceGetPowerUsage"] == "card"
    assert seen("memory_bytes", kind="used") == 3_000
    assert seen("utilisation_ratio") is None, "a driver does not know it of a slice"


def test_what_can_be_read_no_more_is_absent_and_not_old() -> None:
    nvml = Nvml()
    gpu = Gpu(nvml, UUID)
    gpu.export()
    nvml.broken = {"nvmlDeviceGetPowerUsage", "nvmlDeviceGetMemoryInfo"}
    gpu.export()
    assert seen("power_watts") is seen("memory_bytes", kind="used") is None
    assert seen("temperature_celsius") == 61


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_the_thread_looks_again_and_again_whatever_a_look_raises(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    nvml, looks = Nvml(), list[int]()

    def held() -> dict[str, int]:
        looks.append(1)
        if len(looks) == 4:
            raise SystemExit  # ends the thread, which would write into the metrics of later tests
        raise AttributeError("a torch that is half imported")

    monkeypatch.setitem(sys.modules, "pynvml", nvml)
    monkeypatch.setattr(module, "EXPORT_SECONDS", 0.001)
    monkeypatch.setattr(torch_memory, "read_device_memory", held)
    watch_gpu(UUID)
    until(
        "the thread has ended",
        lambda: all(thread.name != "gpu" for thread in threading.enumerate()),
    )
    assert len(looks) == 4
    assert seen("power_watts") == 512.5


@pytest.mark.parametrize("broken", ["nvmlInit", "nvmlDeviceGetHandleByUUID"])
def test_a_machine_whose_nvml_fails_exports_nothing_and_ends_nothing(
    monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    nvml = Nvml()
    nvml.broken = {broken}
    monkeypatch.setitem(sys.modules, "pynvml", nvml)
    module._run(UUID)
    assert seen("memory_bytes", kind="used") is None
