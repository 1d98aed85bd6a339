"""What a cross-encoder's files say of its scores, as sentence-transformers reads them."""

import json
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from contract.catalog import ModelSpec
from contract.errors import ModelUnloadable
from tests.worker.models.answers import ask
from tests.worker.models.builders.embedding_models import quiet, say
from worker.models import open_model
from worker.models.vectors.cross_encoder import CrossEncoderCheckpoint

pytestmark = pytest.mark.slow

PAIR = ("what is the capital of france ?", "paris is the capital")


def read(folder: Path) -> CrossEncoderCheckpoint:
    return CrossEncoderCheckpoint(
        ModelSpec(name="tiny", source=str(folder), task="text-classification")
    )


def scored(folder: Path) -> Any:
    """The score of the pair by sentence-transformers."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return quiet().CrossEncoder(str(folder), device="cpu").predict([PAIR])[0]


def by_hand(folder: Path) -> Any:
    """The score of the pair by what was read."""
    checkpoint = read(folder)
    tokenizer = checkpoint.load_tokenizer()
    model = checkpoint.load_model("AutoModelForSequenceClassification", "cpu")
    first = checkpoint.recipe.prompt + PAIR[0]
    encoding = tokenizer(first, PAIR[1], truncation="longest_first", return_tensors="pt")
    with torch.inference_mode():
        scores = checkpoint.activation(model(**encoding).logits[0])
    return scores[0].item() if len(scores) == 1 else scores.numpy()


@pytest.fixture
def ranker(folder: Callable[..., Path], tmp_path: Path) -> Path:
    """As transformers saves it."""
    return Path(shutil.copytree(folder("bert_classifier", id2label={0: "x"}), tmp_path / "plain"))


@pytest.fixture
def saved(ranker: Path, tmp_path: Path) -> Path:
    """As sentence-transformers saves it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = quiet().CrossEncoder(str(ranker), device="cpu", activation_fn=torch.nn.Tanh())
        model.save_pretrained(str(tmp_path / "saved"), create_model_card=False)
    return tmp_path / "saved"


def test_without_files_of_its_own_one_label_has_a_sigmoid(ranker: Path) -> None:
    assert by_hand(ranker) == pytest.approx(scored(ranker), abs=1e-5)
    assert isinstance(read(ranker).activation, torch.nn.Sigmoid)


def test_several_labels_have_none(folder: Callable[..., Path]) -> None:
    assert by_hand(folder("bert_classifier")) == pytest.approx(
        scored(folder("bert_classifier")), abs=1e-5
    )


@pytest.mark.parametrize(
    "said",
    [
        {"sentence_transformers": {"activation_fn": "torch.nn.modules.linear.Identity"}},
        {"sbert_ce_default_activation_function": "torch.nn.modules.activation.Tanh"},
    ],
)
def test_the_configurations_activation_is_read(said: dict[str, Any], ranker: Path) -> None:
    say(ranker / "config.json", **said)
    assert by_hand(ranker) == pytest.approx(scored(ranker), abs=1e-5)


def test_what_sentence_transformers_saves_is_read(saved: Path) -> None:
    say(saved / "sentence_bert_config.json", max_seq_length=9)
    settings = {"prompts": {"q": "who is "}, "default_prompt_name": "q"}
    say(saved / "config_sentence_transformers.json", **settings)
    assert by_hand(saved) == pytest.approx(scored(saved), abs=1e-5)
    assert isinstance(read(saved).activation, torch.nn.Tanh)


@pytest.mark.parametrize(
    ("file", "said", "reason"),
    [
        ("config_sentence_transformers.json", {"magic": 1}, "'magic'"),
        ("config_sentence_transformers.json", {"activation_fn": "own.Best"}, "'own.Best'"),
        ("config_sentence_transformers.json", {"model_type": "SparseEncoder"}, "a SparseEncoder"),
        ("sentence_bert_config.json", {"transformer_task": "text-generation"}, "transformer_task"),
    ],
)
def test_what_is_not_applied_is_refused_by_name(
    file: str, said: dict[str, Any], reason: str, saved: Path
) -> None:
    say(saved / file, **said)
    with pytest.raises(ModelUnloadable) as caught:
        read(saved)
    assert reason in str(caught.value)


def test_a_ranker_scores_as_its_files_say(saved: Path) -> None:
    say(saved / "sentence_bert_config.json", max_seq_length=9, do_lower_case=True)
    settings = {"prompts": {"q": "who is "}, "default_prompt_name": "q"}
    say(saved / "config_sentence_transformers.json", **settings)
    spec = ModelSpec(name="tiny", source=str(saved), task="text-ranking")
    model = open_model(spec)
    model.load(spec, "cpu")
    (answer,) = ask(model, {"query": PAIR[0], "texts": [PAIR[1]]})
    assert answer[0]["score"] == pytest.approx(scored(saved), abs=1e-5)


def test_other_modules_are_named(saved: Path) -> None:
    modules = json.loads((saved / "modules.json").read_text())
    kind = "sentence_transformers.cross_encoder.modules.logit_score.LogitScore"
    modules.append({"idx": 1, "name": "1", "path": "1_LogitScore", "type": kind})
    (saved / "modules.json").write_text(json.dumps(modules))
    with pytest.raises(ModelUnloadable, match="LogitScore"):
        read(saved)
