"""Tiny models that read images, one for each family, saved as transformers saves real ones.

Each builder writes a whole model folder and gives its path. Nothing is downloaded.
"""

from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
import transformers as tf

from tests.worker.models.builders.task_models import BERT, detr, labels, made, save, vit

SIDE = 32
FIXED = {"height": SIDE, "width": SIDE}
LABELS = labels(*"abcdefg")
VIT = {"image_size": SIDE, "patch_size": 8, **BERT}
"""Of the whole family of plain vision transformers."""


def processor(family: str, name: str, **options: Any) -> Any:
    """The image processor on PIL of this name."""
    module = import_module(f"transformers.models.{family}.image_processing_pil_{family}")
    return getattr(module, f"{name}ImageProcessorPil")(**options)


def seeded(model: type, config: Any, by: float = 1) -> Any:
    """The model with random weights, `by` times as large as it would begin its training with, and with
    statistics of real numbers in its batch normalisation: untrained ones let every picture explode.
    """
    torch.manual_seed(0)
    built = model(config)
    with torch.no_grad():
        for weights in built.parameters():
            if weights.dim() > 1:
                weights.mul_(by)
    norms = [module for module in built.modules() if isinstance(module, torch.nn.BatchNorm2d)]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # the mean of all that it sees
    if norms:
        with torch.no_grad():
            getattr(built.train(), "vision_model", built)(pixel_values=torch.randn(8, 3, 64, 64))
    for module in built.modules():
        if type(module).__name__.endswith("FrozenBatchNorm2d"):
            module.running_var.fill_(4)
    return built.eval()


def resnet_config(**options: Any) -> Any:
    return tf.ResNetConfig(
        embedding_size=8, hidden_sizes=[8, 8, 8, 16], depths=[1, 1, 1, 1], **options
    )


def beit(folder: Path) -> Path:
    config = tf.BeitConfig(**VIT, use_relative_position_bias=True, **LABELS)
    crop = {"size": FIXED, "crop_size": FIXED, "do_center_crop": True}
    return save(
        folder, made(tf.BeitForImageClassification, config), processor("beit", "Beit", **crop)
    )


def deit(folder: Path) -> Path:
    """With both heads, one of them taught by another model: what the large ones of its kind have."""
    config = tf.DeiTConfig(**VIT, **LABELS)
    model = made(tf.DeiTForImageClassificationWithTeacher, config)
    return save(
        folder, model, processor("deit", "DeiT", size={"height": 36, "width": 36}, crop_size=FIXED)
    )


def dinov2(folder: Path) -> Path:
    """Of no fixed size: positions are interpolated to the picture's."""
    config = tf.Dinov2Config(**VIT, **LABELS)
    size = {"size": {"shortest_edge": SIDE}, "do_center_crop": False}
    return save(
        folder, made(tf.Dinov2ForImageClassification, config), processor("bit", "Bit", **size)
    )


def convnext(folder: Path) -> Path:
    config = tf.ConvNextConfig(hidden_sizes=[8, 8, 16, 16], depths=[1, 1, 1, 1], **LABELS)
    size = {"size": {"shortest_edge": SIDE}}
    return save(
        folder,
        made(tf.ConvNextForImageClassification, config),
        processor("convnext", "ConvNext", **size),
    )


def resnet(folder: Path) -> Path:
    model = seeded(tf.ResNetForImageClassification, resnet_config(**LABELS))
    return save(folder, model, processor("convnext", "ConvNext", size={"shortest_edge": SIDE}))


def swin(folder: Path) -> Path:
    """For several labels at once, so that its scores are each by itself."""
    config = tf.SwinConfig(
        image_size=SIDE,
        patch_size=4,
        embed_dim=8,
        depths=[1, 1],
        num_heads=[2, 2],
        window_size=4,
        problem_type="multi_label_classification",
        **LABELS,
    )
    return save(
        folder, made(tf.SwinForImageClassification, config), processor("vit", "ViT", size=FIXED)
    )


def siglip_classifier(folder: Path) -> Path:
    config = tf.SiglipConfig(vision_config=dict(VIT), text_config=dict(BERT), **LABELS)
    return save(
        folder,
        made(tf.SiglipForImageClassification, config),
        processor("siglip", "Siglip", size=FIXED),
    )


def mobilenet(folder: Path) -> Path:
    """For one number, which is neither softmax's nor sigmoid's."""
    config = tf.MobileNetV2Config(
        depth_multiplier=0.25, image_size=SIDE, problem_type="regression", **labels("beauty")
    )
    model = seeded(tf.MobileNetV2ForImageClassification, config, 4)
    size = {"size": {"shortest_edge": 40}, "crop_size": FIXED}
    return save(folder, model, processor("mobilenet_v2", "MobileNetV2", **size))


DETECTOR = {
    "d_model": 32,
    "encoder_layers": 1,
    "decoder_layers": 2,
    "encoder_attention_heads": 2,
    "decoder_attention_heads": 2,
    "encoder_ffn_dim": 37,
    "decoder_ffn_dim": 37,
    **labels("cat", "dog", "car"),
}
EDGES = {"shortest_edge": 64, "longest_edge": 96}


def yolos(folder: Path) -> Path:
    config = tf.YolosConfig(
        image_size=[64, 96], patch_size=16, num_detection_tokens=10, **BERT, **labels("cat", "dog")
    )
    return save(
        folder,
        seeded(tf.YolosForObjectDetection, config, 6),
        processor("yolos", "Yolos", size=EDGES),
    )


def conditional_detr(folder: Path) -> Path:
    config = tf.ConditionalDetrConfig(
        use_timm_backbone=False,
        use_pretrained_backbone=False,
        backbone=None,
        backbone_config=resnet_config(out_features=["stage4"]),
        num_queries=40,
        **DETECTOR,
    )
    return save(
        folder,
        seeded(tf.ConditionalDetrForObjectDetection, config, 4),
        processor("conditional_detr", "ConditionalDetr", size=EDGES),
    )


def deformable_detr(folder: Path) -> Path:
    config = tf.DeformableDetrConfig(
        use_timm_backbone=False,
        use_pretrained_backbone=False,
        backbone=None,
        backbone_config=resnet_config(out_features=["stage2", "stage3", "stage4"]),
        num_feature_levels=3,
        num_queries=40,
        **DETECTOR,
    )
    return save(
        folder,
        seeded(tf.DeformableDetrForObjectDetection, config, 4),
        processor("deformable_detr", "DeformableDetr", size=EDGES),
    )


def table_transformer(folder: Path) -> Path:
    config = tf.TableTransformerConfig(
        use_timm_backbone=False,
        use_pretrained_backbone=False,
        backbone=None,
        backbone_config=resnet_config(out_features=["stage4"]),
        num_queries=10,
        **DETECTOR,
    )
    model = seeded(tf.TableTransformerForObjectDetection, config, 4)
    return save(folder, model, processor("detr", "Detr", size=EDGES))


def rt_detr(folder: Path) -> Path:
    backbone = tf.RTDetrResNetConfig(
        embedding_size=8,
        hidden_sizes=[8, 8, 16, 16],
        depths=[1, 1, 1, 1],
        layer_type="basic",
        out_features=["stage2", "stage3", "stage4"],
    )
    config = tf.RTDetrConfig(
        backbone_config=backbone,
        encoder_hidden_dim=32,
        encoder_in_channels=[8, 16, 16],
        encoder_ffn_dim=37,
        encoder_attention_heads=2,
        decoder_in_channels=[32, 32, 32],
        num_queries=20,
        num_denoising=0,
        anchor_image_size=None,
        **{name: value for name, value in DETECTOR.items() if name.startswith("d")},
        **labels("cat", "dog", "car"),
    )
    model = seeded(tf.RTDetrForObjectDetection, config, 2)
    return save(folder, model, processor("rt_detr", "RTDetr", size={"height": 64, "width": 64}))


CLASSIFIERS: dict[str, Callable[[Path], Path]] = {
    "vit": vit,
    "beit": beit,
    "deit": deit,
    "dinov2": dinov2,
    "convnext": convnext,
    "resnet": resnet,
    "swin of several labels": swin,
    "siglip": siglip_classifier,
    "mobilenet_v2 of one number": mobilenet,
}
DETECTORS: dict[str, Callable[[Path], Path]] = {
    "yolos": yolos,
    "detr": detr,
    "conditional_detr": conditional_detr,
    "deformable_detr": deformable_detr,
    "table-transformer": table_transformer,
    "rt_detr": rt_detr,
}
