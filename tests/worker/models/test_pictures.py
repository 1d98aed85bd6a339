"""What holds for every task over images, beside what the table of families says."""

import base64
import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from answers import ask, close
from media_made import picture
from PIL import Image

from contract.errors import ModelUnloadable, OutputInvalid
from worker.models import Model

pytestmark = pytest.mark.slow

PICTURES = [picture(40, 30, 1), picture(40, 30, 2)]


def white(width: int, height: int) -> str:
    buffer = io.BytesIO()
    Image.new("RGB", (width, height), "white").save(buffer, "PNG")
    return base64.b64encode(buffer.getvalue()).decode()


@contextmanager
def spoiled(model: Any) -> Iterator[None]:
    """The model computes NaN for white pictures."""

    def spoil(module: Any, args: Any, kwargs: Any, output: Any) -> None:
        rows = kwargs["pixel_values"].flatten(1).mean(1) > 0.9
        for value in output.values():
            if isinstance(value, torch.Tensor) and value.is_floating_point():
                value[rows] = float("nan")

    hook = model._images.model.register_forward_hook(spoil, with_kwargs=True)
    try:
        yield
    finally:
        hook.remove()


TASKS: dict[str, tuple[str, dict[str, Any]]] = {
    "image-classification": ("vit", {}),
    "object-detection": ("detr", {"threshold": 0.2}),
}


@pytest.mark.parametrize("task", TASKS)
def test_an_answer_made_of_nan_is_none_and_its_neighbours_are_untouched(
    task: str, folder: Callable[..., Path], loaded: Callable[..., Model]
) -> None:
    builder, parameters = TASKS[task]
    model = loaded(task, folder(builder))
    wanted = ask(model, *PICTURES, **parameters)
    with spoiled(model):
        first, bad, last, bulk = ask(
            model,
            PICTURES[0],
            white(40, 30),
            PICTURES[1],
            [PICTURES[0], white(40, 30)],
            **parameters,
        )
    close([first, last], wanted)
    assert type(bad) is type(bulk) is OutputInvalid
    assert "NaN" in str(bad)


@pytest.mark.parametrize("task", TASKS)
def test_a_model_that_computes_nan_does_not_become_ready(
    task: str, folder: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    from contract.catalog import ModelSpec
    from worker.models import open_model, vision

    forward = vision.Images.forward

    def spoilt(self: Any, inputs: Any) -> Any:
        output = forward(self, inputs)
        output.logits = output.logits * float("nan")
        return output

    monkeypatch.setattr(vision.Images, "forward", spoilt)
    spec = ModelSpec(name="tiny", source=str(folder(TASKS[task][0])), task=task)
    with pytest.raises(ModelUnloadable, match="it cannot answer a picture: OutputInvalid"):
        open_model(spec).load(spec, "cpu")


@pytest.mark.parametrize(
    ("name", "package"),
    [("Sam2ImageProcessor", "torchvision"), ("TimmWrapperImageProcessor", "torchvision timm")],
)
def test_a_processor_that_exists_for_torchvision_only_is_refused_with_the_way_out(
    name: str, package: str, folder: Callable[..., Path], tmp_path: Path
) -> None:
    text = refused(copied(folder("vit"), tmp_path, name))
    assert f"`pip install {package}`" in text


def test_a_torchvision_that_is_not_made_for_this_torch_is_said_to_be_it(
    folder: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    import transformers

    def broken(*args: Any, **kwargs: Any) -> Any:
        raise RuntimeError("operator torchvision::nms does not exist")

    monkeypatch.setattr(transformers.AutoImageProcessor, "from_pretrained", broken)
    text = refused(folder("vit"))
    assert "not made for this torch" in text
    assert "nms does not exist" in text


def copied(source: Path, target: Path, name: str) -> Path:
    """The folder with an image processor of another name."""
    for file in source.iterdir():
        (target / file.name).write_bytes(file.read_bytes())
    (target / "preprocessor_config.json").write_text(f'{{"image_processor_type": "{name}"}}')
    return target


def refused(source: Path) -> str:
    from contract.catalog import ModelSpec
    from worker.models import open_model

    spec = ModelSpec(name="tiny", source=str(source), task="image-classification")
    with pytest.raises(ModelUnloadable) as caught:
        open_model(spec).load(spec, "cpu")
    assert "\n" not in str(caught.value)
    return str(caught.value)
