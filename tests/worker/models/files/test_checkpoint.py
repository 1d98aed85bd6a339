"""Models that cannot be loaded, each refused in one line with the way out."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from contract.catalog import ModelSpec
from tests.worker.models.answers import ask, refusal
from worker.models import Model, open_model

pytestmark = pytest.mark.slow


@pytest.fixture
def copy(folder: Callable[..., Path], tmp_path: Path) -> Path:
    return Path(shutil.copytree(folder("bert_classifier"), tmp_path / "copy"))


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    assert "there is no folder" in refusal(tmp_path / "nowhere")


def test_a_folder_of_something_else_is_named(tmp_path: Path) -> None:
    assert "no config.json" in refusal(tmp_path)


def test_a_missing_package_is_named() -> None:
    assert "no_such_package" in refusal("package:no_such_package/model")


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folder: Callable[..., Path]) -> Path:
    """The Hugging Face cache with one model, `owner/tiny`, at `main`."""
    root = tmp_path / "hub"
    model, commit = root / "models--owner--tiny", "0123456789abcdef0123456789abcdef01234567"
    shutil.copytree(folder("bert_classifier"), model / "snapshots" / commit)
    (model / "refs").mkdir()
    (model / "refs" / "main").write_text(commit)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(root))
    return root


def test_a_model_in_the_cache_is_loaded_from_there(
    cache: Path, folder: Callable[..., Path], loaded: Callable[..., Model]
) -> None:
    spec = ModelSpec(name="tiny", source="owner/tiny", task="text-classification")
    model = open_model(spec)
    model.load(spec, "cpu")
    assert ask(model, "cat") == ask(loaded("text-classification", folder("bert_classifier")), "cat")


def test_a_revision_that_is_not_in_the_cache_is_not_downloaded(cache: Path) -> None:
    text = refusal("owner/tiny", revision="v2")
    assert "hf download owner/tiny --revision v2" in text


def test_a_model_that_is_not_in_the_cache_is_not_downloaded(cache: Path) -> None:
    assert "hf download owner/other" in refusal("owner/other")


def test_pickled_weights_are_not_read(copy: Path) -> None:
    (copy / "model.safetensors").unlink()
    torch.save({"a": torch.zeros(1)}, copy / "pytorch_model.bin")
    text = refusal(copy)
    assert "safetensors" in text
    assert "save_pretrained" in text


def test_a_folder_without_weights_is_named(copy: Path) -> None:
    (copy / "model.safetensors").unlink()
    assert "no model.safetensors" in refusal(copy)


@pytest.mark.parametrize(
    ("kept", "reason"), [(0, "is empty"), (100, "torn"), (5000, "torn, it has 5000 bytes")]
)
def test_torn_weights_are_refused(copy: Path, kept: int, reason: str) -> None:
    weights = copy / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:kept])
    text = refusal(copy)
    assert reason in text
    assert "copy or download it again" in text


def test_a_pointer_of_git_lfs_is_told_from_weights(copy: Path) -> None:
    text = "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n"
    (copy / "model.safetensors").write_text(text)
    assert "git lfs pull" in refusal(copy)


def test_weights_of_another_shape_are_refused(copy: Path) -> None:
    config = json.loads((copy / "config.json").read_text())
    (copy / "config.json").write_text(json.dumps({**config, "hidden_size": 64}))
    text = refusal(copy)
    assert (
        "bert.embeddings.LayerNorm.bias has the shape (32,), and (64,) by its config.json" in text
    )


def test_a_torn_config_is_refused(copy: Path) -> None:
    (copy / "config.json").write_text("{")
    assert "cannot be loaded" in refusal(copy)


def test_an_unknown_architecture_is_refused(copy: Path) -> None:
    (copy / "config.json").write_text('{"model_type": "no_such_type"}')
    assert "no_such_type" in refusal(copy)


def test_code_of_a_models_own_is_not_run(copy: Path) -> None:
    config = json.loads((copy / "config.json").read_text())
    config |= {"auto_map": {"AutoConfig": "own.Config"}, "model_type": "own"}
    (copy / "config.json").write_text(json.dumps(config))
    (copy / "own.py").write_text("raise SystemExit('ran')")
    assert "trust_remote_code" in refusal(copy)


def test_a_missing_tokenizer_is_refused(copy: Path) -> None:
    for file in copy.glob("*token*"):
        file.unlink()
    refusal(copy)


@pytest.mark.parametrize(
    ("builder", "task", "weights"),
    [
        ("bert_embedder", "text-classification", "classifier"),
        ("bert_embedder", "question-answering", "qa_outputs"),
        ("bert_embedder", "fill-mask", "cls.predictions"),
    ],
)
def test_a_head_that_was_never_trained_is_not_made_up(
    builder: str, task: str, weights: str, folder: Callable[..., Path]
) -> None:
    text = refusal(folder(builder), task)
    assert weights in text
    assert task in text


@pytest.mark.parametrize(
    ("builder", "task"),
    [
        ("bert_classifier", "translation"),
        ("gpt", "automatic-speech-recognition"),
        ("vit", "object-detection"),
        ("t5", "text-generation"),
    ],
)
def test_a_model_for_something_else_is_refused(
    builder: str, task: str, folder: Callable[..., Path]
) -> None:
    refusal(folder(builder), task)


def test_a_classifier_without_entailment_cannot_classify_zero_shot(
    folder: Callable[..., Path],
) -> None:
    assert "entailment" in refusal(folder("bert_classifier"), "zero-shot-classification")


def test_an_embedder_without_a_pooler_is_loaded(
    folder: Callable[..., Path], loaded: Callable[..., Model]
) -> None:
    (vector,) = ask(loaded("feature-extraction", folder("bert_filler")), "the cat")
    assert vector.shape == (32,)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_weights_have_the_type_of_the_catalog(
    dtype: str, folder: Callable[..., Path], loaded: Callable[..., Model]
) -> None:
    model: Any = loaded("text-classification", folder("bert_classifier"), dtype=dtype)
    assert str(model._encoder.model.dtype) == f"torch.{dtype}"
    (answer,) = ask(model, "the cat")
    assert sum(one["score"] for one in answer) == pytest.approx(1, abs=1e-2)


def test_weights_are_not_for_training(
    folder: Callable[..., Path], loaded: Callable[..., Model]
) -> None:
    model: Any = loaded("text-classification", folder("bert_classifier"))
    assert not model._encoder.model.training
    assert not any(weights.requires_grad for weights in model._encoder.model.parameters())


def test_the_cost_of_a_pass_is_measured_at_load(
    folder: Callable[..., Path], loaded: Callable[..., Model]
) -> None:
    model: Any = loaded("text-classification", folder("bert_classifier"))
    assert 0 < model._encoder.budget.pass_cost <= 2 * 16384


def test_loading_says_nothing(
    folder: Callable[..., Path], capfd: pytest.CaptureFixture[str]
) -> None:
    path = folder("bert_filler")  # has weights that an embedder leaves out, and lacks its pooler's
    capfd.readouterr()
    spec = ModelSpec(name="tiny", source=str(path), task="feature-extraction")
    model = open_model(spec)
    model.load(spec, "cpu")
    ask(model, "the cat " * 100)
    assert capfd.readouterr() == ("", "")
