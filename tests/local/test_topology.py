"""Which processes make up a `soloist up`: a worker for each model, a GPU for each as long as there are some."""

import sys
from pathlib import Path

import pytest

from contract.catalog import Catalog, ModelSpec
from contract.gpus import VISIBLE
from contract.settings import Settings
from local import topology
from tests.support.fake_nvml import Card, Nvml


def catalog(**devices: str) -> Catalog:
    return Catalog([ModelSpec(name=n, python="m:C", device=d) for n, d in devices.items()])


@pytest.mark.parametrize(
    ("gpus", "per_model", "counts", "without_gpu"),
    [
        (0, None, {"a": 1, "b": 1, "c": 1}, {}),
        (1, None, {"a": 1, "b": 1, "c": 1}, {"a": 1}),
        (2, None, {"a": 1, "b": 1, "c": 1}, {}),
        (5, None, {"a": 3, "b": 2, "c": 1}, {}),
        (4, 3, {"a": 3, "b": 3, "c": 3}, {"a": 2}),
    ],
)
def test_gpus_are_dealt_out_to_the_models(gpus, per_model, counts, without_gpu) -> None:
    models = catalog(a="auto", b="cuda", c="cpu")
    assert topology.worker_counts(models, gpus, per_model) == counts
    without = topology.workers_without_gpu(models, gpus, counts)
    assert {name: number for name, number in without.items() if number} == without_gpu


def worker_names(settings: Settings) -> list[str]:
    found = topology.plan_topology(settings, catalog(a="auto"), None, None)
    return [worker.name for worker in found.workers]


def test_each_gpu_and_each_slice_of_one_gets_a_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(topology, "find_spec", lambda name: True)
    monkeypatch.delenv(VISIBLE, raising=False)
    settings = Settings(port=0, keeper_port=0)
    monkeypatch.setitem(sys.modules, "pynvml", Nvml(Card("GPU-a"), Card("GPU-b")))
    assert worker_names(settings) == ["a-1", "a-2"]
    monkeypatch.setitem(sys.modules, "pynvml", Nvml(Card("GPU-a", ["MIG-1", "MIG-2", "MIG-3"])))
    assert worker_names(settings) == ["a-1", "a-2", "a-3"]
    monkeypatch.setenv(VISIBLE, "1")
    assert worker_names(settings) == ["a"]
    monkeypatch.setenv(VISIBLE, "")
    assert worker_names(settings) == ["a"]


def test_each_process_gets_its_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(topology, "find_spec", lambda name: True)
    monkeypatch.setattr(topology, "list_gpus", lambda: [("GPU-a", "H200")])
    settings = Settings(port=0, keeper_port=0, catalog=Path("c.yaml"))
    parts = topology.plan_topology(settings, catalog(a="auto", b="cuda"), "redis://embedded", None)
    first, second = parts.workers
    assert first.arguments == ("worker", "--model", "a")
    assert first.environment["SOLOIST_REDIS_URL"] == "redis://embedded"
    assert first.environment["SOLOIST_CATALOG"] == str(Path("c.yaml").resolve())
    assert first.environment["SOLOIST_WORKER_NAME"] != second.environment["SOLOIST_WORKER_NAME"]
    assert parts.on_cpu == ["a"]
    assert first.environment["CUDA_VISIBLE_DEVICES"] == ""
    assert parts.gateway.environment["SOLOIST_PORT"] == str(parts.gateway.port)
