"""A tokenizer that says more than its model can look up."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers as tf

from contract.catalog import ModelSpec
from contract.errors import BadItem, ModelUnloadable
from tests.worker.models.answers import ask, close, item
from tests.worker.models.builders import text_encoders as made
from tests.worker.models.builders.task_models import BERT, byte_tokenizer, labels, save
from tests.worker.models.builders.task_models import made as seeded
from worker.models import Model, open_model

pytestmark = pytest.mark.slow


def opened(folder: Path, task: str = "text-classification", **options: Any) -> Model:
    spec = ModelSpec(name="tiny", source=str(folder), task=task, **options)
    model = open_model(spec)
    model.load(spec, "cpu")
    return model


def refusal(folder: Path, task: str = "text-classification") -> str:
    with pytest.raises(ModelUnloadable) as caught:
        opened(folder, task)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def grown(folder: Path, **added: Any) -> Path:
    """A model whose tokenizer got tokens after it was trained."""
    made.family(folder, "bert")
    tokenizer = made.words("bert")
    tokenizer.add_tokens(added["words"]) if "words" in added else None
    tokenizer.add_special_tokens(added["special"]) if "special" in added else None
    tokenizer.save_pretrained(folder)
    return folder


def test_words_beyond_the_embeddings_are_refused_by_name(tmp_path: Path) -> None:
    sentence = refusal(grown(tmp_path / "m", words=["violin"]))
    assert "'violin'" in sentence
    assert "resize_token_embeddings" in sentence


def test_padding_beyond_the_embeddings_is_not_used_and_a_text_that_names_it_fails_alone(
    tmp_path: Path,
) -> None:
    model = opened(grown(tmp_path / "m", special={"pad_token": "[PAD]"}))
    short, long, named = ask(model, "the cat", "a very good movie about food", "the [PAD] cat")
    close(short, ask(model, "the cat")[0])
    close(long, ask(model, "a very good movie about food")[0])
    assert isinstance(named, BadItem)
    assert "'[PAD]'" in str(named)


def test_more_segments_than_the_model_knows_are_refused_with_the_way_out(tmp_path: Path) -> None:
    folder = made.family(
        tmp_path / "m", "bert", "ForQuestionAnswering", type_vocab_size=1, num_labels=2
    )
    assert "`model_input_names`" in refusal(folder, "question-answering")


def test_a_model_of_one_segment_answers_texts_that_are_no_pairs(tmp_path: Path) -> None:
    folder = made.family(tmp_path / "m", "bert", type_vocab_size=1)
    assert len(ask(opened(folder), "the cat")[0]) == 3


def test_a_model_that_computes_nan_for_every_text_is_refused(tmp_path: Path) -> None:
    folder = made.family(tmp_path / "m", "bert")
    import transformers as tf

    model = tf.BertForSequenceClassification.from_pretrained(folder)
    with torch.no_grad():
        model.classifier.weight.fill_(float("nan"))
    model.save_pretrained(folder)
    assert "it cannot answer a short text: OutputInvalid" in refusal(folder)


def test_a_model_that_fails_on_its_longest_text_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = made.family(tmp_path / "m", "gpt2")
    monkeypatch.setattr(
        "worker.models.texts.encoder.find_longest_input", lambda tokenizer, model: 65
    )
    sentence = refusal(folder)
    assert "it cannot answer a text of 65 tokens: IndexError" in sentence


def test_a_model_that_answers_differently_each_time_is_refused(tmp_path: Path) -> None:
    options = {"hash_seed": None, "num_hidden_layers": None}
    folder = made.family(tmp_path / "m", "reformer", **options)
    assert "hash_seed" in refusal(folder)


def test_the_padding_that_is_named_is_what_the_folder_of_the_table_says(
    folder: Callable[..., Path], loaded: Callable[..., Model]
) -> None:
    texts = ["the cat", "a very good movie about food , the dog sat on the mat"]
    model = loaded("text-classification", folder("gpt_classifier"))
    close(ask(model, *texts), [ask(model, text)[0] for text in texts])


def test_a_model_without_a_limit_is_proven_with_a_text_that_a_cpu_reads(tmp_path: Path) -> None:
    made.family(tmp_path / "model", "xlnet", read={"model_max_length": 10**30})
    model = opened(tmp_path / "model")
    encoder = model._encoder  # type: ignore[attr-defined]
    assert encoder.max_length > encoder.proven
    (longest,) = encoder.tokenize([encoder.samples[-1]])
    assert encoder.proven <= len(longest) < encoder.max_length / 4


@pytest.mark.parametrize("written_in", ["rust", "python"])
def test_a_label_that_leaves_the_text_no_room_fails_alone(written_in: str, tmp_path: Path) -> None:
    names = labels("contradiction", "neutral", "entailment")
    tokenizer: Any = tf.ByT5Tokenizer(extra_ids=0, model_max_length=64)
    if written_in == "rust":
        tokenizer = byte_tokenizer(tf.GPT2Tokenizer, "<|endoftext|>", model_max_length=64)
    sizes = {"max_position_embeddings": 64, **BERT}
    config = tf.BertConfig(vocab_size=len(tokenizer), **sizes, **names)
    folder = save(tmp_path / "m", seeded(tf.BertForSequenceClassification, config), tokenizer)
    model = opened(folder, "zero-shot-classification")
    good = item("hi", "good", candidate_labels=["good", "bad"])
    (alone,) = model.predict([good])
    long = item("hi", "long", candidate_labels=["z" * 100, "bad"])
    for batch in ([long], [good, long, good]):
        found = model.predict(batch)
        failed = found.pop(batch.index(long))
        assert isinstance(failed, BadItem)
        assert "leaves it no room in 64 tokens" in str(failed)
        for one in found:
            close(one, alone)
