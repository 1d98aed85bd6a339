"""Embedding models as sentence-transformers saves them, and what that library answers for one text alone."""

import json
import warnings
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import torch

TEXTS = ["the cat", "a very good movie about food , the dog sat on the mat", "anna ran in park ."]


def saved(folder: Path, base: Path, *modules: Any, settings: dict[str, Any] | None = None) -> Path:
    """`base` with these modules behind its Transformer; `settings` are added to its settings file."""
    library = quiet()
    torch.manual_seed(7)
    library.SentenceTransformer(
        modules=[library.models.Transformer(str(base)), *modules], device="cpu"
    ).save_pretrained(str(folder), create_model_card=False)
    if settings:
        say(folder / "config_sentence_transformers.json", **settings)
    return folder


def say(file: Path, **more: Any) -> None:
    """Add keys to a JSON file; None takes one out."""
    said = {**(json.loads(file.read_text()) if file.exists() else {}), **more}
    said = {key: value for key, value in said.items() if value is not None}
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(said))


@cache
def quiet() -> Any:
    """sentence-transformers, which warns at import and of its own old names."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import sentence_transformers
        import sentence_transformers.models
    return sentence_transformers


def encoded(folder: Path, text: str, *, side: str | None = None, **options: Any) -> Any:
    """The vector that sentence-transformers makes of one text alone; `side`: where it is cut."""
    model = _model(folder)
    own = model.tokenizer.truncation_side
    model.tokenizer.truncation_side = side or own
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return model.encode([text], show_progress_bar=False, **options)[0]
    finally:
        model.tokenizer.truncation_side = own


@cache
def _model(folder: Path) -> Any:
    return quiet().SentenceTransformer(str(folder), device="cpu", local_files_only=True)


def similar(folder: Path, source: str, sentences: Sequence[str], prompt: str | None = None) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = _model(folder)
        one, *others = (
            model.encode([text], prompt_name=prompt)[0] for text in (source, *sentences)
        )
        return [float(model.similarity(one, other)[0, 0]) for other in others]
