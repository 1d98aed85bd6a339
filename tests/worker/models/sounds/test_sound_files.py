"""Sounds: every kind of file, at any rate, within limits that do not trust a header."""

import base64
import io
from typing import Any

import av
import numpy as np
import pytest
import soundfile
import soxr

from contract.errors import BadItem
from tests.worker.models.builders.media import noise, pcm
from worker.models.sounds import ffmpeg, sound_files

RATE = 16_000
TONE = 0.5 * np.sin(2 * np.pi * 440 * np.arange(RATE) / RATE)


def encoded(data: bytes) -> str:
    return base64.b64encode(data).decode()


def filed(kind: str, subtype: str | None = None, samples: Any = TONE, rate: int = RATE) -> bytes:
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, rate, format=kind, subtype=subtype)
    return buffer.getvalue()


def muxed(container: str, codec: str, samples: Any = TONE, rate: int = 48_000) -> bytes:
    """A file that ffmpeg writes."""
    buffer = io.BytesIO()
    with av.open(buffer, "w", format=container) as file:
        stream = file.add_stream(codec, rate=rate)
        stream.layout = "mono"
        planes = av.AudioResampler(format=stream.codec_context.format, layout="mono", rate=rate)
        frame = av.AudioFrame.from_ndarray(
            samples[None].astype(np.float32), format="fltp", layout="mono"
        )
        frame.sample_rate = RATE
        for piece in [*planes.resample(frame), *planes.resample(None)]:
            file.mux(stream.encode(piece))
        file.mux(stream.encode(None))
    return buffer.getvalue()


def pitch(samples: Any) -> float:
    """The loudest frequency, in hertz."""
    return float(np.argmax(np.abs(np.fft.rfft(samples, RATE))))


@pytest.mark.parametrize("width", [1, 2, 3, 4])
def test_samples_of_every_width_are_read(width: int) -> None:
    found = sound_files.decode_sound(pcm(TONE, width=width), RATE)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, TONE, atol=0.02 if width == 1 else 1e-4)


@pytest.mark.parametrize(
    ("kind", "subtype"),
    [
        ("WAV", "FLOAT"),
        ("WAV", "DOUBLE"),
        ("WAV", "ALAW"),
        ("WAV", "ULAW"),
        ("WAV", "IMA_ADPCM"),
        ("WAV", "MS_ADPCM"),
        ("WAVEX", "PCM_24"),
        ("RF64", "PCM_16"),
        ("W64", "PCM_16"),
        ("FLAC", "PCM_24"),
        ("AIFF", "PCM_16"),
        ("CAF", "FLOAT"),
        ("AU", "PCM_16"),
        ("OGG", "VORBIS"),
        ("OGG", "OPUS"),
        ("MP3", "MPEG_LAYER_III"),
    ],
)
def test_every_kind_of_file_is_read(kind: str, subtype: str) -> None:
    found = sound_files.decode_sound(encoded(filed(kind, subtype)), RATE)
    assert abs(len(found) - RATE) < RATE // 20
    if subtype in ("VORBIS", "OPUS", "MPEG_LAYER_III"):
        assert abs(pitch(found) - 440) <= 1
    else:
        np.testing.assert_allclose(found[100:RATE], TONE[100 : len(found)], atol=0.05)


@pytest.mark.parametrize(
    ("container", "codec"),
    [("mp4", "aac"), ("ipod", "aac"), ("webm", "libopus"), ("matroska", "aac"), ("adts", "aac")],
)
def test_what_phones_and_browsers_record_is_read_through_ffmpeg(container: str, codec: str) -> None:
    found = sound_files.decode_sound(encoded(muxed(container, codec)), RATE)
    assert abs(len(found) - RATE) < RATE // 10
    assert abs(pitch(found) - 440) <= 1


def test_without_ffmpeg_the_way_out_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ffmpeg, "is_installed", lambda: False)
    with pytest.raises(BadItem, match=r"WebM.*pip install 'soloist\[ffmpeg\]'"):
        sound_files.decode_sound(encoded(muxed("webm", "libopus")), RATE)


def test_a_film_without_sound_is_refused() -> None:
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mp4") as file:
        stream = file.add_stream("mpeg4", rate=10)
        stream.width = stream.height = 16
        file.mux(stream.encode(av.VideoFrame.from_ndarray(np.zeros((16, 16, 3), np.uint8))))
        file.mux(stream.encode(None))
    with pytest.raises(BadItem, match="no sound"):
        sound_files.decode_sound(encoded(buffer.getvalue()), RATE)


@pytest.mark.parametrize("riff", [0, 0x7FFFFFFF, 0xFFFFFFFF])
@pytest.mark.parametrize("data", [0, 0x7FFFFFDB, 0xFFFFFFFF])
def test_a_stream_is_read_whose_header_does_not_know_its_sizes(riff: int, data: int) -> None:
    file = bytearray(filed("WAV", "PCM_16"))
    file[4:8], file[40:44] = riff.to_bytes(4, "little"), data.to_bytes(4, "little")
    np.testing.assert_allclose(
        sound_files.decode_sound(encoded(bytes(file)), RATE), TONE, atol=1e-4
    )


def test_a_wav_that_ends_early_is_read_to_its_end() -> None:
    file = filed("WAV", "PCM_16")[: 44 + 2 * 8000 + 1]
    np.testing.assert_allclose(
        sound_files.decode_sound(encoded(file), RATE), TONE[:8000], atol=1e-4
    )


def test_channels_are_mixed_to_one() -> None:
    both = np.stack([np.full(100, 0.5), np.full(100, -0.25)], axis=1)
    np.testing.assert_allclose(
        sound_files.decode_sound(pcm(both, channels=2), RATE), 0.125, atol=1e-4
    )


@pytest.mark.parametrize("rate", [8_000, 22_050, 44_100, 48_000])
def test_a_tone_keeps_its_pitch_when_resampled(rate: int) -> None:
    times = np.arange(rate) / rate
    found = sound_files.decode_sound(pcm(0.5 * np.sin(2 * np.pi * 440 * times), rate), RATE)
    assert len(found) == RATE
    np.testing.assert_allclose(found[500:-500], TONE[500:-500], atol=1e-3)


def test_a_sound_is_resampled_block_by_block_as_it_is_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    samples = np.random.default_rng(0).uniform(-0.5, 0.5, 44_100).astype(np.float32)
    whole = soxr.resample(samples, 44_100, RATE)
    monkeypatch.setattr(sound_files, "BLOCK", 1000)
    found = sound_files.decode_sound(encoded(filed("WAV", "FLOAT", samples, 44_100)), RATE)
    np.testing.assert_allclose(found, whole, atol=1e-6)


def test_a_tone_above_the_models_range_does_not_fold_back() -> None:
    times = np.arange(48_000) / 48_000
    found = sound_files.decode_sound(pcm(0.5 * np.sin(2 * np.pi * 10_000 * times), 48_000), RATE)
    assert np.abs(found[500:-500]).max() < 1e-3


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"ID3 an mp3",
        b"RIFF\x00\x00\x00\x00WAVE",
        b"fLaC",
        b"OggS",
        b"\x1aE\xdf\xa3" + b"\0" * 50,
        b"\0\0\0\x1cftypisom" + b"\0" * 50,
        b"#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n",
        b"ffconcat version 1.0\nfile /etc/passwd\n",
        b"\x89PNG\r\n\x1a\n",
    ],
)
def test_what_is_no_sound_is_refused_and_nothing_is_opened(data: bytes) -> None:
    with pytest.raises(BadItem):
        sound_files.decode_sound(encoded(data), RATE)


def test_a_torn_flac_is_refused() -> None:
    whole = filed("FLAC", None, np.random.default_rng(0).uniform(-0.5, 0.5, RATE))
    with pytest.raises(BadItem, match="broken: flac decoder lost sync"):
        sound_files.decode_sound(encoded(whole[: len(whole) // 2]), RATE)


def test_a_broken_file_of_ffmpegs_is_told_in_its_words() -> None:
    with pytest.raises(
        BadItem, match=r"^The sound is broken: Invalid data found when processing input$"
    ):
        sound_files.decode_sound(encoded(b"\x1aE\xdf\xa3" + b"\0" * 50), RATE)


def test_a_sound_of_hours_is_refused() -> None:
    with pytest.raises(BadItem, match="longer than 1800 seconds"):
        sound_files.decode_sound(pcm(np.zeros(1801 * 4000), rate=4000, width=1), RATE)


@pytest.mark.parametrize("told", [0, 1801 * 8000])
def test_a_small_file_of_much_silence_is_refused_whatever_its_header_says(told: int) -> None:
    file = bytearray(filed("FLAC", None, np.zeros(1801 * 8000), 8000))
    assert len(file) < 100_000
    file[21] = file[21] & 0xF0  # the number of samples, of 36 bits
    file[22:26] = told.to_bytes(4, "big")
    with pytest.raises(BadItem, match="longer than 1800 seconds"):
        sound_files.decode_sound(encoded(bytes(file)), RATE)


def test_what_ffmpeg_decodes_is_limited_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sound_files, "MAX_SECONDS", 1)
    with pytest.raises(BadItem, match="longer than 1 seconds"):
        sound_files.decode_sound(encoded(muxed("adts", "aac", np.tile(TONE, 2))), RATE)


def test_many_channels_are_counted_before_they_are_decoded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sound_files, "MAX_DECODED", 10_000)
    data = encoded(filed("WAV", "PCM_16", np.zeros((1000, 11))))
    with pytest.raises(BadItem, match="10,000 samples in its 11 channels"):
        sound_files.decode_sound(data, RATE)


def test_samples_that_are_no_numbers_are_refused() -> None:
    broken = TONE.copy()
    broken[100] = np.nan
    with pytest.raises(BadItem, match="no numbers"):
        sound_files.decode_sound(encoded(filed("WAV", "FLOAT", broken)), RATE)


@pytest.mark.parametrize("kind", ["WAV", "AIFF"])
def test_a_sound_without_samples_is_refused(kind: str) -> None:
    with pytest.raises(BadItem, match="no samples"):
        sound_files.decode_sound(encoded(filed(kind, None, np.zeros(0))), RATE)


def test_a_sound_of_less_than_a_sample_of_the_models_is_refused() -> None:
    with pytest.raises(BadItem, match="too short"):
        sound_files.decode_sound(pcm(np.zeros(1), rate=192_000), RATE)


@pytest.mark.parametrize("rate", [100, 384_000])
def test_a_sound_at_a_strange_rate_is_refused(rate: int) -> None:
    with pytest.raises(BadItem, match="samples a second"):
        sound_files.decode_sound(pcm(np.zeros(100), rate), RATE)


def test_noise_is_the_same_at_its_own_rate() -> None:
    assert len(sound_files.decode_sound(noise(0.5), RATE)) == 8000
