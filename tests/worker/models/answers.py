"""Asking models in tests, and comparing what they answer."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from contract.catalog import ModelSpec
from contract.errors import ModelUnloadable
from worker.models import Item, Model, open_model


def ask(model: Model, *inputs: Any, **parameters: Any) -> list[Any]:
    """One prediction for each of `inputs`, all in one batch, with the same parameters."""
    return model.predict([item(given, f"id{n}", **parameters) for n, given in enumerate(inputs)])


def item(given: Any, name: str = "id", **parameters: Any) -> Item:
    return Item(name, {"inputs": given, **({"parameters": parameters} if parameters else {})})


def copied(folder: Path, target: Path) -> Path:
    """A copy of a model's folder that a test may change."""
    return Path(shutil.copytree(folder, target / "model"))


def close(found: Any, wanted: Any, tolerance: float = 1e-5) -> None:
    """The same structure, words and whole numbers; scores and vectors up to rounding."""
    if isinstance(wanted, dict):
        assert found.keys() == wanted.keys()
        for name, value in wanted.items():
            close(found[name], value, tolerance)
    elif isinstance(wanted, (list, tuple)) and not isinstance(found, np.ndarray):
        assert len(found) == len(wanted)
        for one, other in zip(found, wanted, strict=True):
            close(one, other, tolerance)
    elif isinstance(wanted, (float, np.ndarray, list)):
        np.testing.assert_allclose(found, wanted, rtol=0, atol=tolerance)
    else:
        assert found == wanted, pytest.fail(f"{found!r} is not {wanted!r}")


def computed(folder: Path, auto: Any, *texts: Any) -> tuple[Any, Any]:
    """What plain transformers gives for one text or pair: (encoding, output)."""
    import torch
    import transformers as tf

    tokenizer = tf.AutoTokenizer.from_pretrained(folder)
    model = auto.from_pretrained(folder).eval()
    encoding = tokenizer(*texts, truncation=True, return_tensors="pt")
    with torch.inference_mode():
        return encoding, model(**encoding)


def written(folder: Path, auto: Any, prompt: str, **options: Any) -> str:
    """What plain transformers writes for one text."""
    import torch
    import transformers as tf

    tokenizer = tf.AutoTokenizer.from_pretrained(folder)
    model = auto.from_pretrained(folder).eval()
    encoding = tokenizer(prompt, return_tensors="pt", return_token_type_ids=False)
    with torch.inference_mode():
        tokens = model.generate(**encoding, pad_token_id=0, **options)[0]
    first = 0 if model.config.is_encoder_decoder else encoding["input_ids"].shape[1]
    return str(tokenizer.decode(tokens[first:], skip_special_tokens=True))


def refusal(source: Path | str, task: str = "text-classification", **options: Any) -> str:
    """What is said of a folder that does not become ready: one line."""
    spec = ModelSpec(name="tiny", source=str(source), task=task, **options)
    with pytest.raises(ModelUnloadable) as caught:
        open_model(spec).load(spec, "cpu")
    text = str(caught.value)
    assert "\n" not in text
    assert text.startswith("model 'tiny': ")
    assert len(text) < 700
    return text
