"""Pictures and folders that tests of models over images share."""

import base64
import io
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from contract.catalog import ModelSpec
from contract.errors import ModelUnloadable
from worker.models import open_model


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
    spec = ModelSpec(name="tiny", source=str(source), task=task, **options)
    with pytest.raises(ModelUnloadable) as caught:
        open_model(spec).load(spec, "cpu")
    assert "\n" not in str(caught.value)
    return str(caught.value)
