"""Labels of sounds; what they are against transformers stands in `batch_invariance`."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from contract.catalog import ModelSpec
from contract.errors import BadItem, OutputInvalid
from tests.worker.models.answers import ask
from tests.worker.models.builders import sound_models
from tests.worker.models.builders.media import noise, pcm
from worker.models import Model, open_model

pytestmark = pytest.mark.slow


def opened(path: Path, **options: Any) -> Model:
    spec = ModelSpec(name="tiny", source=str(path), task="audio-classification", **options)
    model = open_model(spec)
    model.load(spec, "cpu")
    return model


def test_a_sound_too_short_or_too_long_fails_alone(tmp_path: Path) -> None:
    model = opened(sound_models.classifier(tmp_path / "model", "Hubert"), max_batch_tokens=100)
    short, long, good = ask(model, pcm(np.zeros(489)), noise(2.1), noise(0.5))
    assert isinstance(short, BadItem)
    assert "too short" in str(short)
    assert isinstance(long, BadItem)
    assert "longer than the 2 seconds" in str(long)
    assert good == ask(model, noise(0.5))[0]


def test_what_is_read_as_of_one_length_may_be_long(tmp_path: Path) -> None:
    path = sound_models.spectrogram_transformer(tmp_path / "model")
    assert isinstance(ask(opened(path, max_batch_tokens=10), noise(3.0))[0], list)


def test_what_is_no_number_fails_its_sound_and_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model: Any = opened(sound_models.classifier(tmp_path / "model", "Wav2Vec2", masked=True))
    wanted = ask(model, noise(0.5))[0]
    features = model._sounds.extract_features

    def poisoned(samples: Any) -> Any:
        heard = features(samples)
        if (samples == samples[0]).all():
            heard["input_values"] = torch.full_like(heard["input_values"], float("nan"))
        return heard

    monkeypatch.setattr(model._sounds, "extract_features", poisoned)
    one, lost, other = ask(model, noise(0.5), pcm(np.full(4000, 0.25)), noise(0.5))
    assert isinstance(lost, OutputInvalid)
    assert [label["label"] for label in one] == [label["label"] for label in wanted]
    assert one == other


def test_a_single_label_has_its_score_by_softmax_as_in_transformers(tmp_path: Path) -> None:
    path = sound_models.spectrogram_transformer(
        tmp_path / "model", id2label={0: "speech"}, label2id={"speech": 0}
    )
    assert ask(opened(path), noise(0.5)) == [[{"label": "speech", "score": 1.0}]]
