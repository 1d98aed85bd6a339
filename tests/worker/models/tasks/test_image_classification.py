"""Labels for images, against plain transformers, one image at a time."""

import base64
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers as tf
from PIL import Image

from contract.errors import BadItem
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


def test_an_image_is_classified_by_its_five_likeliest_labels(
    folder: Callable[..., Path], loaded: Callable[..., Model]
) -> None:
    path = folder("vit")
    answers = ask(loaded("image-classification", path), *PICTURES)
    for data, answer in zip(PICTURES, answers, strict=True):
        _, _, output = seen(path, tf.AutoModelForImageClassification, data)
        scores, labels = torch.softmax(output.logits[0], dim=-1).topk(5)
        close([one["score"] for one in answer], scores.tolist())
        assert [one["label"] for one in answer] == ["abcdefg"[n] for n in labels.tolist()]


def test_more_or_fewer_labels_are_given_as_asked(
    folder: Callable[..., Path], loaded: Callable[..., Model]
) -> None:
    model = loaded("image-classification", folder("vit"))
    one, all_of_them = model.predict([item(PICTURES[0], top_k=1), item(PICTURES[0], top_k=1000)])
    assert (len(one), len(all_of_them)) == (1, 7)
    close(one, all_of_them[:1])


def test_an_address_or_a_path_is_never_opened(
    folder: Callable[..., Path], loaded: Callable[..., Model], tmp_path: Path
) -> None:
    (tmp_path / "cat").write_bytes(base64.b64decode(PICTURES[0]))
    model = loaded("image-classification", folder("vit"))
    outputs = ask(model, "https://example.com/cat.png", str(tmp_path / "cat"), PICTURES[0])
    assert [isinstance(output, BadItem) for output in outputs] == [True, True, False]


def test_passes_of_images_hold_no_more_patches_than_allowed(
    folder: Callable[..., Path], loaded: Callable[..., Model], monkeypatch: pytest.MonkeyPatch
) -> None:
    model: Any = loaded("image-classification", folder("vit"), max_batch_tokens=8)
    sizes, forward = [], model._images.forward
    monkeypatch.setattr(
        model._images,
        "forward",
        lambda some: sizes.append(len(some["pixel_values"])) or forward(some),
    )
    ask(model, *PICTURES)  # 4 patches each
    assert sizes == [2, 2]
    sizes.clear()
    small: Any = loaded("image-classification", folder("vit"), max_batch_size=3)
    monkeypatch.setattr(
        small._images,
        "forward",
        lambda some: sizes.append(len(some["pixel_values"])) or forward(some),
    )
    ask(small, PICTURES)
    assert sizes == [3, 1]
