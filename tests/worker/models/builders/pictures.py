"""Pictures and folders that tests of models over images share."""

import base64
import io
from pathlib import Path
from typing import Any

from PIL import Image

from tests.worker.models.answers import refusal


def white(width: int, height: int) -> str:
    buffer = io.BytesIO()
    Image.new("RGB", (width, height), "white").save(buffer, "PNG")
    return base64.b64encode(buffer.getvalue()).decode()


def opened(text: str) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(text)))


def copied(source: Path, target: Path, name: str | None = None) -> Path:
    """The folder, with an image processor of this name."""
    for file in source.iterdir():
        (target / file.name).write_bytes(file.read_bytes())
    if name is not None:
        (target / "preprocessor_config.json").write_text(f'{{"image_processor_type": "{name}"}}')
    return target


def refused(source: Path, task: str = "image-classification", **options: Any) -> str:
    """What is said of a folder that does not become ready."""
    return refusal(source, task, **options)
