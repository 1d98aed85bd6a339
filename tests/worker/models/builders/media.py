"""Pictures and sounds of seeded noise, as base64."""

import base64
import io
import wave

import numpy as np
from PIL import Image


def picture(width: int = 40, height: int = 30, seed: int = 0, kind: str = "PNG") -> str:
    pixels = np.random.default_rng(seed).integers(0, 255, (height, width, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind)
    return base64.b64encode(buffer.getvalue()).decode()


def pcm(samples: np.ndarray, rate: int = 16_000, width: int = 2, channels: int = 1) -> str:
    """`samples` (frames, channels) or (frames,) from -1 to 1 as a WAV."""
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(width)
        file.setframerate(rate)
        whole = np.clip(np.round(samples * (2 ** (8 * width - 1) - 1)), -(2**31), 2**31 - 1)
        if width == 1:
            raw = (whole + 128).astype(np.uint8).tobytes()
        elif width == 3:
            raw = whole.astype("<i4").reshape(-1, 1).view(np.uint8)[:, :3].tobytes()
        else:
            raw = whole.astype(f"<i{width}").tobytes()
        file.writeframes(raw)
    return base64.b64encode(buffer.getvalue()).decode()


def noise(seconds: float, seed: int = 0, rate: int = 16_000) -> str:
    return pcm(np.random.default_rng(seed).uniform(-0.5, 0.5, int(seconds * rate)), rate)
