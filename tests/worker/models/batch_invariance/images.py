"""Models that read images, against transformers' own pipelines."""

import base64
import io
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers as tf
from PIL import Image

from tests.worker.models.batch_invariance.family import Answering, Asked, Family
from tests.worker.models.builders import image_models as made
from tests.worker.models.builders import pixel_and_label_models as also
from tests.worker.models.builders import related_image_models as mould
from tests.worker.models.builders import unusual_image_models as too


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


def grown(sizes: Sequence[tuple[int, int]], least: int) -> list[str]:
    return [
        encoded(drawn(max(width, least), max(height, least), n))
        for n, (width, height) in enumerate(sizes)
    ]


def of_all_modes(side: int) -> list[str]:
    made = drawn(side + 10, side)
    found = [encoded(made.convert(mode)) for mode in ("L", "LA", "P", "RGBA", "1")]
    found += [encoded(made.convert("CMYK"), "JPEG"), encoded(made, "WEBP")]
    grey = np.asarray(made.convert("L"))
    more = [
        encoded(Image.fromarray(grey.astype(np.uint16) * 257)),
        encoded(Image.fromarray((grey / 255).astype(np.float32)), "TIFF"),
    ]
    EIGHT_BITS.update(dict.fromkeys(more, encoded(Image.fromarray(grey))))
    return found + more


EIGHT_BITS: dict[str, str] = {}
"""What transformers would cut to white, and the same picture as it reads it."""

SIZES = [(40, 30), (31, 77), (90, 64)]
TINY = [(1, 1), (3, 3), (2, 9), (400, 20), (16, 320), (640, 64)]
BROKEN = "aGVsbG8="


def situations(
    some: Mapping[str, Any] | None = None,
    others: Mapping[str, Any] | None = None,
    least: int = 1,
) -> dict[str, list[Asked]]:
    """What is asked of every model that reads one image.

    `some`, `others`: parameters; `least`: the shortest side, for models that cannot read less.
    """
    given = some or {}
    sizes = grown(SIZES, least)
    return {
        "one size": [Asked(one, given) for one in grown([(40, 40)] * 3, least)],
        "sizes": [Asked(one, given) for one in sizes],
        "tiny and long": [Asked(one, given) for one in grown(TINY, least)],
        "modes": [Asked(one, given) for one in of_all_modes(max(least, 30))],
        "mixed parameters, lists and a broken one": [
            Asked(sizes[0], others or given),
            Asked(BROKEN, given, fails="no image"),
            Asked(sizes[1:], given),
            Asked([sizes[0], BROKEN], given, fails="no image"),
            Asked(sizes[1], given),
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


def to_a_pixel(found: Any) -> Any:
    """Objects whose boxes are made so small that one pixel, to which edges are cut, is within tolerance."""
    if isinstance(found, list):
        return [to_a_pixel(one) for one in found]
    return {**found, "box": {name: edge / 200_000 for name, edge in found["box"].items()}}


def drawn_masks(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{**one, "mask": encoded(one["mask"])} for one in found]


def measured(found: dict[str, Any]) -> dict[str, Any]:
    depth = found["predicted_depth"]
    least, greatest = depth.min().item(), depth.max().item()
    return {"minimum": least, "maximum": greatest, "predicted_depth": depth.numpy()}


def without_picture(found: Any) -> Any:
    """A depth without its picture, whose 256 steps are one off where rounding falls the other way."""
    if isinstance(found, list):
        return [without_picture(one) for one in found]
    return {name: value for name, value in found.items() if name != "depth"}


def image_vectors(folder: Path) -> Answering:
    """image-feature-extraction as the pipeline has it; of two towers, the documented use of one."""
    answer = piped("image-feature-extraction")(folder)

    def vectors(inputs: Any, parameters: Mapping[str, Any]) -> Any:
        if isinstance(inputs, list):
            return [vectors(one, parameters) for one in inputs]
        found = np.asarray(answer(inputs, parameters))[0]
        return found.flatten() if parameters.get("pool") else found

    return vectors


def clip_vectors(folder: Path) -> Answering:
    """What CLIP's own documentation calls an image's features."""
    processor = tf.AutoImageProcessor.from_pretrained(folder, backend="pil")
    model = tf.AutoModel.from_pretrained(folder).eval()

    def vectors(inputs: Any, parameters: Mapping[str, Any]) -> Any:
        if isinstance(inputs, list):
            return [vectors(one, parameters) for one in inputs]
        pixels = processor(images=seen(inputs).convert("RGB"), return_tensors="pt")
        with torch.inference_mode():
            found = model.get_image_features(**pixels)
        return found["pooler_output" if parameters.get("pool") else "last_hidden_state"][0].numpy()

    return vectors


PICTURES = grown(SIZES, 1)
LABELS = ["the cat", "a big red car in london", "bob"]
MIXED = [
    Asked(PICTURES[0], {"candidate_labels": LABELS}),
    Asked(PICTURES[1], {"candidate_labels": LABELS[::-1]}),
    Asked(PICTURES[2], {"candidate_labels": ["dog"]}),
    Asked(PICTURES[2], {"candidate_labels": ["dog"] * 2, "hypothesis_template": "{}"}),
    Asked(
        PICTURES[0],
        {"candidate_labels": ["dog", "cat " * 100]},
        fails="tokens, and the model reads",
    ),
    Asked(PICTURES[1], {"candidate_labels": LABELS}),
]


def two_of(given: dict[str, list[Asked]]) -> dict[str, list[Asked]]:
    """What is asked of families that differ from another one in their layers only."""
    return {name: given[name] for name in ("sizes", "mixed parameters, lists and a broken one")}


FAMILIES = (
    *(
        Family(
            name=name,
            task="image-classification",
            build=build,
            reference=piped("image-classification"),
            situations=two_of(situations(others={"top_k": 2, "function_to_apply": "none"})),
        )
        for name, build in mould.BUILDERS["image-classification"].items()
    ),
    *(
        Family(
            name=name,
            task="object-detection",
            build=build,
            reference=piped("object-detection", surest_first),
            situations=two_of(situations({"threshold": 0.2}, {"threshold": 0.0})),
            compared=to_a_pixel,
        )
        for name, build in mould.BUILDERS["object-detection"].items()
    ),
    *(
        Family(
            name=name,
            task="image-classification",
            build=build,
            reference=piped("image-classification"),
            situations=situations(others={"top_k": 2, "function_to_apply": "none"}),
        )
        for name, build in {**made.CLASSIFIERS, **too.MORE["image-classification"]}.items()
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
                128 if name == "yolos" else 1,  # whose sides are multiples of 16
            ),
            compared=to_a_pixel,
        )
        for name, build in {**made.DETECTORS, **too.MORE["object-detection"]}.items()
    ),
    *(
        Family(
            name=name,
            task="zero-shot-image-classification",
            build=build,
            reference=piped("zero-shot-image-classification"),
            situations={
                **situations(
                    {"candidate_labels": LABELS},
                    {"candidate_labels": ["food"], "hypothesis_template": "{} is here"},
                ),
                "mixed labels": MIXED,
            },
        )
        for name, build in {**also.ZERO_SHOT, **too.MORE["zero-shot-image-classification"]}.items()
    ),
    *(
        Family(
            name=name,
            task="image-feature-extraction",
            build=build,
            reference=image_vectors,
            situations=situations(others={"pool": True}),
        )
        for name, build in also.BODIES.items()
    ),
    *(
        Family(
            name=name,
            task="image-feature-extraction",
            build=build,
            reference=clip_vectors,
            situations=situations({"pool": True}, {"pool": False}),
            tolerance=1e-4,  # of numbers up to 50
        )
        for name, build in {
            "clip": also.clip,
            "siglip": also.siglip,
            "siglip2": too.siglip2,
            "blip": too.blip_matching,
        }.items()
    ),
    *(
        Family(
            name=name,
            task="image-segmentation",
            build=build,
            reference=piped("image-segmentation", drawn_masks),
            situations=situations(
                {"threshold": 0.2},
                {"threshold": 0.3, "mask_threshold": 0.4}
                | ({} if name == "eomt" else {"subtask": "semantic"}),  # the pipeline fails at it
            ),
        )
        for name, build in {**also.SEGMENTERS, **too.MORE["image-segmentation"]}.items()
    ),
    *(
        Family(
            name=name,
            task="depth-estimation",
            build=build,
            reference=piped("depth-estimation", measured),
            # a line of pixels breaks the pipeline; the other two read multiples
            situations=situations({"predicted_depth": True}, least=2 if name == "dpt" else 32),
            compared=without_picture,
        )
        for name, build in also.DEPTHS.items()
    ),
)
