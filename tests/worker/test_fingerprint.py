"""What the files behind a model hold is part of its version: trained again under the same path, it is another."""

import importlib
import json
import shutil
import struct
import sys
from pathlib import Path
from typing import Any

import pytest

from contract.catalog import ModelSpec
from contract.versions import HALF, UNTOLD
from worker.fingerprint import PIECE_BYTES, compute_fingerprint, find_source_file

FLOATS = 5000
"""In a tensor of these tests: much more than the piece that is read of it."""


def tensors(*values: float) -> bytes:
    """A safetensors file with one tensor of each value."""
    size = FLOATS * 4
    header = {
        f"layer.{n}": {
            "dtype": "F32",
            "shape": [FLOATS],
            "data_offsets": [n * size, (n + 1) * size],
        }
        for n in range(len(values))
    }
    text = json.dumps({"__metadata__": {"format": "pt"}, **header}).encode()
    data = b"".join(struct.pack("<f", value) * FLOATS for value in values)
    return len(text).to_bytes(8, "little") + text + data


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    (folder / "1_Pooling").mkdir(parents=True)
    (folder / "model.safetensors").write_bytes(tensors(1.0, 2.0, 3.0))
    for name in ("config.json", "tokenizer.json", "vocab.txt", "1_Pooling/config.json"):
        (folder / name).write_text(f'{{"a": "{name}"}}')
    return folder


def content(source: Path | str, **more: Any) -> str:
    spec = {"source": str(source), "task": "fill-mask"}
    return compute_fingerprint(ModelSpec(name="m", **(more or spec)))


def test_the_same_files_in_another_place_are_the_same_version(folder: Path, tmp_path: Path) -> None:
    first = content(folder)
    shutil.copytree(folder, tmp_path / "copy")

    assert len(first) == HALF
    assert first != UNTOLD
    assert content(tmp_path / "copy") == content(folder) == first


@pytest.mark.parametrize("trained", [0, 1, 2])
def test_weights_that_were_trained_again_are_another_version(folder: Path, trained: int) -> None:
    """Also when only one layer was, and sizes and header stay the same."""
    before, size = content(folder), (folder / "model.safetensors").stat().st_size
    values = [1.0, 2.0, 3.0]
    values[trained] += 0.001
    (folder / "model.safetensors").write_bytes(tensors(*values))

    assert (folder / "model.safetensors").stat().st_size == size
    assert content(folder) != before


@pytest.mark.parametrize("name", ["config.json", "vocab.txt", "1_Pooling/config.json"])
def test_every_small_file_counts(folder: Path, name: str) -> None:
    before = content(folder)
    (folder / name).write_text("{}")
    changed = content(folder)
    (folder / name).unlink()

    assert len({before, changed, content(folder)}) == 3


@pytest.mark.parametrize("place", ["2_Dense", "top"])
def test_weights_of_modules_count_wherever_they_lie(folder: Path, place: str) -> None:
    modules = [{"type": "sentence_transformers.models.Dense", "path": place}]
    (folder / "modules.json").write_text(json.dumps(modules))
    (folder / place).mkdir()
    found = []
    for value in (1.0, 2.0):
        (folder / place / "model.safetensors").write_bytes(tensors(value))
        found.append(content(folder))

    assert found[0] != found[1]


def test_what_a_worker_never_reads_does_not_count(folder: Path) -> None:
    before = content(folder)
    (folder / "README.md").write_text("Trained on Monday.")
    (folder / "optimizer.pt").write_bytes(b"0" * 100)
    (folder / "runs").mkdir()
    (folder / "runs" / "events.json").write_text("{}")
    (folder / "onnx").mkdir()
    (folder / "onnx" / "model.safetensors").write_bytes(tensors(9.0))

    assert content(folder) == before


@pytest.mark.parametrize(
    "broken",
    [
        b"",
        b"\xff" * 30,
        (2).to_bytes(8, "little") + b"[]",
        (4).to_bytes(8, "little") + b'{"a"',
        (9).to_bytes(8, "little") + b'{"a": {}}',
        (37).to_bytes(8, "little") + b'{"a": {"data_offsets": [-5, 99999999]}}',
    ],
)
def test_broken_weights_are_for_loading_to_tell(folder: Path, broken: bytes) -> None:
    (folder / "model.safetensors").write_bytes(broken)

    assert content(folder) not in ("", UNTOLD)


@pytest.mark.parametrize("source", ["/no/such/folder", "package:no_such_package/m", "org/no-such"])
def test_where_nothing_is_nothing_is_told(source: str) -> None:
    assert content(source) == UNTOLD


def test_only_a_piece_of_each_tensor_is_read(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "model.safetensors").write_bytes(tensors(*range(50)))
    read: list[int] = []
    real = __import__("os").pread
    monkeypatch.setattr("os.pread", lambda *a: read.append(a[1]) or real(*a))
    content(folder)

    assert read == [PIECE_BYTES] * 50


def hub(cache: Path, commit: str) -> None:
    """A Hugging Face cache with one model at this commit."""
    repository = cache / "models--org--m"
    (repository / "refs").mkdir(parents=True, exist_ok=True)
    (repository / "refs" / "main").write_text(commit)
    (repository / "snapshots" / commit).mkdir(parents=True, exist_ok=True)
    (repository / "snapshots" / commit / "config.json").write_text("{}")


def test_of_a_hugging_face_id_the_commit_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    found = []
    for commit in ("a" * 40, "b" * 40):
        hub(tmp_path, commit)
        found.append(content("org/m"))

    assert UNTOLD not in found
    assert found[0] != found[1]
    pinned = {"source": "org/m", "task": "fill-mask", "revision": "a" * 40}
    assert compute_fingerprint(ModelSpec(name="m", **pinned)) == found[0]


def test_of_a_python_class_the_source_of_its_module_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "shop" / "models").mkdir(parents=True)
    (tmp_path / "shop" / "__init__.py").write_text("raise SystemExit('imported')")
    found = []
    for text in ("class A: ...", "class A: pass"):
        (tmp_path / "shop" / "models" / "spam.py").write_text(text)
        importlib.invalidate_caches()
        found.append(content("", python="shop.models.spam:A"))

    assert found[0] != found[1]
    assert "shop" not in sys.modules, "nothing is imported for it"


def test_a_class_without_a_source_that_is_seen_has_a_version_too() -> None:
    seen = {content("", python=f"{module}:A") for module in ("sys", "nowhere.at.all", "itertools")}

    assert len(seen) == 1
    assert UNTOLD not in seen


@pytest.mark.parametrize(
    ("module", "file"),
    [("json.decoder", "decoder.py"), ("tests.e2e.models", "models.py"), ("json", "__init__.py")],
)
def test_a_modules_source_is_found(module: str, file: str) -> None:
    found = find_source_file(module)

    assert found is not None
    assert found.name == file
