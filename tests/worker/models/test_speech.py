"""Transcripts, against plain transformers, one sound at a time."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers as tf
from answers import ask, close, item
from media_made import noise, pcm

from contract.catalog import ModelSpec
from contract.errors import BadItem, ModelUnloadable
from worker.models import Model, open_model, sound

pytestmark = pytest.mark.slow

SOUNDS = [noise(0.4, 1), noise(1.1, 2), noise(0.7, 3), noise(0.7, 4)]


@pytest.mark.parametrize("masked", [False, True], ids=["group-norm", "layer-norm"])
def test_ctc_models_read_sounds_of_any_lengths_together(
    masked: bool, folder: Callable[..., Path], loaded: Callable[..., Model]
) -> None:
    path = folder("wav2vec2", masked=masked)
    tokenizer = tf.AutoTokenizer.from_pretrained(path)
    extractor = tf.AutoFeatureExtractor.from_pretrained(path)
    plain = tf.AutoModelForCTC.from_pretrained(path).eval()
    answers = ask(loaded("automatic-speech-recognition", path), *SOUNDS)
    for data, answer in zip(SOUNDS, answers, strict=True):
        inputs = extractor(sound.samples(data, 16_000), sampling_rate=16_000, return_tensors="pt")
        with torch.inference_mode():
            tokens = plain(**inputs).logits[0].argmax(dim=-1)
        assert answer == {"text": tokenizer.decode(tokens)}
        assert answer["text"]


def test_words_are_timed(folder: Callable[..., Path], loaded: Callable[..., Model]) -> None:
    model = loaded("automatic-speech-recognition", folder("wav2vec2"))
    plain, timed = model.predict(
        [item(SOUNDS[1], "a"), item(SOUNDS[1], "b", return_timestamps=True)]
    )
    assert timed["text"] == plain["text"]
    assert timed["chunks"]
    assert all(
        0 <= start <= end <= 1.2 for one in timed["chunks"] for start, end in [one["timestamp"]]
    )


def test_a_sound_at_another_rate_is_resampled(
    folder: Callable[..., Path], loaded: Callable[..., Model], monkeypatch: pytest.MonkeyPatch
) -> None:
    model: Any = loaded("automatic-speech-recognition", folder("wav2vec2"))
    lengths: list[int] = []
    run = model._transcribe
    monkeypatch.setattr(
        model, "_transcribe", lambda some: lengths.extend(map(len, some)) or run(some)
    )
    ask(model, noise(0.5, rate=48_000), noise(0.5, rate=8_000), noise(0.5))
    assert lengths == [8_000] * 3


def test_a_sound_too_short_or_too_long_fails_alone(
    folder: Callable[..., Path], loaded: Callable[..., Model]
) -> None:
    model = loaded("automatic-speech-recognition", folder("wav2vec2"), max_batch_tokens=100)
    short, long, good = ask(model, pcm(np.zeros(20)), noise(2.5), noise(1.0))
    assert isinstance(short, BadItem)
    assert isinstance(long, BadItem)
    assert "2 seconds" in str(long)
    assert "text" in good


def test_whisper_writes_what_plain_generate_writes(
    folder: Callable[..., Path], loaded: Callable[..., Model]
) -> None:
    path = folder("whisper")
    tokenizer = tf.AutoTokenizer.from_pretrained(path)
    extractor = tf.AutoFeatureExtractor.from_pretrained(path)
    plain = tf.AutoModelForSpeechSeq2Seq.from_pretrained(path).eval()
    answers = ask(loaded("automatic-speech-recognition", path), *SOUNDS)
    for data, answer in zip(SOUNDS, answers, strict=True):
        inputs = extractor(sound.samples(data, 16_000), sampling_rate=16_000, return_tensors="pt")
        with torch.inference_mode():
            tokens = plain.generate(**inputs)[0]
        assert answer["text"] == tokenizer.decode(tokens, skip_special_tokens=True)


# a random model may say nothing in a window, and transformers takes the spread of its no tokens
@pytest.mark.filterwarnings(r"ignore:std\(\):UserWarning")
@pytest.mark.parametrize("times", [True, "word"])
def test_whisper_times_its_parts(
    times: bool | str, folder: Callable[..., Path], loaded: Callable[..., Model]
) -> None:
    model = loaded("automatic-speech-recognition", folder("whisper"))
    for output in ask(model, *SOUNDS[:2], return_timestamps=times):
        assert output.keys() == {"text", "chunks"}


def test_whisper_reads_sounds_longer_than_its_window(
    folder: Callable[..., Path], loaded: Callable[..., Model]
) -> None:
    model = loaded("automatic-speech-recognition", folder("whisper"))
    long, short = ask(model, noise(33.0), SOUNDS[0])
    assert long.keys() == short.keys() == {"text"}
    close(short, ask(model, SOUNDS[0])[0])


def test_a_transcript_that_nobody_waits_for_is_not_finished(
    folder: Callable[..., Path], loaded: Callable[..., Model], monkeypatch: pytest.MonkeyPatch
) -> None:
    model: Any = loaded("automatic-speech-recognition", folder("whisper"))
    requests = [item(SOUNDS[0], "a"), item(SOUNDS[1], "b")]
    steps, decoder = [], model._model.model.decoder
    handle = decoder.register_forward_hook(
        lambda *_: steps.append([request.stopped.set() for request in requests])
    )
    model.predict(requests)
    handle.remove()
    assert len(steps) <= 2


def test_a_transcripts_length_can_be_limited(
    folder: Callable[..., Path], loaded: Callable[..., Model]
) -> None:
    model = loaded("automatic-speech-recognition", folder("whisper"))
    whole, cut, bad, strange = model.predict(
        [
            item(SOUNDS[0], "a"),
            item(SOUNDS[0], "b", generation_parameters={"max_new_tokens": 2}),
            item(SOUNDS[0], "c", generation_parameters={"max_new_tokens": 64}),
            item(SOUNDS[0], "d", generation_parameters={"temperature": 1.0}),
        ]
    )
    assert len(cut["text"]) < len(whole["text"])
    assert isinstance(bad, BadItem)
    assert "temperature" in str(strange)


def test_unknown_generation_defaults_stop_the_load(folder: Callable[..., Path]) -> None:
    spec: Any = ModelSpec(
        name="tiny",
        source=str(folder("wav2vec2")),
        task="automatic-speech-recognition",
        generation={"stop": ["a"]},
    )
    with pytest.raises(ModelUnloadable, match="stop"):
        open_model(spec).load(spec, "cpu")
