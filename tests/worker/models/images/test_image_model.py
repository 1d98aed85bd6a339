"""What holds for every task over images, beside what the table of families says."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers as tf

from contract.errors import BadItem, ModelUnloadable, OutputInvalid
from tests.worker.models.answers import ask, close, item
from tests.worker.models.builders.media import picture
from tests.worker.models.builders.pictures import copied, opened, refused, white
from worker.models import Model
from worker.models.tasks import image_segmentation as segmentation

pytestmark = pytest.mark.slow

PICTURES = [picture(40, 30, 1), picture(40, 30, 2)]


@contextmanager
def spoiled(model: Any) -> Iterator[None]:
    """The model computes NaN for white pictures."""

    def spoil(module: Any, args: Any, kwargs: Any, output: Any) -> None:
        rows = kwargs["pixel_values"].flatten(1).mean(1) > 0.9
        for value in output.values():
            if isinstance(value, torch.Tensor) and len(value) == len(rows):
                value[rows] = float("nan")

    hook = model._images.model.register_forward_hook(spoil, with_kwargs=True)
    try:
        yield
    finally:
        hook.remove()


TASKS: dict[str, tuple[str, dict[str, Any]]] = {
    "image-classification": ("vit", {}),
    "object-detection": ("detr", {"threshold": 0.2}),
    "zero-shot-image-classification": ("clip", {"candidate_labels": ["cat", "dog"]}),
    "image-feature-extraction": ("dinov2_body", {"pool": True}),
    "image-segmentation": ("mask2former", {"threshold": 0.2}),
    "depth-estimation": ("depth_anything", {}),
}


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The folder of a model by its builder, built on first use."""
    from tests.worker.models.builders import (
        image_models,
        pixel_and_label_models,
        task_models,
        unusual_image_models,
    )

    built: dict[str, Path] = {}

    def get(builder: str) -> Path:
        if builder not in built:
            target = tmp_path_factory.mktemp(builder) / "model"
            makers = (task_models, image_models, pixel_and_label_models, unusual_image_models)
            make = next(getattr(area, builder) for area in makers if hasattr(area, builder))
            built[builder] = make(target)
        return built[builder]

    return get


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
    from worker.models import open_model
    from worker.models.images import image_model

    forward = image_model.ImageModel.forward

    def spoilt(self: Any, inputs: Any, call: Any = None) -> Any:
        output = forward(self, inputs, call)
        numbers = {
            name: value * float("nan")
            for name, value in output.items()
            if isinstance(value, torch.Tensor)
        }
        return type(output)(**numbers)

    monkeypatch.setattr(image_model.ImageModel, "forward", spoilt)
    spec = ModelSpec(name="tiny", source=str(folder(TASKS[task][0])), task=task)
    with pytest.raises(ModelUnloadable, match="it cannot answer a picture: OutputInvalid"):
        open_model(spec).load(spec, "cpu")


def test_a_depth_is_drawn_as_the_pipeline_draws_it(
    folder: Callable[..., Path], loaded: Callable[..., Model]
) -> None:
    processor = tf.AutoImageProcessor.from_pretrained(folder("dpt"), backend="pil")
    pipeline = tf.pipeline("depth-estimation", str(folder("dpt")), image_processor=processor)
    wanted = np.asarray(pipeline(opened(PICTURES[0]))["depth"]).astype(int)
    (found,) = ask(loaded("depth-estimation", folder("dpt")), PICTURES[0])
    assert "predicted_depth" not in found
    assert found["minimum"] < found["maximum"]
    assert np.abs(np.asarray(opened(found["depth"])) - wanted).max() <= 1


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (9, 1)])
def test_a_line_of_pixels_has_a_depth_of_its_size(
    size: tuple[int, int], folder: Callable[..., Path], loaded: Callable[..., Model]
) -> None:
    (found,) = ask(loaded("depth-estimation", folder("dpt")), picture(*size), predicted_depth=True)
    assert opened(found["depth"]).size == size
    assert found["predicted_depth"].shape == size[::-1]


def test_a_depth_that_is_the_same_everywhere_is_black(
    folder: Callable[..., Path], loaded: Callable[..., Model]
) -> None:
    (found,) = ask(loaded("depth-estimation", folder("dpt")), picture(1, 1))
    assert found["minimum"] == found["maximum"]
    assert opened(found["depth"]).getpixel((0, 0)) == 0


def test_an_image_too_small_for_a_model_is_said_to_be_of_its_size(
    folder: Callable[..., Path], loaded: Callable[..., Model]
) -> None:
    small, good = ask(loaded("depth-estimation", folder("glpn")), picture(40, 30), picture(64, 32))
    assert type(small) is BadItem
    assert "40 x 30 pixels cannot be prepared: it is too small" in str(small)
    assert opened(good["depth"]).size == (64, 32)


def test_a_strip_that_is_scaled_to_nothing_is_said_to_be_one(
    folder: Callable[..., Path], loaded: Callable[..., Model], monkeypatch: pytest.MonkeyPatch
) -> None:
    model: Any = loaded("object-detection", folder("yolos"))
    for width, height in ((1, 100), (3000, 30)):
        (strip,) = ask(model, picture(width, height))
        assert type(strip) is BadItem
        assert f"{width} x {height} pixels cannot be prepared" in str(strip)
        assert "too long a strip" in str(strip)
    monkeypatch.setattr(model._images, "processor", lambda **_: 1 / 0)
    (bad,) = ask(model, picture(1, 100))
    assert str(bad).endswith("cannot be prepared: division by zero")  # whatever its size


def test_a_subtask_that_a_model_cannot_do_is_refused_with_those_that_it_can(
    folder: Callable[..., Path], loaded: Callable[..., Model]
) -> None:
    model = loaded("image-segmentation", folder("segformer"))
    (found,) = ask(model, PICTURES[0], subtask="panoptic")
    assert type(found) is BadItem
    assert "`subtask` is one of semantic for this model" in str(found)


def test_what_the_pipeline_cannot_do_with_a_model_is_done_or_refused_by_name(
    folder: Callable[..., Path], loaded: Callable[..., Model]
) -> None:
    model = loaded("image-segmentation", folder("eomt"))
    (semantic,) = ask(model, PICTURES[0], subtask="semantic")
    assert {opened(one["mask"]).size for one in semantic} == {(40, 30)}
    (instances,) = ask(model, PICTURES[0], subtask="instance", threshold=0.0)
    assert all(0 <= one["score"] <= 1 for one in instances)
    (bad,) = ask(model, PICTURES[0], subtask="instance", mask_threshold=0.4)
    assert type(bad) is BadItem
    assert "`mask_threshold` is not known" in str(bad)


def test_a_model_told_its_task_in_words_is_refused_by_name(
    folder: Callable[..., Path], tmp_path: Path
) -> None:
    tf.OneFormerConfig(backbone_config=tf.SwinConfig()).save_pretrained(tmp_path)
    (tmp_path / "model.safetensors").write_bytes((folder("vit") / "model.safetensors").read_bytes())
    assert "a oneformer model is told its task in words" in refused(tmp_path, "image-segmentation")


def test_a_depth_that_torchvision_computes_is_refused_without_it(
    folder: Callable[..., Path], tmp_path: Path
) -> None:
    tf.ZoeDepthConfig().save_pretrained(tmp_path)
    (tmp_path / "model.safetensors").write_bytes((folder("vit") / "model.safetensors").read_bytes())
    assert "`pip install torchvision`" in refused(tmp_path, "depth-estimation")


@pytest.mark.parametrize("task", TASKS)
def test_a_model_whose_config_asks_for_tuples_is_served(
    task: str, folder: Callable[..., Path], loaded: Callable[..., Model], tmp_path: Path
) -> None:
    builder, parameters = TASKS[task]
    copied(folder(builder), tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    for part in (config, *config.values()):
        if part is config or (isinstance(part, dict) and "model_type" in part):
            part["return_dict"] = False
    (tmp_path / "config.json").write_text(json.dumps(config))
    wanted = ask(loaded(task, folder(builder)), PICTURES[0], **parameters)
    close(ask(loaded(task, tmp_path), PICTURES[0], **parameters), wanted)


def test_a_label_that_is_no_text_fails_alone(
    folder: Callable[..., Path], loaded: Callable[..., Model]
) -> None:
    model = loaded("zero-shot-image-classification", folder("clip"))
    good = item(PICTURES[0], candidate_labels=["a", "cat"])
    bad = item(PICTURES[0], candidate_labels=["\ud800", "cat"])
    first, second = model.predict([good, bad])
    assert type(second) is BadItem
    assert len(first) == 2


@pytest.mark.parametrize("subtask", ["panoptic", "instance", "semantic"])
def test_more_pixels_than_the_masks_of_an_image_may_have_are_refused(
    subtask: str,
    folder: Callable[..., Path],
    loaded: Callable[..., Model],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = loaded("image-segmentation", folder("mask2former"))
    parameters = {"threshold": 0.2, "subtask": subtask}
    monkeypatch.setattr(segmentation, "MAX_NUMBERS", 40 * 30)  # one mask of it
    bad, good = ask(model, picture(40, 31, 1), picture(2, 2), **parameters)
    assert type(bad) is BadItem
    assert "40 x 31 pixels, which is too many for" in str(bad)
    assert isinstance(good, list)


def test_all_segments_of_an_image_are_masks_of_its_size(
    folder: Callable[..., Path], loaded: Callable[..., Model]
) -> None:
    (found,) = ask(loaded("image-segmentation", folder("segformer")), PICTURES[0])
    masks = np.stack([np.asarray(opened(one["mask"])) for one in found])
    assert masks.shape[1:] == (30, 40)
    assert set(np.unique(masks)) == {0, 255}
    assert (masks.astype(int).sum(axis=0) == 255).all()  # each pixel has one label
    assert {one["score"] for one in found} == {None}


def test_a_vector_of_a_whole_image_whose_weights_lack_is_refused_and_patches_are_not(
    folder: Callable[..., Path], loaded: Callable[..., Model]
) -> None:
    model = loaded("image-feature-extraction", folder("vit"))  # a classifier has no pooler
    (patches,) = ask(model, PICTURES[0])
    assert patches.shape == (17, 32)
    (pooled,) = ask(model, PICTURES[0], pool=True)
    assert type(pooled) is BadItem
    assert "leave `pool` out" in str(pooled)


def test_labels_of_their_own_share_passes_only_with_the_same_labels(
    folder: Callable[..., Path], loaded: Callable[..., Model], monkeypatch: pytest.MonkeyPatch
) -> None:
    model: Any = loaded("zero-shot-image-classification", folder("clip"))
    sizes, forward = [], model._images.forward
    monkeypatch.setattr(
        model._images,
        "forward",
        lambda some: sizes.append(len(some["pixel_values"])) or forward(some),
    )
    one, other = {"candidate_labels": ["cat", "dog"]}, {"candidate_labels": ["dog", "cat"]}
    found = model.predict([item(given, **labels) for given in PICTURES for labels in (one, other)])
    assert sizes == [2, 2]
    assert [one["label"] for one in found[0]] == [one["label"] for one in found[1]]


def test_a_label_with_a_token_that_the_model_has_not_fails_alone(
    folder: Callable[..., Path], loaded: Callable[..., Model], monkeypatch: pytest.MonkeyPatch
) -> None:
    model: Any = loaded("zero-shot-image-classification", folder("chinese_clip"))
    monkeypatch.setattr(model._text_inputs, "_words", 12)
    good = item(PICTURES[0], candidate_labels=["a", "cat"], hypothesis_template="{}")
    bad = item(PICTURES[0], candidate_labels=["paris"], hypothesis_template="{}")
    first, second = model.predict([good, bad])
    assert type(second) is BadItem
    assert "the model has not" in str(second)
    assert len(first) == 2


@pytest.mark.parametrize("task", TASKS)
def test_an_image_that_nobody_waits_for_is_not_looked_at(
    task: str, folder: Callable[..., Path], loaded: Callable[..., Model]
) -> None:
    builder, parameters = TASKS[task]
    model = loaded(task, folder(builder))
    wanted, unwanted = item(PICTURES[0], **parameters), item("no image at all", **parameters)
    unwanted.stopped.set()
    found, nothing = model.predict([wanted, unwanted])
    close([found], ask(model, PICTURES[0], **parameters))
    assert nothing is None
