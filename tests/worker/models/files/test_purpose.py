"""Folders made for another task: refused by what they say, before anything else of them is read."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import transformers as tf

from tests.worker.models.answers import ask, refusal
from tests.worker.models.builders.embedding_models import say
from tests.worker.models.builders.image_text_models import git, vilt
from tests.worker.models.builders.pixel_and_label_models import clip
from tests.worker.models.builders.task_models import (
    BERT,
    bert_config,
    bert_tokenizer,
    labels,
    made,
    save,
)
from worker.models import Model
from worker.models.files import purpose

pytestmark = pytest.mark.slow

SMALL: dict[str, Any] = {"vocab_size": 64, "pad_token_id": 0, **labels("a", "b"), **BERT}
DISTIL = {"vocab_size": 64, "dim": 32, "n_layers": 2, "n_heads": 2, "hidden_dim": 37}
DISTIL |= labels("a", "b")
MODERN = {**SMALL, "eos_token_id": 1, "bos_token_id": 1, "cls_token_id": 1, "sep_token_id": 1}
QWEN = {**SMALL, "num_key_value_heads": 2, "head_dim": 16}
TEXTS, TOKENS = "text-classification", "token-classification"


@pytest.mark.parametrize(
    ("model", "config", "options", "task"),
    [
        ("BertForSequenceClassification", "BertConfig", SMALL, TOKENS),
        ("BertForTokenClassification", "BertConfig", SMALL, TEXTS),
        ("BertForMultipleChoice", "BertConfig", SMALL, TEXTS),
        ("DistilBertForSequenceClassification", "DistilBertConfig", DISTIL, TOKENS),
        ("DebertaV2ForSequenceClassification", "DebertaV2Config", SMALL, TOKENS),
        ("ModernBertForSequenceClassification", "ModernBertConfig", MODERN, TOKENS),
        ("ModernBertForTokenClassification", "ModernBertConfig", MODERN, TEXTS),
        ("LlamaForTokenClassification", "LlamaConfig", SMALL, TEXTS),
        ("Qwen3ForTokenClassification", "Qwen3Config", QWEN, TEXTS),
        ("Qwen3ForSequenceClassification", "Qwen3Config", QWEN, "text-generation"),
        ("BertForMaskedLM", "BertConfig", SMALL, "text-generation"),
        ("BertLMHeadModel", "BertConfig", SMALL | {"is_decoder": True}, "fill-mask"),
    ],
)
def test_a_head_whose_name_fits_another_task_is_not_taken_for_its_own(
    model: str, config: str, options: dict[str, Any], task: str, tmp_path: Path
) -> None:
    built = made(getattr(tf, model), getattr(tf, config)(**options))
    text = refusal(save(tmp_path, built, bert_tokenizer()), task)
    assert f"it was saved as {model}" in text
    assert f"take a model trained for {task}, or another `task`" in text


def test_the_task_that_it_does_is_named(folder: Callable[..., Path]) -> None:
    text = refusal(folder("bert_classifier"), TOKENS)
    assert "BertForSequenceClassification, which does `text-classification`" in text


@pytest.mark.parametrize(
    "architectures",
    [
        None,
        [],
        ["OwnBert"],
        ["TFBertForTokenClassification"],
        ["BertModel"],
        ["BertForMaskedLM"],
        ["BertForTokenClassification", "BertForSequenceClassification"],
    ],
)
def test_where_the_class_leaves_doubt_the_weights_decide(
    architectures: list[str] | None,
    folder: Callable[..., Path],
    loaded: Callable[..., Model],
    tmp_path: Path,
) -> None:
    copy = Path(shutil.copytree(folder("bert_classifier"), tmp_path / "copy"))
    say(copy / "config.json", architectures=architectures)
    wanted = ask(loaded(TEXTS, folder("bert_classifier")), "the cat")
    assert ask(loaded(TEXTS, copy), "the cat") == wanted


@pytest.mark.parametrize(
    ("config", "saved", "task"),
    [
        ("BertConfig", "BertForPreTraining", "fill-mask"),
        ("BertConfig", "BertForSequenceClassification", "feature-extraction"),
        ("BertConfig", "BertForSequenceClassification", "zero-shot-classification"),
        ("BertConfig", "BertForSequenceClassification", "text-ranking"),
        ("BertConfig", "BertLMHeadModel", "text-generation"),
        ("GPT2Config", "GPT2LMHeadModel", "text-generation"),
        ("XLNetConfig", "XLNetLMHeadModel", "text-generation"),
        ("BartConfig", "BartForConditionalGeneration", "text-generation"),
        ("BartConfig", "BartForConditionalGeneration", "fill-mask"),
        ("T5Config", "T5ForConditionalGeneration", "feature-extraction"),
        ("EncoderDecoderConfig", "EncoderDecoderModel", "summarization"),
        ("WhisperConfig", "WhisperForConditionalGeneration", "automatic-speech-recognition"),
        ("Wav2Vec2Config", "Wav2Vec2ForCTC", "automatic-speech-recognition"),
        ("Wav2Vec2Config", "Wav2Vec2ForSequenceClassification", "audio-classification"),
        (
            "SpeechEncoderDecoderConfig",
            "SpeechEncoderDecoderModel",
            "automatic-speech-recognition",
        ),
        ("DeiTConfig", "DeiTForImageClassificationWithTeacher", "image-classification"),
        ("ViTConfig", "ViTForImageClassification", "image-feature-extraction"),
        ("ImageGPTConfig", "ImageGPTForImageClassification", "image-classification"),
        ("ImageGPTConfig", "ImageGPTModel", "image-feature-extraction"),
        ("CLIPConfig", "CLIPModel", "image-feature-extraction"),
        ("CLIPConfig", "CLIPModel", "zero-shot-image-classification"),
        ("CLIPTextConfig", "CLIPTextModel", "feature-extraction"),
        ("BlipConfig", "BlipForConditionalGeneration", "image-to-text"),
        ("ViltConfig", "ViltForQuestionAnswering", "visual-question-answering"),
        ("Qwen2VLConfig", "Qwen2VLForConditionalGeneration", "feature-extraction"),
    ],
)
def test_a_model_that_does_the_task_is_not_objected_to(config: str, saved: str, task: str) -> None:
    said = getattr(tf, config).__new__(getattr(tf, config))  # its type and its class decide
    object.__setattr__(said, "architectures", [saved])
    object.__setattr__(said, "is_decoder", False)
    assert purpose.find_objection(said, task) is None


SOUND, IMAGE = "it reads sounds", "it reads images"


@pytest.mark.parametrize(
    ("builder", "task", "reasons"),
    [
        ("bert_classifier", "audio-classification", ["it reads texts"]),
        ("gpt", "automatic-speech-recognition", ["it reads texts", "`text-generation`"]),
        ("vit", "audio-classification", [IMAGE, "`image-classification`"]),
        ("clip", "audio-classification", ["it reads images and texts"]),
        ("wav2vec2", "image-classification", [SOUND, "`automatic-speech-recognition`"]),
        ("whisper", "object-detection", [SOUND, "`automatic-speech-recognition`"]),
        ("whisper", "image-feature-extraction", [SOUND]),
        ("wav2vec2", "feature-extraction", [SOUND]),
        ("vit", "sentence-similarity", [IMAGE]),
        ("clip", "feature-extraction", ["`zero-shot-image-classification`"]),
        ("clip", "sentence-similarity", ["images and texts"]),
        ("bert_embedder", "image-feature-extraction", ["it reads texts", "`feature-extraction`"]),
    ],
)
def test_a_model_that_reads_something_else_is_refused_before_its_processor(
    builder: str, task: str, reasons: list[str], folder: Callable[..., Path], tmp_path: Path
) -> None:
    source = clip(tmp_path / "clip") if builder == "clip" else folder(builder)
    copy = tmp_path / "copy"
    copy.mkdir()
    for name in ("config.json", "model.safetensors"):
        shutil.copy(source / name, copy)
    text = refusal(copy, task)
    assert f"model cannot do {task}: " in text
    assert all(reason in text for reason in reasons), text
    assert f"take a model trained for {task}, or another `task`" in text
    assert len(text) < 400


@pytest.mark.parametrize("build", [git, vilt])
def test_a_model_that_asks_for_a_text_beside_the_image_is_refused(
    build: Callable[[Path], Path], tmp_path: Path
) -> None:
    text = refusal(build(tmp_path / "model"), "image-feature-extraction")
    assert "it cannot read an image alone" in text
    assert "take a model that does" in text


def test_a_whole_classifier_of_another_depth_is_not_said_to_be_untrained(tmp_path: Path) -> None:
    built = made(tf.BertForSequenceClassification, bert_config(**labels("a", "b")))
    save(tmp_path, built, bert_tokenizer())
    say(tmp_path / "config.json", num_hidden_layers=3)
    text = refusal(tmp_path)
    assert "no weights for bert.encoder.layer.2." in text
    assert "not what its config.json promises" in text
    assert "trained" not in text
