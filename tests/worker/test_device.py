"""One worker, one device: which one it takes, and what it hides from torch."""

import contextlib
import os
import secrets
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from contract.errors import NoDevice
from contract.gpus import VISIBLE
from tests.support.fake_nvml import Card, Nvml
from worker.device import Device, choose_device, take_lock

Gpus = list[tuple[str, str]]
NOBODY = 65534
PROJECT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    # Set first, so that what the chooser writes is taken back after the test.
    monkeypatch.setenv(VISIBLE, "")
    monkeypatch.delenv(VISIBLE)


@pytest.fixture
def two() -> Gpus:
    """Two GPUs that no other test and no worker of this host knows."""
    return [(f"GPU-{secrets.token_hex(16)}", "H200") for _ in range(2)]


@pytest.fixture
def choose() -> Iterator[Callable[[str, Gpus], Device]]:
    taken: list[Device] = []

    def choose(wanted: str, gpus: Gpus) -> Device:
        taken.append(choose_device(wanted, lambda: gpus))
        return taken[-1]

    yield choose
    for device in taken:
        if device.lock:
            device.lock.close()


Choose = Callable[[str, Gpus], Device]


@contextlib.contextmanager
def other_worker(gpus: Gpus, user: int | None = None) -> Iterator[str]:
    """What a worker in another process says that it took; it holds it meanwhile."""
    code = (
        "import os, sys; from worker.device import choose_device\n"
        f"user = {user}; user and os.setuid(user)\n"
        f"device = choose_device('auto', lambda: {gpus!r})\n"
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


def test_the_first_free_gpu_is_taken_and_the_others_are_hidden(choose: Choose, two: Gpus) -> None:
    device = choose("auto", two)
    assert (device.torch_name, device.uuid, device.name) == ("cuda:0", two[0][0], "H200")
    assert os.environ[VISIBLE] == two[0][0]


@pytest.mark.slow
def test_a_second_process_takes_the_other_gpu_and_a_third_finds_none(
    choose: Choose, two: Gpus
) -> None:
    with other_worker(two) as first, other_worker(two) as second:
        assert [first, second] == [uuid for uuid, _ in two]
        with pytest.raises(NoDevice, match="other workers hold all 2 GPUs of this host"):
            choose("auto", two)
        assert VISIBLE not in os.environ


@pytest.mark.slow
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be two users")
def test_a_worker_of_a_second_user_neither_fails_nor_takes_the_same_gpu(
    choose: Choose, two: Gpus
) -> None:
    with other_worker(two) as first, other_worker(two, NOBODY) as second:
        assert [first, second] == [uuid for uuid, _ in two]
    with other_worker(two, NOBODY) as first:
        assert first == two[0][0]
        assert choose("auto", two).uuid == two[1][0]


@pytest.mark.slow
def test_a_gpu_is_free_again_when_its_worker_has_ended(choose: Choose, two: Gpus) -> None:
    with other_worker(two) as first:
        assert first == two[0][0]
    assert choose("auto", two).uuid == two[0][0]


def test_a_lock_leaves_no_file_that_another_user_could_own(
    choose: Choose, two: Gpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    choose("auto", two)
    assert list(tmp_path.iterdir()) == []


def test_where_there_is_no_abstract_namespace_a_file_of_the_users_own_is_the_lock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr("sys.platform", "win32")
    held = take_lock("one")
    assert held is not None
    assert take_lock("one") is None
    held.release()
    assert take_lock("one") is not None


@pytest.mark.slow
def test_a_busy_gpu_is_never_traded_for_the_cpu_in_silence(choose: Choose, two: Gpus) -> None:
    one = two[:1]
    with other_worker(one), pytest.raises(NoDevice):
        choose("auto", one)


def test_a_catalog_that_wants_cuda_gets_a_sentence_when_there_is_none(choose: Choose) -> None:
    with pytest.raises(NoDevice) as caught:
        choose("cuda", [])
    assert caught.value.detail == (
        "the catalog says `device: cuda`, and no GPU is visible to this worker"
    )


def test_auto_takes_the_cpu_where_no_gpu_is_and_hides_what_torch_could_find(
    choose: Choose,
) -> None:
    assert choose("auto", []) == Device("cpu")
    assert os.environ[VISIBLE] == ""


def test_cpu_hides_every_gpu_and_locks_none(choose: Choose, two: Gpus) -> None:
    assert choose("cpu", two) == Device("cpu")
    assert os.environ[VISIBLE] == ""
    assert choose("auto", two).uuid == two[0][0]


# What NVML says.


def test_each_slice_is_a_device_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    slices = [f"MIG-{secrets.token_hex(16)}" for _ in range(2)]
    monkeypatch.setitem(sys.modules, "pynvml", Nvml(Card("GPU-a", slices)))
    first = choose_device("cuda")
    assert (first.uuid, os.environ[VISIBLE]) == (slices[0], slices[0])
    monkeypatch.delenv(VISIBLE)
    second = choose_device("cuda")
    assert second.uuid == slices[1]
    first.lock.close()
    second.lock.close()


@pytest.mark.slow
def test_choosing_a_device_imports_no_torch() -> None:
    code = (
        "import sys; from worker.device import choose_device; choose_device('auto')\n"
        "import worker.task, worker.process; sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=PROJECT, timeout=60).returncode == 0
