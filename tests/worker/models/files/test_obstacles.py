"""Folders that hold no model that a worker loads: each kind has its own sentence with the way out."""

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers.utils import import_utils

from contract.catalog import ModelSpec
from tests.worker.models.answers import ask, refusal
from tests.worker.models.builders.embedding_models import say
from worker.models import Model, open_model
from worker.models.torch_errors import EXTRAS, explain_load_error, name_missing_package

pytestmark = pytest.mark.slow


@pytest.fixture
def copy(folder: Callable[..., Path], tmp_path: Path) -> Path:
    return Path(shutil.copytree(folder("bert_classifier"), tmp_path / "copy"))


@pytest.mark.parametrize(
    ("files", "reasons"),
    [
        (
            ["pytorch_model.bin"],
            ["pickle", "BertForSequenceClassification.from_pretrained(folder)"],
        ),
        (["pytorch_model-00001-of-00002.bin"], ["pickle", "save_pretrained"]),
        (["tf_model.h5"], ["TensorFlow", "from_tf=True"]),
        (["flax_model.msgpack"], ["Flax", "from_flax=True"]),
        (["tiny-q4.gguf"], ["GGUF", "llama.cpp"]),
        (["model.onnx"], ["ONNX", "model.safetensors"]),
        (["onnx/model.onnx"], ["onnx/model.onnx", "ONNX"]),
        (["openvino_model.xml"], ["OpenVINO"]),
        (["last.ckpt"], ["last.ckpt", "pickle"]),
        (["model-00001-of-00002.safetensors"], ["model.safetensors.index.json"]),
        (["weights.safetensors"], ["rename it"]),
        ([], ["no model.safetensors"]),
    ],
)
def test_what_lies_there_in_place_of_weights_is_named(
    files: list[str], reasons: list[str], copy: Path
) -> None:
    (copy / "model.safetensors").unlink()
    for name in files:
        (copy / name).parent.mkdir(exist_ok=True)
        (copy / name).write_bytes(b"x")
    text = refusal(copy)
    assert all(reason in text for reason in reasons), text


@pytest.mark.parametrize(
    ("files", "reason"),
    [
        (["model.gguf"], "llama.cpp"),
        (["model_index.json"], "diffusers"),
        (["params.json", "consolidated.00.pth"], "format of transformers"),
        (["modules.json"], "SentenceTransformer(folder).save_pretrained(folder)"),
        (["model.onnx"], "ONNX"),
        ([], "no config.json"),
    ],
)
def test_a_folder_of_something_else_is_named(files: list[str], reason: str, tmp_path: Path) -> None:
    for name in files:
        (tmp_path / name).write_bytes(b"x")
    assert reason in refusal(tmp_path)


@pytest.mark.parametrize("whole", [True, False])
def test_an_adapter_is_to_be_merged(whole: bool, copy: Path) -> None:
    (copy / "adapter_config.json").write_text('{"base_model_name_or_path": "org/base"}')
    if not whole:
        for name in ("config.json", "model.safetensors"):
            (copy / name).unlink()
    text = refusal(copy)
    assert "adapter (LoRA) of org/base" in text
    assert "merge_and_unload" in text


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ({"model_type": None}, "no `model_type`"),
        ({"model_type": "nobodys"}, "'nobodys' is none that the transformers"),
        ({"model_type": "own", "auto_map": {"AutoModel": "own.M"}}, "trust_remote_code"),
        ({"id2label": {"bad": 0, "good": 1}}, "'bad' where a number belongs"),
        ({"id2label": {"1": "a", "2": "b", "3": "c"}}, "numbered 1 to 3"),
        ({"id2label": {"0": "a", "1": "b"}}, "classifier.bias has the shape (3,), and (2,)"),
        (
            {"auto_map": {"AutoModelForSequenceClassification": "org/x--modeling_x.OwnBert"}},
            "its class OwnBert is code of its own",
        ),
        ({"quantization_config": {"quant_method": "nobodys"}}, "quantised (nobodys)"),
        ({"quantization_config": {"quant_method": "gptq", "bits": 4}}, "quantised (gptq)"),
        ({"quantization_config": {"quant_method": "awq", "bits": 4}}, "quantised (awq)"),
        (
            {"quantization_config": {"quant_method": "bitsandbytes", "load_in_8bit": True}},
            "`pip install bitsandbytes`",
        ),
    ],
)
def test_what_a_configuration_says_wrongly_is_named(
    said: dict[str, Any], reason: str, copy: Path
) -> None:
    say(copy / "config.json", **said)
    text = refusal(copy)
    assert reason in text, text


def test_a_configuration_with_a_byte_order_mark_is_refused_with_the_way_out(copy: Path) -> None:
    file = copy / "config.json"
    file.write_text(file.read_text(), encoding="utf-8-sig")
    assert "byte order mark; save it as UTF-8 without one" in refusal(copy)


@pytest.mark.parametrize("task", ["feature-extraction", "text-ranking"])
def test_a_list_of_no_modules_is_refused_with_the_way_out(task: str, copy: Path) -> None:
    (copy / "modules.json").write_text("[]")
    text = refusal(copy, task)
    assert "its modules.json names no module" in text
    assert "take that file away" in text


def test_a_length_that_is_none_is_refused(copy: Path) -> None:
    say(copy / "tokenizer_config.json", model_max_length=-1)
    assert "says `model_max_length` -1; set it to" in refusal(copy)


def test_labels_that_are_numbers_are_answered_as_texts(
    copy: Path, loaded: Callable[..., Model]
) -> None:
    say(copy / "config.json", id2label={"0": 0, "1": 1, "2": 2}, label2id=None)
    (answer,) = ask(loaded("text-classification", copy), "the cat")
    assert sorted(one["label"] for one in answer) == ["0", "1", "2"]


def test_a_missing_shard_is_named(copy: Path) -> None:
    (copy / "model.safetensors").unlink()
    index = {"weight_map": {"a": "model-00001-of-00002.safetensors"}}
    (copy / "model.safetensors.index.json").write_text(json.dumps(index))
    assert "its weights lack model-00001-of-00002.safetensors; copy it there" in refusal(copy)


@pytest.mark.parametrize(
    ("builder", "task", "reasons"),
    [
        ("bert_filler", "text-classification", ["BertForMaskedLM", "`fill-mask`"]),
        ("bert_embedder", "token-classification", ["BertModel", "`feature-extraction`"]),
        ("vit", "text-generation", ["ViTForImageClassification", "`image-classification`"]),
        ("marian", "question-answering", ["MarianMTModel", "`translation`"]),
    ],
)
def test_a_folder_for_another_task_says_which(
    builder: str, task: str, reasons: list[str], folder: Callable[..., Path]
) -> None:
    text = refusal(folder(builder), task)
    assert all(reason in text for reason in reasons), text


def test_a_configuration_without_architectures_or_label2id_is_enough(
    copy: Path, loaded: Callable[..., Model], folder: Callable[..., Path]
) -> None:
    say(copy / "config.json", architectures=None, label2id=None)
    wanted = ask(loaded("text-classification", folder("bert_classifier")), "the cat")
    assert ask(loaded("text-classification", copy), "the cat") == wanted


def test_labels_of_inference_are_found_without_label2id(
    folder: Callable[..., Path], tmp_path: Path, loaded: Callable[..., Model]
) -> None:
    path = Path(shutil.copytree(folder("bert_inference"), tmp_path / "nli"))
    say(path / "config.json", label2id=None)
    asked = {"candidate_labels": ["a", "b"]}
    wanted = ask(loaded("zero-shot-classification", folder("bert_inference")), "cat", **asked)
    assert ask(loaded("zero-shot-classification", path), "cat", **asked) == wanted


# --- names of weights -------------------------------------------------------------------------------


def renamed(folder: Path, change: Callable[[str], str]) -> None:
    file = folder / "model.safetensors"
    weights = {change(name): tensor.clone() for name, tensor in load_file(file).items()}
    save_file(weights, file, {"format": "pt"})


WRAPPERS: dict[str, Callable[[str], str]] = {
    "torch.compile": lambda name: f"_orig_mod.{name}",
    "a compiled part": lambda name: name.replace("bert.", "bert._orig_mod.", 1),
    "checkpointing": lambda name: name.replace(
        "layer.1.", "layer.1._fsdp_wrapped_module._checkpoint_wrapped_module."
    ),
    "DataParallel": lambda name: f"module.{name}",
    "Lightning": lambda name: f"model.{name}",
    "all of them": lambda name: f"model.module._orig_mod.{name}",
}


@pytest.mark.parametrize("wrapper", WRAPPERS)
def test_a_wrapper_around_the_model_is_taken_away(
    wrapper: str, copy: Path, loaded: Callable[..., Model], folder: Callable[..., Path]
) -> None:
    renamed(copy, WRAPPERS[wrapper])
    wanted = ask(loaded("text-classification", folder("bert_classifier")), "the cat")
    assert ask(loaded("text-classification", copy), "the cat") == wanted


def test_a_wrapper_does_not_hide_that_weights_lack(copy: Path) -> None:
    file = copy / "model.safetensors"
    weights = {n: t.clone() for n, t in load_file(file).items() if "classifier" not in n}
    save_file({f"module.{name}": tensor for name, tensor in weights.items()}, file)
    assert "no weights for classifier.bias, classifier.weight" in refusal(copy)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("bert.encoder.layer.0.attention.self.query.lora_A.weight", "not merged"),
        ("bert.encoder.layer.0.attention.self.query.weight_scale", "quantised"),
        ("bert.encoder.layer.0.attention.self.query.qweight", "quantised"),
    ],
)
def test_weights_that_change_what_others_mean_are_not_passed_over(
    name: str, reason: str, copy: Path
) -> None:
    file = copy / "model.safetensors"
    weights = {key: tensor.clone() for key, tensor in load_file(file).items()}
    save_file({**weights, name: torch.ones(2)}, file, {"format": "pt"})
    assert reason in refusal(copy)


def test_a_class_of_a_models_own_with_the_name_of_ours_is_ours(
    copy: Path, loaded: Callable[..., Model], folder: Callable[..., Path]
) -> None:
    own = {"AutoModelForSequenceClassification": "modeling_x.BertForSequenceClassification"}
    say(copy / "config.json", auto_map=own)
    wanted = ask(loaded("text-classification", folder("bert_classifier")), "the cat")
    assert ask(loaded("text-classification", copy), "the cat") == wanted


# --- packages ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "package"),
    [
        (ImportError(import_utils.SENTENCEPIECE_IMPORT_ERROR.format("X")), "sentencepiece"),
        (ImportError(import_utils.PROTOBUF_IMPORT_ERROR.format("X")), "protobuf"),
        (ImportError(import_utils.TIMM_IMPORT_ERROR.format("X")), "timm"),
        (ModuleNotFoundError("No module named 'google.protobuf'"), "protobuf"),
        (ValueError("`tiktoken` is required: `pip install tiktoken`."), "tiktoken"),
        (ModuleNotFoundError("No module named 'fugashi'"), "fugashi"),
    ],
)
def test_a_package_that_is_missing_is_named_with_what_brings_it(
    error: Exception, package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("worker.models.torch_errors.find_spec", lambda name: None)
    text = explain_load_error(error)
    assert f"`pip install {package}`" in text
    if package in EXTRAS:
        assert f"soloist[worker,{EXTRAS[package]}]" in text
        assert f"--build-arg EXTRAS={EXTRAS[package]}" in text


def test_a_package_that_is_there_is_not_what_is_missing() -> None:
    assert "need to have sentencepiece" in explain_load_error(
        ValueError("You need to have sentencepiece or tiktoken")
    )


def test_other_errors_are_told_whole() -> None:
    text = "\n  The first line\nand the way out: " + "do this " * 20
    assert explain_load_error(ValueError(text)) == "ValueError: " + " ".join(text.split())
    assert len(explain_load_error(ValueError("x" * 5000))) < 520


@pytest.mark.parametrize("package", ["sentencepiece", "google"])
def test_a_tokenizer_of_sentencepiece_names_what_reads_it(
    package: str, copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for file in copy.glob("*token*"):
        file.unlink()
    (copy / "spiece.model").write_bytes(b"\x0a\x0e no real one")
    say(copy / "tokenizer_config.json", tokenizer_class="T5Tokenizer")
    real = sys.modules["worker.models.files.checkpoint"].find_spec
    monkeypatch.setattr(
        "worker.models.files.checkpoint.find_spec",
        lambda name: None if name == package else real(name),
    )
    assert name_missing_package(package) in refusal(copy)


def test_pickles_are_not_even_opened(copy: Path) -> None:
    (copy / "model.safetensors").unlink()
    torch.save({"a": torch.zeros(1)}, copy / "pytorch_model.bin")
    before = (copy / "pytorch_model.bin").stat().st_atime_ns
    spec = ModelSpec(name="tiny", source=str(copy), task="text-classification")
    with pytest.raises(Exception, match="pickle"):
        open_model(spec).load(spec, "cpu")
    assert (copy / "pytorch_model.bin").stat().st_atime_ns == before
