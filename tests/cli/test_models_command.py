"""`soloist models`: what is served is listed, and a catalog file is checked."""

from pathlib import Path

import pytest
from fake_gateway import MODELS, FakeGateway


def test_models_lists_what_is_served(gateway: FakeGateway, soloist) -> None:
    gateway.respond = lambda request: (200, MODELS, {})
    shown = soloist("models").out
    assert "local/minilm" in shown
    assert "vectors [384]" in shown
    assert [row["model"] for row in soloist("models", "--json").lines[0]] == [
        "local/minilm",
        "acme/idle",
    ]


def test_a_good_catalog_is_listed(soloist) -> None:
    Path("mine.yaml").write_text(
        "models:\n  a:\n    source: acme/bert\n    task: fill-mask\n  b:\n    python: m:C\n"
    )
    (rows,) = soloist("models", "--catalog", "mine.yaml", "--json").lines
    assert [(row["model"], row["what"]) for row in rows] == [
        ("local/a", "fill-mask"),
        ("local/b", "m:C"),
    ]


@pytest.mark.parametrize(
    ("entry", "sentence"),
    [
        ("{task: fill-mask}", "models.a: give `source` and `task`"),
        ("{source: x/y, task: dreaming}", "models.a.task"),
        ("{source: ./nowhere, task: fill-mask}", "nowhere does not exist"),
        ("{source: 'package:no_such_package/m', task: fill-mask}", "is not installed"),
    ],
)
def test_a_wrong_catalog_is_one_sentence_that_names_the_entry(soloist, entry, sentence) -> None:
    Path("mine.yaml").write_text(f"models:\n  a: {entry}\n")
    result = soloist("models", "--catalog", "mine.yaml")
    assert result.code == 78
    assert sentence in result.err
    assert result.err.count("\n") == 1
