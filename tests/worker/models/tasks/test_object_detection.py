"""Objects in images, against plain transformers, one image at a time."""

import base64
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers as tf
from PIL import Image

from tests.worker.models.answers import ask, close, item
from tests.worker.models.builders.media import picture
from worker.models import Model

pytestmark = pytest.mark.slow


PICTURES = [picture(40, 30, 1), picture(20, 60, 2), picture(90, 90, 3), picture(40, 30, 4)]


def seen(folder: Path, auto: Any, data: str) -> tuple[Any, Any, Any]:
    """What plain transformers gives for one picture: (processor, image, output)."""
    processor = tf.AutoImageProcessor.from_pretrained(folder, backend="pil")
    model = auto.from_pretrained(folder).eval()
    image = Image.open(io.BytesIO(base64.b64decode(data))).convert("RGB")
    with torch.inference_mode():
        return processor, image, model(**processor(images=image, return_tensors="pt"))


@pytest.mark.parametrize("builder", ["yolos", "detr"])
def test_objects_are_found_where_plain_transformers_finds_them(
    builder: str, folder: Callable[..., Path], loaded: Callable[..., Model]
) -> None:
    path = folder(builder)
    answers = ask(loaded("object-detection", path), *PICTURES, threshold=0.2)
    for data, answer in zip(PICTURES, answers, strict=True):
        processor, image, output = seen(path, tf.AutoModelForObjectDetection, data)
        (found,) = processor.post_process_object_detection(
            output, threshold=0.2, target_sizes=[(image.height, image.width)]
        )
        wanted = sorted(
            zip(
                found["scores"].tolist(),
                found["labels"].tolist(),
                found["boxes"].tolist(),
                strict=True,
            ),
            key=lambda one: -one[0],
        )
        assert wanted
        assert [one["score"] for one in answer] == sorted(
            (one["score"] for one in answer), reverse=True
        )
        close(sorted(one["score"] for one in answer), sorted(score for score, _, _ in wanted))
        assert {one["label"] for one in answer} <= {"cat", "dog"}
        boxes = {tuple(one["box"].values()) for one in answer}
        for _, _, box in wanted:
            assert any(
                all(abs(edge - other) <= 1 for edge, other in zip(box, mine, strict=True))
                for mine in boxes
            )


def test_objects_below_the_threshold_are_not_told(
    folder: Callable[..., Path], loaded: Callable[..., Model]
) -> None:
    model = loaded("object-detection", folder("yolos"))
    none, many = model.predict([item(PICTURES[0], threshold=1.0), item(PICTURES[0], threshold=0.0)])
    assert none == []
    assert len(many) == 10
