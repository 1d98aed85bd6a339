"""Tiny models that read images, of families that differ from another one in their layers only.

Each builder writes a whole model folder and gives its path. Nothing is downloaded.
"""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import transformers as tf

from tests.worker.models.builders.image_models import (
    DETECTOR,
    EDGES,
    FIXED,
    LABELS,
    SIDE,
    VIT,
    processor,
    resnet_config,
    seeded,
)
from tests.worker.models.builders.pixel_and_label_models import TOWERS
from tests.worker.models.builders.task_models import save

PLAIN = ("vit", "ViT", {"size": FIXED})
CROPPED = ("convnext", "ConvNext", {"size": {"shortest_edge": SIDE}})
STAGES: dict[str, Any] = {"depths": [1, 1, 1, 1]}


def classifier(
    name: str, config: Mapping[str, Any], by: float, reader: tuple[str, str, Any], folder: Path
) -> Path:
    """A classifier of the family whose classes begin with `name`."""
    made = getattr(tf, f"{name}Config")(**config, **LABELS)
    model = seeded(getattr(tf, f"{name}ForImageClassification"), made, by)
    family, kind, options = reader
    return save(folder, model, processor(family, kind, **options))


CLASSIFIERS: dict[str, tuple[str, dict[str, Any], float, tuple[str, str, Any]]] = {
    "vit_msn": ("ViTMSN", VIT, 4, PLAIN),
    "ijepa": ("IJepa", VIT, 4, PLAIN),
    "dinov2_with_registers": (
        "Dinov2WithRegisters",
        {**VIT, "num_register_tokens": 2},
        4,
        ("bit", "Bit", {"size": {"shortest_edge": SIDE}, "do_center_crop": False}),
    ),
    "convnextv2": ("ConvNextV2", {"hidden_sizes": [8, 8, 16, 16], **STAGES}, 4, CROPPED),
    "regnet": (
        "RegNet",
        {"embedding_size": 8, "hidden_sizes": [8, 8, 16, 16], "groups_width": 4, **STAGES},
        1,
        CROPPED,
    ),
    "poolformer": (
        "PoolFormer",
        {"hidden_sizes": [8, 8, 16, 16], **STAGES},
        4,
        ("poolformer", "PoolFormer", {"size": {"shortest_edge": SIDE}, "crop_size": FIXED}),
    ),
    "mobilenet_v1": (
        "MobileNetV1",
        {"depth_multiplier": 0.25, "image_size": SIDE, "min_depth": 8},
        1,
        ("mobilenet_v1", "MobileNetV1", {"size": {"shortest_edge": 40}, "crop_size": FIXED}),
    ),
    "mobilevitv2": (
        "MobileViTV2",
        {"image_size": 64, "width_multiplier": 0.25},
        1,
        ("vit", "ViT", {"size": {"height": 64, "width": 64}}),
    ),
    "focalnet": (
        "FocalNet",
        {
            "image_size": SIDE,
            "patch_size": 4,
            "embed_dim": 8,
            "depths": [1, 1],
            "hidden_sizes": [8, 16],
            "focal_levels": [2, 2],
            "focal_windows": [3, 3],
        },
        4,
        PLAIN,
    ),
    "hiera": (
        "Hiera",
        {
            "image_size": [SIDE, SIDE],
            "embed_dim": 8,
            "depths": [1, 1, 1, 1],
            "num_heads": [1, 1, 2, 2],
            "patch_size": [7, 7],
        },
        4,
        PLAIN,
    ),
    "swiftformer": (
        "SwiftFormer",
        {"image_size": 64, "embed_dims": [8, 8, 16, 16], **STAGES},
        1,
        ("vit", "ViT", {"size": {"height": 64, "width": 64}}),
    ),
    "clip": ("CLIP", {"vision_config": {**VIT, **TOWERS}}, 4, PLAIN),
}


def dab_detr(folder: Path) -> Path:
    config = tf.DabDetrConfig(
        use_timm_backbone=False,
        use_pretrained_backbone=False,
        backbone=None,
        backbone_config=resnet_config(out_features=["stage4"]),
        num_queries=8,
        **{**DETECTOR, "hidden_size": 32},
    )
    model = seeded(tf.DabDetrForObjectDetection, config, 8)
    return save(folder, model, processor("conditional_detr", "ConditionalDetr", size=EDGES))


DETECTORS: dict[str, Callable[[Path], Path]] = {"dab-detr": dab_detr}
BUILDERS: dict[str, dict[str, Callable[[Path], Path]]] = {
    "image-classification": {name: partial(classifier, *how) for name, how in CLASSIFIERS.items()},
    "object-detection": DETECTORS,
}
