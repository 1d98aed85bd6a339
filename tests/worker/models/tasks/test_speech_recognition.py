"""Transcripts, against plain transformers, one sound at a time."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers as tf

from contract.catalog import ModelSpec
from contract.errors import BadItem, ModelUnloadable, OutputInvalid
from tests.worker.models.answers import ask, close, item
from tests.worker.models.builders import sound_models
from tests.worker.models.builders.media import noise, pcm
from worker.models import Model, open_model
from worker.models.sounds import sound_files

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
        inputs = extractor(
            sound_files.decode_sound(data, 16_000), sampling_rate=16_000, return_tensors="pt"
        )
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
    features = model._recognizer.sounds.extract_features
    monkeypatch.setattr(
        model._recognizer.sounds,
        "extract_features",
        lambda one: lengths.append(len(one)) or features(one),
    )
    ask(model, noise(0.5, rate=48_000), noise(0.5, rate=8_000), noise(0.5))
    assert lengths == [8_000] * 3


def test_a_sound_that_is_too_short_fails_alone(
    folder: Callable[..., Path], loaded: Callable[..., Model]
) -> None:
    model = loaded("automatic-speech-recognition", folder("wav2vec2"))
    short, none, good = ask(model, pcm(np.zeros(489)), pcm(np.zeros(0)), noise(1.0))
    assert isinstance(short, BadItem)
    assert "it has 489 samples at 16000 a second, and the model reads 490" in str(short)
    assert isinstance(none, BadItem)
    assert good == ask(model, noise(1.0))[0]


def test_a_sound_longer_than_a_pass_is_read_in_pieces(
    folder: Callable[..., Path], loaded: Callable[..., Model]
) -> None:
    path = folder("wav2vec2")
    model = loaded("automatic-speech-recognition", path, max_batch_tokens=100)
    long, good = ask(model, noise(5.3), noise(1.0))
    pipe = tf.pipeline("automatic-speech-recognition", model=str(path))
    samples = sound_files.decode_sound(noise(5.3), 16_000)
    assert long["text"] == pipe(samples.copy(), chunk_length_s=2.0)["text"]
    assert good == ask(model, noise(1.0))[0]
    (much,) = ask(model, noise(5.3), chunk_length_s=3.0)
    assert "longer than the 2 seconds" in str(much)


def test_whisper_writes_what_plain_generate_writes(
    folder: Callable[..., Path], loaded: Callable[..., Model]
) -> None:
    path = folder("whisper")
    tokenizer = tf.AutoTokenizer.from_pretrained(path)
    extractor = tf.AutoFeatureExtractor.from_pretrained(path)
    plain = tf.AutoModelForSpeechSeq2Seq.from_pretrained(path).eval()
    answers = ask(loaded("automatic-speech-recognition", path), *SOUNDS)
    for data, answer in zip(SOUNDS, answers, strict=True):
        inputs = extractor(
            sound_files.decode_sound(data, 16_000), sampling_rate=16_000, return_tensors="pt"
        )
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
    steps, decoder = [], model._recognizer.sounds.model.model.decoder
    handle = decoder.register_forward_hook(
        lambda *_: steps.append([request.stopped.set() for request in requests])
    )
    model.predict(requests)
    handle.remove()
    assert len(steps) <= 2


def test_the_windows_of_a_sound_that_nobody_waits_for_are_not_read(tmp_path: Path) -> None:
    model: Any = opened(sound_models.whisper(tmp_path / "model"))
    request, windows = item(noise(9.0), "a"), []
    encoder = model._recognizer.sounds.model.model.encoder
    encoder.register_forward_hook(lambda *_: windows.append(request.stopped.set()))
    assert model.predict([request]) == [None]
    assert len(windows) == 1


def test_a_stride_without_pieces_is_refused(
    folder: Callable[..., Path], loaded: Callable[..., Model]
) -> None:
    model = loaded("automatic-speech-recognition", folder("wav2vec2"))
    (found,) = ask(model, SOUNDS[0], stride_length_s=0.1)
    assert "`chunk_length_s`" in str(found)
    (found,) = ask(model, SOUNDS[0], chunk_length_s=0.3, stride_length_s=[0.2, 0.1])
    assert "leaves nothing" in str(found)


def test_a_transcripts_length_can_be_limited(
    folder: Callable[..., Path], loaded: Callable[..., Model]
) -> None:
    model = loaded("automatic-speech-recognition", folder("whisper"))
    whole, cut, bad, strange = model.predict(
        [
            item(SOUNDS[0], "a"),
            item(SOUNDS[0], "b", generation_parameters={"max_new_tokens": 2}),
            item(SOUNDS[0], "c", generation_parameters={"max_new_tokens": 64}),
            item(SOUNDS[0], "d", generation_parameters={"top_k": 3}),
        ]
    )
    assert len(cut["text"]) < len(whole["text"])
    assert isinstance(bad, BadItem)
    assert "`top_k` needs a `temperature`" in str(strange)


@pytest.mark.parametrize("builder", ["wav2vec2", "whisper"])
def test_unknown_generation_defaults_stop_the_load(
    builder: str, folder: Callable[..., Path]
) -> None:
    spec: Any = ModelSpec(
        name="tiny",
        source=str(folder(builder)),
        task="automatic-speech-recognition",
        generation={"stop": ["a"]},
    )
    with pytest.raises(ModelUnloadable, match="stop"):
        open_model(spec).load(spec, "cpu")


def opened(path: Path, task: str = "automatic-speech-recognition", **options: Any) -> Model:
    spec = ModelSpec(name="tiny", source=str(path), task=task, **options)
    model = open_model(spec)
    model.load(spec, "cpu")
    return model


def test_the_catalogs_language_is_the_default(tmp_path: Path) -> None:
    path = sound_models.whisper(tmp_path / "model", many=True)
    plain, french = opened(path), opened(path, generation={"language": "fr"})
    wanted = ask(plain, SOUNDS[1], generation_parameters={"language": "fr"})
    assert ask(french, SOUNDS[1]) == wanted
    with pytest.raises(ModelUnloadable, match="English-only"):
        opened(sound_models.whisper(tmp_path / "english"), generation={"language": "fr"})


@pytest.mark.parametrize("kind", ["ctc", "whisper"])
def test_what_is_no_number_fails_its_sound_and_no_other(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    build = partial(sound_models.ctc, kind="Wav2Vec2", masked=True)
    model: Any = opened((sound_models.whisper if kind == "whisper" else build)(tmp_path / "model"))
    good, bad = noise(0.4, 1), pcm(np.full(8000, 0.25))
    wanted = ask(model, good)[0]
    features = model._recognizer.sounds.extract_features

    def poisoned(samples: Any, **more: Any) -> Any:
        heard = features(samples, **more)
        if (samples == samples[0]).all():
            name = next(iter(heard))
            heard[name] = torch.full_like(heard[name], float("nan"))
        return heard

    monkeypatch.setattr(model._recognizer.sounds, "extract_features", poisoned)
    one, lost, other = ask(model, good, bad, good)
    assert isinstance(lost, OutputInvalid)
    assert isinstance(ask(model, bad)[0], OutputInvalid)
    assert one == other == wanted


def test_silence_whose_features_are_no_numbers_is_refused(tmp_path: Path) -> None:
    model = opened(sound_models.speech_to_text(tmp_path / "model"))
    wanted = ask(model, SOUNDS[0])
    silent, other = ask(model, pcm(np.zeros(9000)), SOUNDS[0])
    assert isinstance(silent, BadItem)
    assert "silence has none here" in str(silent)
    assert isinstance(ask(model, pcm(np.zeros(9000)))[0], BadItem)
    assert [other] == wanted


@pytest.mark.parametrize("kind", ["Data2VecAudio", "Wav2Vec2Conformer", "SEWD"])
def test_a_mask_that_lets_the_padding_in_is_found_out(kind: str, tmp_path: Path) -> None:
    model: Any = opened(sound_models.ctc(tmp_path / "model", kind, masked=True))
    assert not model._recognizer.sounds.batching.pads
    alone = [ask(model, data)[0] for data in SOUNDS]
    assert ask(model, *SOUNDS) == alone


def test_words_are_timed_alone(tmp_path: Path) -> None:
    model = opened(sound_models.whisper(tmp_path / "model"))
    sounds = [noise(0.8, 1), noise(0.8, 5)]  # of one length, and with texts of others
    alone = [ask(model, data, return_timestamps="word")[0] for data in sounds]
    assert ask(model, *sounds, return_timestamps="word") == alone


def test_a_kind_that_is_told_what_to_do_in_words_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = sound_models.speech_to_text(tmp_path / "model")
    monkeypatch.setattr("worker.models.sounds.speech_decoder.KINDS", ("whisper",))
    with pytest.raises(ModelUnloadable, match=r"a speech_to_text model is not served .*CTC"):
        opened(path)


def test_a_draw_is_the_predictions_own(tmp_path: Path) -> None:
    model = opened(sound_models.whisper(tmp_path / "model"))
    parameters = {"generation_parameters": {"temperature": 1.0}}
    first = model.predict([item(SOUNDS[0], "a", **parameters), item(SOUNDS[0], "b", **parameters)])
    assert first[0] != first[1]
    assert model.predict([item(SOUNDS[0], "b", **parameters)]) == first[1:]
