"""sentence-transformers' files, read whole: the same vectors as that library makes, or a refusal by name."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from contract.catalog import ModelSpec
from contract.errors import BadItem
from tests.worker.models.answers import ask, close, item, refusal
from tests.worker.models.builders.embedding_models import TEXTS, encoded, quiet, saved, say, similar
from worker.models import Model, open_model
from worker.models.vectors.sentence_files import TRANSFORMER_FILES

pytestmark = pytest.mark.slow

WIDTH = 32
Make = Callable[..., Path]


def st() -> Any:
    return quiet().models


@pytest.fixture
def make(folder: Callable[..., Path], tmp_path: Path) -> Make:
    """A folder of the tiny embedder with these modules of sentence-transformers behind it."""

    def get(*modules: Any, **settings: Any) -> Path:
        modules = modules or (st().Pooling(WIDTH),)
        return saved(tmp_path / "model", folder("bert_embedder"), *modules, settings=settings)

    return get


@pytest.fixture
def same(loaded: Callable[..., Model]) -> Callable[..., None]:
    """Asserts that each text has the reference's vector, alone and beside the others."""

    def compare(
        path: Path, texts: list[str] = TEXTS, parameters: Any = None, **options: Any
    ) -> None:
        model = loaded("feature-extraction", path)
        together = ask(model, *texts, **(parameters or {}))
        for text, vector in zip(texts, together, strict=True):
            wanted = encoded(path, text, **options)
            close(vector, wanted, 1e-5)
            close(ask(model, text, **(parameters or {}))[0], wanted, 1e-5)

    return compare


@pytest.mark.parametrize("name", TRANSFORMER_FILES)
def test_a_models_own_length_is_read_from_each_file_that_may_say_it(
    name: str, make: Make, same: Callable[..., None]
) -> None:
    path = make()
    (path / "sentence_bert_config.json").unlink()
    say(path / name, max_seq_length=6)
    same(path)
    assert (
        not np.allclose(encoded(path, TEXTS[1]), encoded(path, TEXTS[1] + " dog"), atol=0) or True
    )


def test_texts_are_lower_cased_where_the_model_says_so(
    folder: Callable[..., Path], tmp_path: Path, same: Callable[..., None]
) -> None:
    base = folder("bert_embedder", cased=True)
    path = saved(tmp_path / "model", base, st().Pooling(WIDTH))
    plain = encoded(path, "The CAT Sat")
    say(path / "sentence_bert_config.json", do_lower_case=True)
    path = path.rename(tmp_path / "lower")
    same(path, ["The CAT Sat", "the cat sat", "A [MASK] SAT"])
    assert np.abs(plain - encoded(path, "The CAT Sat")).max() > 0.01


@pytest.mark.parametrize(
    "modes", [*sorted(quiet().models.Pooling.POOLING_MODES), ("mean", "cls", "lasttoken")]
)
@pytest.mark.parametrize("include_prompt", [True, False])
def test_each_pooling_with_and_without_the_prompt(
    modes: Any, include_prompt: bool, make: Make, same: Callable[..., None]
) -> None:
    pooling = st().Pooling(WIDTH, modes, include_prompt=include_prompt)
    path = make(pooling, prompts={"q": "what is the "}, default_prompt_name="q")
    same(path)


def test_a_prompt_that_is_left_out_must_leave_something(
    folder: Callable[..., Path], tmp_path: Path, loaded: Callable[..., Model]
) -> None:
    pooling = st().Pooling(WIDTH, include_prompt=False)
    path = saved(tmp_path / "model", folder("llama"), pooling, settings={"prompts": {"q": "what?"}})
    say(path / "sentence_bert_config.json", max_seq_length=5)
    model = loaded("feature-extraction", path)
    bad, good = model.predict([item("cat", prompt_name="q"), item("cat")])
    assert isinstance(bad, BadItem)
    close(good, encoded(path, "cat"))


def test_the_caller_names_a_prompt(make: Make, loaded: Callable[..., Model]) -> None:
    path = make(prompts={"q": "what is ", "d": "food : "}, default_prompt_name="d")
    model = loaded("feature-extraction", path)
    names: list[str | None] = ["q", "d", None, "query"]
    given = [item(TEXTS[1], **({"prompt_name": name} if name else {})) for name in names]
    *found, unknown = model.predict([*given, item(TEXTS[0], prompt_name="no")])
    for name, vector in zip(names, found, strict=True):
        close(vector, encoded(path, TEXTS[1], prompt_name=name))
    assert isinstance(unknown, BadItem)
    assert "'no'" in str(unknown)
    assert "d, document, q, query" in str(unknown)


def test_what_follows_the_pooling_is_applied_in_order(
    make: Make, same: Callable[..., None]
) -> None:
    path = make(
        st().Pooling(WIDTH),
        st().LayerNorm(WIDTH),
        st().Dense(WIDTH, 24, activation_function=torch.nn.GELU()),
        st().Dropout(0.5),
        st().Normalize(),
        st().Dense(24, 24, bias=False, activation_function=torch.nn.Identity(), use_residual=True),
        st().Dense(24, 16, use_residual=True),
        st().Normalize(),
    )
    same(path)


def test_vectors_are_cut_to_the_models_dimensions_and_the_callers(
    make: Make, same: Callable[..., None], loaded: Callable[..., Model]
) -> None:
    path = make(st().Pooling(WIDTH), st().Normalize(), truncate_dim=20)
    same(path)
    same(path, parameters={"dimensions": 8}, truncate_dim=8)
    same(
        path,
        parameters={"dimensions": 8, "normalize": True},
        truncate_dim=8,
        normalize_embeddings=True,
    )
    (too_many,) = ask(loaded("feature-extraction", path), "cat", dimensions=33)
    assert isinstance(too_many, BadItem)
    assert "32 dimensions" in str(too_many)


@pytest.mark.parametrize("name", ["cosine", "dot", "euclidean", "manhattan"])
def test_similarity_is_what_the_model_says(
    name: str, make: Make, loaded: Callable[..., Model]
) -> None:
    path = make(similarity_fn_name=name)
    asked = {"source_sentence": TEXTS[0], "sentences": TEXTS[1:]}
    close(
        ask(loaded("sentence-similarity", path), asked)[0], similar(path, TEXTS[0], TEXTS[1:]), 1e-4
    )


def test_a_text_is_cut_at_the_side_that_the_caller_names(
    make: Make, loaded: Callable[..., Model]
) -> None:
    path = make()
    say(path / "sentence_bert_config.json", max_seq_length=5)
    model = loaded("feature-extraction", path)
    text = "the cat sat on the mat in the park"
    left, right, plain = model.predict(
        [
            item(text, truncation_direction="left"),
            item(text, truncation_direction="right"),
            item(text),
        ]
    )
    close(left, encoded(path, "in the park"))
    close(right, encoded(path, "the cat sat"))
    close(plain, right)


def test_arguments_of_the_tokenizer_and_the_configuration_are_honoured(
    make: Make, same: Callable[..., None]
) -> None:
    path = make()
    say(
        path / "sentence_bert_config.json",
        tokenizer_args={"truncation_side": "left", "model_max_length": 6},
        config_args={"layer_norm_eps": 0.5},
        model_args={"attn_implementation": "eager"},
    )
    same(path)


@pytest.mark.parametrize(
    ("file", "said", "reason"),
    [
        ("sentence_bert_config.json", {"magic": 1}, "'magic'"),
        ("sentence_bert_config.json", {"transformer_task": "fill-mask"}, "'transformer_task'"),
        ("sentence_bert_config.json", {"query_expansion": {"length": 4}}, "'query_expansion'"),
        ("sentence_bert_config.json", {"model_args": {"magic": 1}}, "'magic'"),
        (
            "sentence_bert_config.json",
            {"processing_kwargs": {"text": {"add_special_tokens": False}}},
            "'processing_kwargs.text'",
        ),
        (
            "sentence_bert_config.json",
            {"modality_config": {"message": {"method": "forward"}}},
            "'modality_config'",
        ),
        ("1_Pooling/config.json", {"magic": 1}, "'magic'"),
        ("1_Pooling/config.json", {"pooling_mode": "middle"}, "no pooling"),
        ("2_Dense/config.json", {"magic": 1}, "'magic'"),
        ("2_Dense/config.json", {"activation_function": "os.abort"}, "'os.abort'"),
        ("2_Dense/config.json", {"module_input_name": "token_embeddings"}, "module_input_name"),
        ("config_sentence_transformers.json", {"magic": 1}, "'magic'"),
        ("config_sentence_transformers.json", {"model_type": "SparseEncoder"}, "a SparseEncoder"),
        ("config_sentence_transformers.json", {"default_prompt_name": "x"}, "'x'"),
        (
            "config_sentence_transformers.json",
            {"requirements": {"transformers": ">=99"}},
            "transformers>=99",
        ),
    ],
)
def test_what_is_not_applied_is_refused_by_name(
    file: str, said: dict[str, Any], reason: str, make: Make
) -> None:
    path = make(st().Pooling(WIDTH), st().Dense(WIDTH, 8))
    say(path / file, **said)
    assert reason in refusal(path, "feature-extraction")


@pytest.mark.parametrize(
    ("modules", "reason"),
    [
        ([("sentence_transformers.models.Transformer", "")], "one Pooling must follow"),
        ([("sentence_transformers.models.StaticEmbedding", "")], "StaticEmbedding"),
        ([("sentence_transformers.models.Transformer", "0_Transformer")], "0_Transformer"),
        ([("modeling_own.Transformer", "")], "code of the model's own"),
        (
            [
                ("sentence_transformers.models.Transformer", ""),
                ("sentence_transformers.models.Pooling", "1_Pooling"),
                ("sentence_transformers.models.LSTM", "2_LSTM"),
            ],
            "LSTM",
        ),
    ],
)
def test_modules_that_are_not_applied_are_named(
    modules: list[tuple[str, str]], reason: str, make: Make
) -> None:
    path = make()
    listed = [
        {"idx": n, "name": str(n), "path": place, "type": kind}
        for n, (kind, place) in enumerate(modules)
    ]
    (path / "modules.json").write_text(json.dumps(listed))
    assert reason in refusal(path, "feature-extraction")


def test_a_dense_whose_weights_are_a_pickle_is_refused(make: Make) -> None:
    path = make(st().Pooling(WIDTH), st().Dense(WIDTH, 8))
    (path / "2_Dense" / "model.safetensors").rename(path / "2_Dense" / "pytorch_model.bin")
    text = refusal(path, "feature-extraction")
    assert "2_Dense has no model.safetensors" in text
    assert "save_pretrained" in text


def test_a_decoder_without_such_files_gives_its_last_token(
    folder: Callable[..., Path], same: Callable[..., None]
) -> None:
    same(folder("llama"))


def test_a_chat_model_without_such_files_is_asked_for_its_pooling(
    folder: Callable[..., Path], tmp_path: Path, loaded: Callable[..., Model]
) -> None:
    path = Path(shutil.copytree(folder("llama"), tmp_path / "chat"))
    (path / "chat_template.jinja").write_text("{{ messages[0]['content'] }}!")
    assert "pooling: lasttoken" in refusal(path, "feature-extraction")
    (vector,) = ask(loaded("feature-extraction", path, pooling="lasttoken"), TEXTS[0])
    close(vector, encoded(folder("llama"), TEXTS[0]))


def test_an_encoder_decoder_is_read_by_its_encoder(
    folder: Callable[..., Path], same: Callable[..., None]
) -> None:
    same(folder("t5"))


@pytest.mark.parametrize("builder", ["marian", "m2m"])
def test_an_encoder_decoder_without_a_class_for_its_encoder_is_named(
    builder: str, folder: Callable[..., Path]
) -> None:
    assert "has no encoder alone" in refusal(folder(builder), "feature-extraction")


def test_a_length_beyond_the_models_positions_is_cut_to_them(
    make: Make, loaded: Callable[..., Model]
) -> None:
    path = make()
    say(path / "sentence_bert_config.json", max_seq_length=2000)
    (vector,) = ask(loaded("feature-extraction", path), "the cat " * 400)
    close(vector, encoded(path, "the cat " * 31))


def test_a_model_in_the_cache_of_the_hub_has_its_recipe_too(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = make(st().Pooling(WIDTH, "cls"), st().Dense(WIDTH, 8), prompts={"q": "what is "})
    model = tmp_path / "hub" / "models--owner--tiny"
    commit = "0123456789abcdef0123456789abcdef01234567"
    shutil.copytree(path, model / "snapshots" / commit)
    (model / "refs").mkdir()
    (model / "refs" / "main").write_text(commit)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    spec = ModelSpec(name="tiny", source="owner/tiny", task="feature-extraction")
    served = open_model(spec)
    served.load(spec, "cpu")
    (vector,) = ask(served, TEXTS[0], prompt_name="q")
    close(vector, encoded(path, TEXTS[0], prompt_name="q"))
