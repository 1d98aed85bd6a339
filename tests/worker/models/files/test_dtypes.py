"""The types of numbers, a test for each row of the table in docs/models.md."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers as tf
from safetensors.torch import load_file, save_file

from contract.catalog import ModelSpec
from contract.errors import OutputInvalid
from tests.worker.models.answers import ask, close, refusal
from tests.worker.models.builders.embedding_models import say
from tests.worker.models.builders.task_models import bert_config, bert_tokenizer, made, save
from worker.models import Model, open_model
from worker.models.files.checkpoint import Checkpoint
from worker.models.files.dtypes import choose_dtype
from worker.models.files.tensors import find_prevailing_dtype, read_header

pytestmark = pytest.mark.slow

PAGE = Path(__file__).parents[4] / "docs" / "models.md"
TYPES = [torch.float32, torch.float16, torch.bfloat16]


def bert(folder: Path, kind: Any, said: str | None = "", **others: Any) -> Path:
    """An embedder whose weights are stored as `kind`, but `others` (a part of the name: its type)."""
    save(folder, made(tf.BertModel, bert_config()), bert_tokenizer())
    file = folder / "model.safetensors"
    weights = {}
    for name, tensor in load_file(file).items():
        own = next((other for part, other in others.items() if part in name), kind)
        weights[name] = tensor.to(own)
    save_file(weights, file, {"format": "pt"})
    say(folder / "config.json", dtype=str(kind).removeprefix("torch.") if said == "" else said)
    return folder


def loaded_as(folder: Path, device: str, **more: Any) -> Any:
    """The type that a model gets on a device, which this machine need not have."""
    spec = ModelSpec(name="tiny", source=str(folder), task="feature-extraction", **more)
    checkpoint = Checkpoint(spec)
    return checkpoint._dtype(checkpoint.load_part("AutoConfig"), device)


@pytest.mark.parametrize("kind", TYPES)
def test_on_a_cpu_all_is_widened_to_float32(
    kind: Any, tmp_path: Path, loaded: Callable[..., Model]
) -> None:
    path = bert(tmp_path, kind)
    model: Any = loaded("feature-extraction", path)
    assert {weights.dtype for weights in model._vectors.encoder.model.parameters()} == {TYPES[0]}
    plain = tf.AutoModel.from_pretrained(path, dtype=torch.float32).eval()
    encoding = tf.AutoTokenizer.from_pretrained(path)("the cat", return_tensors="pt")
    with torch.inference_mode():
        wanted = plain(**encoding).last_hidden_state[0].mean(dim=0).numpy()
    close(ask(model, "the cat")[0], wanted)


@pytest.mark.parametrize("kind", TYPES)
def test_on_a_gpu_the_checkpoints_own_type_is_kept(kind: Any, tmp_path: Path) -> None:
    path = bert(tmp_path, kind)
    assert loaded_as(path, "cuda:0") == kind
    say(path / "config.json", dtype=None)
    assert loaded_as(path, "cuda:0") == kind


def test_a_gpu_without_bfloat16_gets_float32(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = bert(tmp_path, torch.bfloat16)
    for capability, wanted in (((7, 5), torch.float32), ((8, 0), torch.bfloat16)):
        monkeypatch.setattr("torch.cuda.is_available", lambda: True)
        monkeypatch.setattr("torch.cuda.get_device_capability", lambda device, c=capability: c)
        assert loaded_as(path, "cuda:0") == wanted


@pytest.mark.parametrize("kind", [torch.float32, torch.bfloat16])
def test_wider_weights_are_not_narrowed_to_float16(kind: Any, tmp_path: Path) -> None:
    assert loaded_as(bert(tmp_path, kind, "float16"), "cuda:0") == kind


@pytest.mark.parametrize(
    ("said", "wanted"),
    [("bfloat16", torch.bfloat16), (None, torch.bfloat16), ("float32", TYPES[0])],
)
def test_of_several_types_the_configurations_or_that_of_most_bytes_is_taken(
    said: str | None, wanted: Any, tmp_path: Path
) -> None:
    path = bert(tmp_path, torch.bfloat16, said, LayerNorm=torch.float32)
    assert loaded_as(path, "cuda:0") == wanted
    assert loaded_as(path, "cpu") == torch.float32


@pytest.mark.parametrize(
    ("kind", "wanted"), [(torch.float64, TYPES[0]), (torch.float8_e4m3fn, torch.bfloat16)]
)
def test_types_that_no_model_computes_in_are_changed(
    kind: Any, wanted: Any, tmp_path: Path
) -> None:
    assert loaded_as(bert(tmp_path, kind, None), "cuda:0") == wanted


@pytest.mark.parametrize("device", ["cpu", "cuda:0"])
@pytest.mark.parametrize("name", ["float32", "float16", "bfloat16"])
def test_a_type_that_is_named_is_taken(name: str, device: str) -> None:
    assert choose_dtype(name, device, torch.bfloat16, "F32", bfloat16=False) == getattr(torch, name)


@pytest.mark.parametrize("name", ["float16", "bfloat16"])
def test_a_half_type_on_a_cpu_is_computed_in(
    name: str, folder: Callable[..., Path], loaded: Callable[..., Model]
) -> None:
    path = folder("bert_embedder")
    model: Any = loaded("feature-extraction", path, dtype=name)
    assert str(model._vectors.encoder.model.dtype) == f"torch.{name}"
    close(ask(model, "the cat")[0], ask(loaded("feature-extraction", path), "the cat")[0], 0.1)


def test_what_transformers_keeps_in_float32_stays_so(folder: Callable[..., Path]) -> None:
    spec = ModelSpec(name="tiny", source=str(folder("t5")), task="summarization", dtype="float16")
    model = Checkpoint(spec).load_model("AutoModelForSeq2SeqLM", "cpu")
    kinds = {name.split(".")[-2]: weights.dtype for name, weights in model.named_parameters()}
    assert kinds["wo"] == torch.float32
    assert kinds["q"] == torch.float16


@pytest.fixture
def overflowing(tmp_path: Path) -> Path:
    """A model whose numbers float16 cannot hold: as it was trained in bfloat16."""
    model = made(tf.BertModel, bert_config())
    with torch.no_grad():
        model.encoder.layer[0].intermediate.dense.bias.fill_(60000)
        model.encoder.layer[0].output.dense.weight.fill_(30)
    return save(tmp_path, model.to(torch.bfloat16), bert_tokenizer())


def test_what_overflows_in_float16_does_not_become_ready(overflowing: Path) -> None:
    text = refusal(overflowing, "feature-extraction", dtype="float16")
    assert "OutputInvalid" in text
    assert "set `dtype` to `bfloat16` or `float32`" in text


@pytest.mark.parametrize("dtype", ["auto", "bfloat16"])
def test_and_is_answered_in_wider_types(
    dtype: str, overflowing: Path, loaded: Callable[..., Model]
) -> None:
    (vector,) = ask(loaded("feature-extraction", overflowing, dtype=dtype), "the cat")
    assert np.isfinite(vector).all()


def test_an_input_that_overflows_later_is_an_output_that_is_invalid(tmp_path: Path) -> None:
    model = made(tf.BertModel, bert_config())
    path = save(tmp_path, model, bert_tokenizer())
    spec = ModelSpec(name="tiny", source=str(path), task="feature-extraction", dtype="float16")
    served: Any = open_model(spec)
    served.load(spec, "cpu")
    word = tf.AutoTokenizer.from_pretrained(path).convert_tokens_to_ids("paris")
    served._vectors.encoder.model.embeddings.word_embeddings.weight[word] = float("inf")
    bad, good = ask(served, "paris", "the cat")
    assert isinstance(bad, OutputInvalid)
    assert np.isfinite(good).all()


def test_headers_say_what_most_bytes_are(tmp_path: Path) -> None:
    path = bert(tmp_path, torch.float16, LayerNorm=torch.float32)
    assert find_prevailing_dtype(read_header(path / "model.safetensors").values()) == "F16"


def test_the_page_has_these_rows() -> None:
    rows = re.findall(r"^\| (CPU|GPU|any) \| (`auto`|named) \|", PAGE.read_text("utf-8"), re.M)
    assert len(rows) == 9
