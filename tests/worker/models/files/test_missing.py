"""Weights that a checkpoint lacks: loaded where no answer depends on them, refused where one does."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers as tf
from safetensors.torch import load_file, save_file

from contract.catalog import ModelSpec
from contract.errors import ModelUnloadable
from tests.worker.models.builders.task_models import (
    BERT,
    bert_config,
    bert_tokenizer,
    labels,
    made,
    save,
)
from worker.models.files.checkpoint import Checkpoint
from worker.models.files.missing import make_input

pytestmark = pytest.mark.slow

SPEECH: dict[str, Any] = {
    "vocab_size": 8,
    "conv_dim": (8, 8),
    "conv_kernel": (10, 4),
    "conv_stride": (160, 2),
    "num_conv_pos_embeddings": 16,
    "num_conv_pos_embedding_groups": 2,
    "num_feat_extract_layers": 2,
    "pad_token_id": 0,
    **BERT,
}
IMAGE: dict[str, Any] = {"image_size": 32, "patch_size": 8, **BERT, **labels("a", "b")}
SWIN: dict[str, Any] = {"image_size": 32, "patch_size": 4, "embed_dim": 16, "depths": [1, 1]}
SWIN |= {"num_heads": [2, 2], "window_size": 4, **labels("a", "b")}
RESNET: dict[str, Any] = {"embedding_size": 8, "hidden_sizes": [8, 16], "depths": [1, 1]}
RESNET |= labels("a", "b")
XLNET = {"vocab_size": 40, "d_model": 32, "n_layer": 2, "n_head": 2, "d_inner": 37}
LLAMA: dict[str, Any] = {"vocab_size": 64, "pad_token_id": 0, **BERT}
CTC, HEADLESS, CLASSES = "AutoModelForCTC", "AutoModel", "AutoModelForImageClassification"


def built(model: str, config: str, options: dict[str, Any], folder: Path) -> Path:
    kind, sizes = getattr(tf, model), getattr(tf, config)(**options)
    return save(folder, made(kind, sizes), bert_tokenizer())


def drop(folder: Path, pattern: str) -> list[str]:
    """Take the weights of these names out of the folder."""
    file = folder / "model.safetensors"
    weights = load_file(file)
    lost = [name for name in weights if re.search(pattern, name)]
    assert lost
    save_file(
        {name: t.clone() for name, t in weights.items() if name not in lost}, file, {"format": "pt"}
    )
    return lost


def load(folder: Path, kind: str) -> Any:
    spec = ModelSpec(name="tiny", source=str(folder), task="text-classification")
    spec = spec.model_copy(
        update={"task": None}
    )  # the class decides here, not what a task asks for
    return Checkpoint(spec).load_model(kind, "cpu")


UNREAD = [
    ("Wav2Vec2ForCTC", "Wav2Vec2Config", SPEECH, CTC, "masked_spec_embed"),
    ("HubertForCTC", "HubertConfig", SPEECH, CTC, "masked_spec_embed"),
    ("WavLMForCTC", "WavLMConfig", SPEECH, CTC, "masked_spec_embed"),
    ("UniSpeechForCTC", "UniSpeechConfig", SPEECH, CTC, "masked_spec_embed"),
    ("UniSpeechSatForCTC", "UniSpeechSatConfig", SPEECH, CTC, "masked_spec_embed"),
    ("SEWForCTC", "SEWConfig", SPEECH | {"squeeze_factor": 1}, CTC, "masked_spec_embed"),
    ("BertModel", "BertConfig", bert_config().to_dict(), HEADLESS, "pooler"),
    ("RobertaModel", "RobertaConfig", {"vocab_size": 60, **BERT}, HEADLESS, "pooler"),
    ("MPNetModel", "MPNetConfig", {"vocab_size": 60, **BERT}, HEADLESS, "pooler"),
    ("ViTModel", "ViTConfig", IMAGE, HEADLESS, "pooler"),
    ("XLNetModel", "XLNetConfig", XLNET, HEADLESS, "mask_emb"),
    ("Dinov2ForImageClassification", "Dinov2Config", IMAGE, CLASSES, "mask_token"),
    ("ResNetForImageClassification", "ResNetConfig", RESNET, CLASSES, "num_batches_tracked"),
]


@pytest.mark.parametrize(("model", "config", "options", "kind", "pattern"), UNREAD)
def test_what_no_answer_depends_on_may_lack(
    model: str, config: str, options: dict[str, Any], kind: str, pattern: str, tmp_path: Path
) -> None:
    folder = built(model, config, options, tmp_path)
    whole = load(folder, kind)
    drop(folder, pattern)
    without = load(folder, kind)
    kept = whole.state_dict()
    for name, weights in without.state_dict().items():
        if not re.search(pattern, name) or not weights.is_floating_point():
            assert torch.equal(weights, kept[name]), name


READ = [
    ("Wav2Vec2ForCTC", "Wav2Vec2Config", SPEECH, CTC, r"lm_head"),
    ("Wav2Vec2ForCTC", "Wav2Vec2Config", SPEECH, CTC, r"pos_conv_embed.*bias"),
    ("BertModel", "BertConfig", bert_config().to_dict(), HEADLESS, r"layer\.1\..*query\.weight"),
    ("BertModel", "BertConfig", bert_config().to_dict(), HEADLESS, r"token_type_embeddings"),
    ("RobertaModel", "RobertaConfig", {"vocab_size": 60, **BERT}, HEADLESS, "position_embeddings"),
    ("ResNetForImageClassification", "ResNetConfig", RESNET, CLASSES, r"1\..*running_mean"),
    ("ResNetForImageClassification", "ResNetConfig", RESNET, CLASSES, r"running_var"),
    ("SwinForImageClassification", "SwinConfig", SWIN, CLASSES, "relative_position_bias_table"),
    ("Dinov2ForImageClassification", "Dinov2Config", IMAGE, CLASSES, "cls_token"),
    ("LlamaForCausalLM", "LlamaConfig", LLAMA, "AutoModelForCausalLM", "lm_head"),
    ("LlamaForCausalLM", "LlamaConfig", LLAMA, "AutoModelForCausalLM", r"layers\.0\.mlp"),
]


@pytest.mark.parametrize(("model", "config", "options", "kind", "pattern"), READ)
def test_what_an_answer_depends_on_is_not_made_up(
    model: str, config: str, options: dict[str, Any], kind: str, pattern: str, tmp_path: Path
) -> None:
    folder = built(model, config, options, tmp_path)
    drop(folder, pattern)
    with pytest.raises(ModelUnloadable) as caught:
        load(folder, kind)
    assert "no weights for" in str(caught.value)
    assert re.search(pattern, str(caught.value))


def test_only_what_matters_is_named(folder: Callable[..., Path], tmp_path: Path) -> None:
    target = save(tmp_path, made(tf.BertModel, bert_config()), bert_tokenizer())
    drop(target, r"pooler|layer\.1\.output\.dense\.bias")
    with pytest.raises(ModelUnloadable) as caught:
        load(target, HEADLESS)
    assert "no weights for encoder.layer.1.output.dense.bias, so" in str(caught.value)


def test_what_lacks_is_nan_so_that_nothing_can_be_made_of_it(tmp_path: Path) -> None:
    folder = built("BertModel", "BertConfig", bert_config().to_dict(), tmp_path)
    drop(folder, "pooler")
    model = load(folder, HEADLESS)
    assert model.pooler.dense.weight.isnan().all()


def test_every_head_of_a_model_without_one_is_refused(
    folder: Callable[..., Path],
) -> None:
    heads = ["SequenceClassification", "TokenClassification", "QuestionAnswering", "MaskedLM"]
    for head in heads:
        with pytest.raises(ModelUnloadable, match="no weights for"):
            load(folder("bert_embedder"), f"AutoModelFor{head}")


@pytest.mark.parametrize(
    ("builder", "kind"),
    [
        ("bert_classifier", "AutoModelForSequenceClassification"),
        ("gpt_classifier", "AutoModelForSequenceClassification"),
        ("gpt", "AutoModelForCausalLM"),
        ("llama", "AutoModelForCausalLM"),
        ("t5", "AutoModelForSeq2SeqLM"),
        ("marian", "AutoModelForSeq2SeqLM"),
        ("m2m", "AutoModelForSeq2SeqLM"),
        ("vit", "AutoModelForImageClassification"),
        ("yolos", "AutoModelForObjectDetection"),
        ("detr", "AutoModelForObjectDetection"),
        ("wav2vec2", "AutoModelForCTC"),
        ("whisper", "AutoModelForSpeechSeq2Seq"),
    ],
)
def test_a_pass_can_be_made_up_for_each_kind_of_model(
    builder: str, kind: str, folder: Callable[..., Path]
) -> None:
    model = load(folder(builder), kind)
    with torch.inference_mode():
        model(**make_input(model))


CLIP = dict.fromkeys(("text_config", "vision_config"), BERT)


@pytest.mark.parametrize(
    ("model", "config", "options"),
    [
        ("CLIPModel", "CLIPConfig", CLIP),
        ("SiglipModel", "SiglipConfig", CLIP),
        ("ViltForQuestionAnswering", "ViltConfig", {**BERT, "image_size": 64}),
        ("Wav2Vec2BertForCTC", "Wav2Vec2BertConfig", {"vocab_size": 9, **BERT}),
        ("ASTForAudioClassification", "ASTConfig", {**BERT, "max_length": 100, "num_mel_bins": 32}),
        ("Speech2TextForConditionalGeneration", "Speech2TextConfig", {"d_model": 32}),
    ],
)
def test_and_for_models_that_read_more_than_one_thing(
    model: str, config: str, options: dict[str, Any]
) -> None:
    made_up = getattr(tf, model)(getattr(tf, config)(**options)).eval()
    with torch.inference_mode():
        made_up(**make_input(made_up))
