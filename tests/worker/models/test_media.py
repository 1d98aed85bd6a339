"""Files and sounds of strangers."""

import base64

import numpy as np
import pytest
from media_made import noise, pcm

from contract.errors import BadItem
from worker.models import media


def encoded(data: bytes) -> str:
    return base64.b64encode(data).decode()


def test_base64_and_data_urls_are_read() -> None:
    assert media.data(encoded(b"abc")) == b"abc"
    assert media.data("data:image/png;base64," + encoded(b"abc")) == b"abc"
    assert media.data("YWJj\nYWJj") == b"abcabc"


@pytest.mark.parametrize(
    "text",
    [
        "https://example.com/cat.png",
        "http://169.254.169.254/latest/meta-data",
        "file:///etc/passwd",
        "/etc/passwd",
        "../cat.png",
        "data:image/png,abc",
        "data:image/png;base64",
        "data:image/png;base64,",
        "",
        "====",
        17,
        None,
    ],
)
def test_anything_else_is_refused_and_never_opened(text: object) -> None:
    with pytest.raises(BadItem):
        media.data(text)


@pytest.mark.parametrize("width", [1, 2, 3, 4])
def test_samples_of_every_width_are_read(width: int) -> None:
    wave = np.sin(np.arange(1600) / 8)
    found = media.sound(pcm(wave, width=width), 16_000)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, wave, atol=0.02 if width == 1 else 1e-4)


def test_channels_are_mixed_to_one() -> None:
    both = np.stack([np.full(100, 0.5), np.full(100, -0.25)], axis=1)
    np.testing.assert_allclose(media.sound(pcm(both, channels=2), 16_000), 0.125, atol=1e-4)


@pytest.mark.parametrize("rate", [8_000, 22_050, 44_100, 48_000])
def test_a_tone_keeps_its_pitch_when_resampled(rate: int) -> None:
    times = np.arange(rate) / rate
    found = media.sound(pcm(0.5 * np.sin(2 * np.pi * 440 * times), rate), 16_000)
    assert len(found) == 16_000
    np.testing.assert_allclose(
        found, 0.5 * np.sin(2 * np.pi * 440 * np.arange(16_000) / 16_000), atol=1e-3
    )


def test_a_tone_above_the_models_range_does_not_fold_back() -> None:
    times = np.arange(48_000) / 48_000
    found = media.sound(pcm(0.5 * np.sin(2 * np.pi * 10_000 * times), 48_000), 16_000)
    assert np.abs(found).max() < 1e-3


@pytest.mark.parametrize("data", [b"ID3 an mp3", b"RIFF\x00\x00\x00\x00WAVE", b"fLaC", b""])
def test_other_sounds_are_refused_with_a_way_out(data: bytes) -> None:
    with pytest.raises(BadItem):
        media.sound(encoded(data), 16_000)


def test_a_float_wav_is_refused_with_a_way_out() -> None:
    data = bytearray(base64.b64decode(noise(0.1)))
    data[20:22] = (3).to_bytes(2, "little")  # the format tag: IEEE float
    with pytest.raises(BadItem, match="ffmpeg"):
        media.sound(encoded(bytes(data)), 16_000)


def test_a_sound_of_hours_is_refused() -> None:
    with pytest.raises(BadItem, match="longer than 1800 seconds"):
        media.sound(pcm(np.zeros(1801 * 4000), rate=4000, width=1), 16_000)


def test_a_sound_without_samples_is_refused() -> None:
    with pytest.raises(BadItem, match="no samples"):
        media.sound(pcm(np.zeros(0)), 16_000)


@pytest.mark.parametrize("rate", [100, 384_000])
def test_a_sound_at_a_strange_rate_is_refused(rate: int) -> None:
    with pytest.raises(BadItem, match="samples a second"):
        media.sound(pcm(np.zeros(100), rate), 16_000)
