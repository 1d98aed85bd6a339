"""Image processors: which are loaded, and what is said of those that cannot be."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.worker.models.builders.pictures import copied, refused

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(
    ("name", "package"),
    [("Sam2ImageProcessor", "torchvision"), ("TimmWrapperImageProcessor", "torchvision timm")],
)
def test_a_processor_that_exists_for_torchvision_only_is_refused_with_the_way_out(
    name: str, package: str, folder: Callable[..., Path], tmp_path: Path
) -> None:
    text = refused(copied(folder("vit"), tmp_path, name))
    assert f"`pip install {package}`" in text


def test_a_processor_of_ones_own_and_none_at_all_are_refused_with_the_way_out(
    folder: Callable[..., Path], tmp_path: Path
) -> None:
    copied(folder("vit"), tmp_path)
    file = tmp_path / "preprocessor_config.json"
    file.write_text(
        '{"image_processor_type": "Own", "auto_map": {"AutoImageProcessor": "own.Own"}}'
    )
    assert "code of its own, which workers never run" in refused(tmp_path)
    file.unlink()
    text = refused(tmp_path)
    assert "no preprocessor_config.json" in text
    assert "`processor.save_pretrained(folder)`" in text


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
