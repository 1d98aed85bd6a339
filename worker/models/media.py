"""Files that come as base64 in JSON, and sounds, decoded here and within limits.

Never by a transformers pipeline: it would fetch a string that looks like a URL, or open it as a path.
"""

import base64
import binascii
import io
import wave
from typing import Any

import numpy as np

from contract.errors import BadItem

MAX_SECONDS = 30 * 60
RATES = 4_000, 192_000
"""Samples a second. Below, a small file would be hours once it is brought to the model's rate."""

Samples = np.ndarray[tuple[int], np.dtype[np.float32]]


def data(text: Any) -> bytes:
    """The bytes of a base64 string or a `data:` URL.

    Raises:
        BadItem: it is neither; an address and a path are neither.
    """
    if not isinstance(text, str):
        raise BadItem("The file is not given as a string of base64")
    if text.startswith("data:"):
        head, comma, text = text.partition(",")
        if not comma or not head.endswith(";base64"):
            raise BadItem("The data: URL is not base64")
    try:
        found = base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError):
        raise BadItem("The file is not valid base64; addresses and paths are not opened") from None
    if not found:
        raise BadItem("The file is empty")
    return found


def sound(text: Any, rate: int) -> Samples:
    """The samples of a WAV file, from -1 to 1, mixed to one channel, at `rate` per second.

    Raises:
        BadItem: not PCM in a WAV, or longer than `MAX_SECONDS`.
    """
    try:
        with wave.open(io.BytesIO(data(text))) as file:
            channels, width, its_rate = (
                file.getnchannels(),
                file.getsampwidth(),
                file.getframerate(),
            )
            frames = file.getnframes()
            if not RATES[0] <= its_rate <= RATES[1] or channels < 1:
                raise BadItem(
                    f"The sound has {its_rate} samples a second; {RATES[0]} to {RATES[1]} are read"
                )
            if frames > MAX_SECONDS * its_rate:
                raise BadItem(f"The sound is longer than {MAX_SECONDS} seconds")
            raw = file.readframes(frames)
    except BadItem:
        raise
    except Exception:  # `wave` raises wave.Error, EOFError and struct's errors
        raise BadItem("The file is not PCM in a WAV; convert it, for example with ffmpeg") from None
    whole = len(raw) // (channels * width) * channels * width
    samples = _floats(raw[:whole], width).reshape(-1, channels).mean(axis=1, dtype=np.float32)
    if not samples.size:
        raise BadItem("The sound has no samples")
    return resample(samples, its_rate, rate)


def _floats(raw: bytes, width: int) -> Any:
    """PCM of 1 to 4 bytes a sample; 1 is unsigned, the others are signed little-endian."""
    if width == 1:
        return (np.frombuffer(raw, np.uint8).astype(np.float32) - 128) / 128
    if width == 3:
        padded = np.zeros((len(raw) // 3, 4), np.uint8)
        padded[:, 1:] = np.frombuffer(raw, np.uint8).reshape(-1, 3)
        return padded.view("<i4")[:, 0].astype(np.float32) / 2**31
    return np.frombuffer(raw, f"<i{width}").astype(np.float32) / 2 ** (8 * width - 1)


def resample(samples: Samples, rate: int, wanted: int) -> Samples:
    """Band-limited resampling by cutting or extending the spectrum.

    Frequencies above half the lower rate go, so nothing folds back, as it would with interpolation.
    """
    if rate == wanted:
        return samples
    count = max(1, round(len(samples) * wanted / rate))
    spectrum = np.fft.rfft(samples)[: count // 2 + 1]
    return (np.fft.irfft(spectrum, count) * (count / len(samples))).astype(np.float32)
