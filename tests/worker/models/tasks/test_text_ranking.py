"""Texts for a query, as sentence-transformers' CrossEncoder scores them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from contract.catalog import ModelSpec
from contract.errors import BadItem, ModelUnloadable
from tests.worker.models.answers import ask, close, item
from tests.worker.models.builders import text_encoders as made
from tests.worker.models.builders.embedding_models import quiet
from worker.models import Model, open_model

pytestmark = pytest.mark.slow

QUERY = "who lives in london ?"
TEXTS = ["the cat sat", "anna lives in london", "a very good movie about food"]


@pytest.fixture(scope="module")
def ranker(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made.family(tmp_path_factory.mktemp("ranker") / "m", "bert", id2label={0: "score"})


def test_texts_are_ranked_as_by_the_makers_library(
    ranker: Path, loaded: Callable[..., Model]
) -> None:
    theirs = quiet().CrossEncoder(str(ranker), device="cpu").rank(QUERY, TEXTS)
    (ours,) = ask(loaded("text-ranking", ranker), {"query": QUERY, "texts": TEXTS})
    close(ours, [{"index": one["corpus_id"], "score": float(one["score"])} for one in theirs])


def test_each_query_has_its_own_parameters(ranker: Path, loaded: Callable[..., Model]) -> None:
    asked = {"query": QUERY, "texts": TEXTS}
    model = loaded("text-ranking", ranker)
    plain, raw, best, told = model.predict(
        [
            item(asked),
            item(asked, raw_scores=True),
            item(asked, top_k=1),
            item(asked, return_documents=True),
        ]
    )
    assert [one["index"] for one in raw] == [one["index"] for one in plain]
    assert raw[0]["score"] != plain[0]["score"]
    close(best, plain[:1])
    assert [one["text"] for one in told] == [TEXTS[one["index"]] for one in plain]


def test_a_text_too_long_fails_its_query_alone_where_it_must_not_be_cut(
    ranker: Path, loaded: Callable[..., Model]
) -> None:
    long = {"query": QUERY, "texts": [*TEXTS, "the cat " * 50]}
    model = loaded("text-ranking", ranker)
    cut, refused, short = model.predict(
        [
            item(long),
            item(long, truncate=False),
            item({"query": QUERY, "texts": TEXTS}, truncate=False),
        ]
    )
    assert len(cut) == 4
    assert isinstance(refused, BadItem)
    assert len(short) == 3


def test_a_model_of_several_labels_is_refused_with_the_task_that_it_is_for(tmp_path: Path) -> None:
    spec = ModelSpec(
        name="tiny", source=str(made.family(tmp_path / "m", "bert")), task="text-ranking"
    )
    model: Any = open_model(spec)
    with pytest.raises(ModelUnloadable, match=r"3 labels.*text-classification"):
        model.load(spec, "cpu")
