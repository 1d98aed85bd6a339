"""Models that read images, against transformers' own pipelines."""

import base64
import io
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import made_images as made
import numpy as np
import transformers as tf
from PIL import Image

from alike.family import Answering, Asked, Family


def encoded(made: Image.Image, kind: str = "PNG") -> str:
    buffer = io.BytesIO()
    made.save(buffer, kind)
    return base64.b64encode(buffer.getvalue()).decode()


def drawn(width: int, height: int, seed: int = 0) -> Image.Image:
    """Blots: noise of single pixels would be one grey once it is scaled down."""
    cells = np.random.default_rng(seed).integers(0, 255, (5, 4, 3), dtype=np.uint8)
    return Image.fromarray(cells).resize((width, height), Image.Resampling.BICUBIC)


def seen(text: str) -> Image.Image:
    """The picture as plain transformers is given it."""
    return Image.open(io.BytesIO(base64.b64decode(EIGHT_BITS.get(text, text))))


GREY = np.asarray(drawn(40, 30, 5).convert("L"))
SIXTEEN_BITS = encoded(Image.fromarray(GREY.astype(np.uint16) * 257))
FLOATS = encoded(Image.fromarray((GREY / 255).astype(np.float32)), "TIFF")
EIGHT_BITS = dict.fromkeys((SIXTEEN_BITS, FLOATS), encoded(Image.fromarray(GREY)))
"""What transformers would cut to white, and the same picture as it reads it."""

SQUARES = [encoded(drawn(40, 40, seed)) for seed in range(3)]
SIZES = [encoded(drawn(*size, seed=n)) for n, size in enumerate([(40, 30), (31, 77), (90, 64)])]
TINY = [encoded(drawn(*size)) for size in [(1, 1), (3, 3), (2, 9)]]
PANORAMAS = [encoded(drawn(*size)) for size in [(400, 20), (16, 320), (640, 64)]]
MODES = [encoded(drawn(40, 30).convert(mode)) for mode in ("L", "LA", "P", "RGBA", "1")]
MODES += [encoded(drawn(40, 30).convert("CMYK"), "JPEG"), encoded(drawn(40, 30), "WEBP")]
BROKEN = Asked("aGVsbG8=", fails="no image")


def situations(
    some: Mapping[str, Any] | None = None,
    others: Mapping[str, Any] | None = None,
    long: Sequence[str] = PANORAMAS,
) -> dict[str, list[Asked]]:
    """What is asked of every model that reads one image. `some`, `others`: parameters."""
    given = some or {}
    return {
        "one size": [Asked(one, given) for one in SQUARES],
        "sizes": [Asked(one, given) for one in SIZES],
        "tiny and long": [Asked(one, given) for one in [*TINY, *long]],
        "modes": [Asked(one, given) for one in [*MODES, SIXTEEN_BITS, FLOATS]],
        "mixed parameters, lists and a broken one": [
            Asked(SIZES[0], others or given),
            BROKEN,
            Asked([*SIZES[1:], SQUARES[0]], given),
            Asked([SIZES[0], BROKEN.inputs], given, fails="no image"),
            Asked(SQUARES[1], given),
        ],
    }


def piped(task: str, shown: Callable[[Any], Any] = lambda found: found) -> Any:
    """transformers' own pipeline, on the same image processor."""

    def opened(folder: Path) -> Answering:
        processor = tf.AutoImageProcessor.from_pretrained(folder, backend="pil")
        pipeline = tf.pipeline(task, str(folder), image_processor=processor)  # type: ignore[call-overload]

        def answer(inputs: Any, parameters: Mapping[str, Any]) -> Any:
            if isinstance(inputs, list):
                return [answer(one, parameters) for one in inputs]
            return shown(pipeline(seen(inputs), **parameters))

        return answer

    return opened


def surest_first(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return sorted(found, key=lambda one: -one["score"])


FAMILIES = (
    *(
        Family(
            name=name,
            task="image-classification",
            build=build,
            reference=piped("image-classification"),
            situations=situations(others={"top_k": 2, "function_to_apply": "none"}),
        )
        for name, build in made.CLASSIFIERS.items()
    ),
    *(
        Family(
            name=name,
            task="object-detection",
            build=build,
            reference=piped("object-detection", surest_first),
            situations=situations(
                {"threshold": 0.2},
                {"threshold": 0.0},
                SIZES if name == "yolos" else PANORAMAS,  # whose sides are multiples of 16, or 0
            ),
        )
        for name, build in made.DETECTORS.items()
    ),
)
