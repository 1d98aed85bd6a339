"""One worker, one device: which one it takes, and what it hides from torch."""

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from contract.errors import NoDevice
from worker.device import VISIBLE, Device, choose_device, visible_gpus

TWO = [("GPU-aaaa", "H200"), ("GPU-bbbb", "H200")]
PROJECT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    # Set first, so that what the chooser writes is taken back after the test.
    monkeypatch.setenv(VISIBLE, "")
    monkeypatch.delenv(VISIBLE)


def choose(wanted: str, gpus: list[tuple[str, str]], locks: Path) -> Device:
    return choose_device(wanted, lambda: gpus, locks)


@contextlib.contextmanager
def other_worker(gpus: list[tuple[str, str]], locks: Path) -> Iterator[str]:
    """What a worker in another process says that it took; it holds it meanwhile."""
    code = (
        "import sys; from pathlib import Path; from worker.device import choose_device\n"
        f"device = choose_device('auto', lambda: {gpus!r}, Path({str(locks)!r}))\n"
        "print(device.uuid, flush=True); sys.stdin.read()"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=PROJECT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert child.stdin
    assert child.stdout
    try:
        yield child.stdout.readline().strip()
    finally:
        child.stdin.close()
        child.wait(20)
        child.stdout.close()


def test_the_first_free_gpu_is_taken_and_the_others_are_hidden(tmp_path: Path) -> None:
    device = choose("auto", TWO, tmp_path / "locks")
    assert (device.torch_name, device.uuid, device.name) == ("cuda:0", "GPU-aaaa", "H200")
    assert os.environ[VISIBLE] == "GPU-aaaa"


@pytest.mark.slow
def test_a_second_process_takes_the_other_gpu_and_a_third_finds_none(tmp_path: Path) -> None:
    with other_worker(TWO, tmp_path) as first, other_worker(TWO, tmp_path) as second:
        assert [first, second] == ["GPU-aaaa", "GPU-bbbb"]
        with pytest.raises(NoDevice, match="other workers hold all 2 GPUs of this host"):
            choose("auto", TWO, tmp_path)
        assert VISIBLE not in os.environ


@pytest.mark.slow
def test_a_gpu_is_free_again_when_its_worker_has_ended(tmp_path: Path) -> None:
    with other_worker(TWO, tmp_path) as first:
        assert first == "GPU-aaaa"
    assert choose("auto", TWO, tmp_path).uuid == "GPU-aaaa"


@pytest.mark.slow
def test_a_busy_gpu_is_never_traded_for_the_cpu_in_silence(tmp_path: Path) -> None:
    one = TWO[:1]
    with other_worker(one, tmp_path), pytest.raises(NoDevice):
        choose("auto", one, tmp_path)


def test_a_catalog_that_wants_cuda_gets_a_sentence_when_there_is_none(tmp_path: Path) -> None:
    with pytest.raises(NoDevice) as caught:
        choose("cuda", [], tmp_path)
    assert caught.value.detail == (
        "the catalog says `device: cuda`, and no GPU is visible to this worker"
    )


def test_auto_takes_the_cpu_where_no_gpu_is_and_hides_what_torch_could_find(
    tmp_path: Path,
) -> None:
    assert choose("auto", [], tmp_path) == Device("cpu")
    assert os.environ[VISIBLE] == ""


def test_cpu_hides_every_gpu_and_locks_none(tmp_path: Path) -> None:
    assert choose("cpu", TWO, tmp_path / "locks") == Device("cpu")
    assert os.environ[VISIBLE] == ""
    assert not (tmp_path / "locks").exists()


# What NVML says.


class Card:
    def __init__(self, uuid: str, slices: list[str] | None = None) -> None:
        self.uuid, self.slices = uuid, slices


class Nvml(SimpleNamespace):
    """pynvml as far as the chooser asks it."""

    class NVMLError(Exception):
        pass

    def __init__(self, *cards: Card) -> None:
        super().__init__(cards=cards, open=0)

    def nvmlInit(self) -> None:  # noqa: N802
        self.open += 1

    def nvmlShutdown(self) -> None:  # noqa: N802
        self.open -= 1

    def nvmlDeviceGetCount(self) -> int:  # noqa: N802
        return len(self.cards)

    def nvmlDeviceGetHandleByIndex(self, index: int) -> Card:  # noqa: N802
        return self.cards[index]

    def nvmlDeviceGetUUID(self, card: Card) -> str:  # noqa: N802
        return card.uuid

    def nvmlDeviceGetName(self, card: Card) -> str:  # noqa: N802
        return f"name of {card.uuid}"

    def nvmlDeviceGetMigMode(self, card: Card) -> list[int]:  # noqa: N802
        if card.slices is None:
            raise self.NVMLError("not supported")
        return [int(bool(card.slices)), int(bool(card.slices))]

    def nvmlDeviceGetMaxMigDeviceCount(self, card: Card) -> int:  # noqa: N802
        return 7

    def nvmlDeviceGetMigDeviceHandleByIndex(self, card: Card, index: int) -> Card:  # noqa: N802
        # Slices are at any of the seven places.
        place = index - 2
        if not card.slices or not 0 <= place < len(card.slices):
            raise self.NVMLError("not found")
        return Card(card.slices[place])


def seen(monkeypatch: pytest.MonkeyPatch, nvml: Any, visible: str | None = None) -> list[str]:
    monkeypatch.setitem(sys.modules, "pynvml", nvml)
    if visible is not None:
        monkeypatch.setenv(VISIBLE, visible)
    return [uuid for uuid, _ in visible_gpus()]


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


def test_each_slice_is_a_device_of_its_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", Nvml(Card("GPU-a", ["MIG-1", "MIG-2"])))
    first = choose_device("cuda", locks=tmp_path)
    assert (first.uuid, os.environ[VISIBLE]) == ("MIG-1", "MIG-1")
    monkeypatch.delenv(VISIBLE)
    assert choose_device("cuda", locks=tmp_path).uuid == "MIG-2"


def test_a_machine_without_a_driver_has_no_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    class NoDriver(Nvml):
        def nvmlInit(self) -> None:  # noqa: N802
            raise self.NVMLError("driver not loaded")

    assert seen(monkeypatch, NoDriver()) == []
    assert seen(monkeypatch, None) == []  # and none where pynvml is not installed


@pytest.mark.slow
def test_choosing_a_device_imports_no_torch() -> None:
    code = (
        "import sys; from worker.device import choose_device; choose_device('auto')\n"
        "import worker.task, worker.process; sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=PROJECT, timeout=60).returncode == 0
