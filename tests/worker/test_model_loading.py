"""A model is loaded, or its worker ends with one line that says why."""

import sys
from pathlib import Path

import pytest
from prometheus_client import REGISTRY

from contract.catalog import ModelSpec
from contract.errors import ModelUnloadable, OutOfMemory, StartRefused
from worker import model_loading
from worker.fingerprint import compute_fingerprint
from worker.model_loading import load_model

QUIET = """
class Model:
    def load(self, spec, device):
        self.device = device

    def predict(self, items): ...
"""


class OwnModule:
    """A module of the test's own with a model in it."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.path = folder / "model_of_this_test.py"
        self.spec = ModelSpec(name="m", python="model_of_this_test:Model")
        self.states: list[str] = []
        monkeypatch.syspath_prepend(folder)
        monkeypatch.delitem(sys.modules, "model_of_this_test", raising=False)

    def load(self, source: str) -> object:
        self.path.write_text(source)
        version = self.spec.version(compute_fingerprint(self.spec))
        return load_model(self.spec, version, "cpu", self.states.append)


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> OwnModule:
    return OwnModule(tmp_path, monkeypatch)


def loading_with(statement: str) -> str:
    return QUIET.replace("self.device = device", statement)


def test_a_model_is_imported_then_loaded_onto_its_device(own: OwnModule) -> None:
    assert vars(own.load(QUIET)) == {"device": "cpu"}
    assert own.states == ["importing", "loading"]
    for phase in ("import", "load", "warm_up"):
        assert REGISTRY.get_sample_value("soloist_worker_start_seconds", {"phase": phase}) >= 0


@pytest.mark.parametrize(
    ("statement", "reason"),
    [
        ("raise OSError('no file named model.safetensors')", "OSError: no file named model"),
        ("raise ValueError", "ValueError"),
        ("raise SystemExit(0)", "SystemExit: 0"),
        ("raise MemoryError", OutOfMemory.title),
    ],
)
def test_whatever_its_load_raises_is_one_line(own: OwnModule, statement: str, reason: str) -> None:
    with pytest.raises(ModelUnloadable) as caught:
        own.load(loading_with(statement))
    assert caught.value.detail.lower().startswith(f"models.m: {reason}".lower())
    assert "\n" not in caught.value.detail


def test_a_refusal_of_ours_keeps_its_own_words(own: OwnModule) -> None:
    refused = loading_with("from contract.errors import NoDevice; raise NoDevice('none is free')")
    with pytest.raises(StartRefused, match=r"^none is free$"):
        own.load(refused)


def test_a_class_that_is_not_there_is_one_line_before_anything_is_loaded(own: OwnModule) -> None:
    with pytest.raises(ModelUnloadable, match="cannot be opened: AttributeError"):
        own.load("")
    assert own.states == ["importing"]


def test_files_that_change_while_they_are_loaded_are_no_version(own: OwnModule) -> None:
    change = loading_with("import pathlib; pathlib.Path(__file__).write_text('')")
    with pytest.raises(ModelUnloadable, match="its files changed while it was loaded"):
        own.load(change)


def test_a_worker_that_is_told_to_end_while_it_loads_just_ends(
    own: OwnModule, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(model_loading, "draining", lambda: True)
    with pytest.raises(SystemExit):
        own.load(loading_with("raise SystemExit(0)"))
