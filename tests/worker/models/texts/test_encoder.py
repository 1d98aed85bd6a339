"""How an encoder cuts a batch into passes."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.worker.models.answers import ask, close
from worker.models import Model

pytestmark = pytest.mark.slow


TEXTS = ["the cat", "a very good movie about food , the dog sat on the mat", "anna ran in park ."]


@pytest.fixture
def classifier(folder: Callable[..., Path], loaded: Callable[..., Model]) -> tuple[Path, Model]:
    path = folder("bert_classifier")
    return path, loaded("text-classification", path)


def test_small_passes_answer_as_one_large_one(
    folder: Callable[..., Path], loaded: Callable[..., Model]
) -> None:
    path, texts = folder("bert_classifier"), TEXTS * 5
    whole = ask(loaded("text-classification", path), *texts)
    close(ask(loaded("text-classification", path, max_batch_size=2), *texts), whole)
    close(ask(loaded("text-classification", path, max_batch_tokens=40), *texts), whole)


def test_no_pass_holds_more_tokens_than_the_catalog_allows(
    folder: Callable[..., Path], loaded: Callable[..., Model], monkeypatch: pytest.MonkeyPatch
) -> None:
    model: Any = loaded("text-classification", folder("bert_classifier"), max_batch_tokens=41)
    seen, forward = [], model._encoder.forward

    def spy(encodings: list[Any]) -> Any:
        output, mask = forward(encodings)
        seen.append(mask.numel())
        return output, mask

    monkeypatch.setattr(model._encoder, "forward", spy)
    ask(model, *TEXTS * 7)
    assert len(seen) > 1
    assert max(seen) <= 41


def test_more_rows_than_are_tokenised_at_once_keep_their_order(
    classifier: tuple[Path, Model], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = ask(classifier[1], *TEXTS * 3)
    monkeypatch.setattr("worker.models.texts.encoder.WINDOW", 4)
    close(ask(classifier[1], *TEXTS * 3), whole)
