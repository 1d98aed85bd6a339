"""Tiny models that read images beside texts, or say something of every pixel, one for each family.

Each builder writes a whole model folder and gives its path. Nothing is downloaded.
"""

import json
from collections.abc import Callable
from pathlib import Path

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
from tests.worker.models.builders.task_models import (
    CHARACTERS,
    WORDS,
    bert_tokenizer,
    byte_tokenizer,
    save,
)

VOCABULARY = 5 + len(WORDS)
SMALL = {"num_hidden_layers": 2, "num_attention_heads": 2}
TOWERS = {"hidden_size": 32, "intermediate_size": 37, **SMALL}


def clip(folder: Path) -> Path:
    ends = [f"{character}</w>" for character in CHARACTERS]
    tokenizer = byte_tokenizer(
        tf.CLIPTokenizer, *ends, "<|startoftext|>", "<|endoftext|>", model_max_length=77
    )
    text = {
        "vocab_size": len(tokenizer),
        "max_position_embeddings": 77,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
    }
    config = tf.CLIPConfig(
        text_config={**TOWERS, **text}, vision_config={**VIT, **TOWERS}, projection_dim=16
    )
    size = {"size": {"shortest_edge": SIDE}, "crop_size": FIXED}
    return save(
        folder, seeded(tf.CLIPModel, config, 4), tokenizer, processor("clip", "CLIP", **size)
    )


def siglip(folder: Path) -> Path:
    """Its tokenizer stands for the one of sentencepiece: it marks no padding either."""
    text = {"vocab_size": VOCABULARY, "max_position_embeddings": 64}
    config = tf.SiglipConfig(text_config={**TOWERS, **text}, vision_config={**VIT, **TOWERS})
    model = seeded(tf.SiglipModel, config, 4)
    save(folder, model, bert_tokenizer(), processor("siglip", "Siglip", size=FIXED))
    file = folder / "tokenizer_config.json"
    file.write_text(
        json.dumps({**json.loads(file.read_text()), "model_input_names": ["input_ids"]})
    )
    return folder


def chinese_clip(folder: Path) -> Path:
    text = {"vocab_size": VOCABULARY, "max_position_embeddings": 64}
    config = tf.ChineseCLIPConfig(
        text_config={**TOWERS, **text}, vision_config={**VIT, **TOWERS}, projection_dim=16
    )
    crop = {"size": FIXED, "crop_size": FIXED}
    return save(
        folder,
        seeded(tf.ChineseCLIPModel, config, 4),
        bert_tokenizer(),
        processor("chinese_clip", "ChineseCLIP", **crop),
    )


def align(folder: Path) -> Path:
    text = {"vocab_size": VOCABULARY, "max_position_embeddings": 64}
    vision = {
        "image_size": SIDE,
        "hidden_dim": 32,
        "depthwise_padding": [],
        "width_coefficient": 0.1,
        "depth_coefficient": 0.1,
    }
    config = tf.AlignConfig(text_config={**TOWERS, **text}, vision_config=vision, projection_dim=32)
    crop = {"size": FIXED, "do_center_crop": False}
    return save(
        folder,
        seeded(tf.AlignModel, config, 3),
        bert_tokenizer(),
        processor("efficientnet", "EfficientNet", **crop),
    )


def vit_body(folder: Path) -> Path:
    return save(
        folder, seeded(tf.ViTModel, tf.ViTConfig(**VIT), 4), processor("vit", "ViT", size=FIXED)
    )


def dinov2_body(folder: Path) -> Path:
    size = {"size": {"shortest_edge": SIDE}, "do_center_crop": False}
    model = seeded(tf.Dinov2Model, tf.Dinov2Config(**VIT), 4)
    return save(folder, model, processor("bit", "Bit", **size))


def resnet_body(folder: Path) -> Path:
    model = seeded(tf.ResNetModel, resnet_config())
    return save(folder, model, processor("convnext", "ConvNext", size={"shortest_edge": SIDE}))


def clip_vision(folder: Path) -> Path:
    model = seeded(tf.CLIPVisionModel, tf.CLIPVisionConfig(**{**VIT, **TOWERS}), 4)
    size = {"size": {"shortest_edge": SIDE}, "crop_size": FIXED}
    return save(folder, model, processor("clip", "CLIP", **size))


def segformer(folder: Path) -> Path:
    config = tf.SegformerConfig(
        depths=[1, 1, 1, 1],
        hidden_sizes=[8, 8, 16, 16],
        num_attention_heads=[1, 1, 2, 2],
        decoder_hidden_size=16,
        **LABELS,
    )
    model = seeded(tf.SegformerForSemanticSegmentation, config, 4)
    return save(
        folder, model, processor("segformer", "Segformer", size={"height": 64, "width": 64})
    )


def beit_semantic(folder: Path) -> Path:
    config = tf.BeitConfig(
        **{**VIT, "num_hidden_layers": 4},
        use_relative_position_bias=True,
        out_indices=[1, 2, 3, 4],
        pool_scales=[1, 2],
        **LABELS,
    )
    model = seeded(tf.BeitForSemanticSegmentation, config, 2)
    return save(
        folder, model, processor("beit", "Beit", size=FIXED, crop_size=FIXED, do_center_crop=False)
    )


def mobilevit_semantic(folder: Path) -> Path:
    config = tf.MobileViTConfig(
        image_size=64,
        hidden_sizes=[16, 16, 16],
        neck_hidden_sizes=[8, 8, 8, 8, 8, 8, 16],
        num_attention_heads=2,
        aspp_out_channels=16,
        **LABELS,
    )
    side = {"height": 64, "width": 64}
    model = seeded(tf.MobileViTForSemanticSegmentation, config)
    return save(
        folder,
        model,
        processor("mobilevit", "MobileViT", size={"shortest_edge": 72}, crop_size=side),
    )


def maskformer(folder: Path) -> Path:
    backbone = tf.SwinConfig(
        image_size=64,
        patch_size=4,
        embed_dim=8,
        depths=[1, 1, 1, 1],
        num_heads=[1, 1, 1, 1],
        window_size=4,
        out_features=["stage1", "stage2", "stage3", "stage4"],
    )
    decoder = tf.DetrConfig(**{**DETECTOR, "num_queries": 12})
    config = tf.MaskFormerConfig(
        fpn_feature_size=32,
        mask_feature_size=32,
        backbone_config=backbone,
        decoder_config=decoder,
        **LABELS,
    )
    model = seeded(tf.MaskFormerForInstanceSegmentation, config, 3)
    sizes = {"size": {"shortest_edge": 64, "longest_edge": 96}, "size_divisor": 32}
    return save(folder, model, processor("maskformer", "MaskFormer", **sizes))


def mask2former(folder: Path) -> Path:
    backbone = tf.SwinConfig(
        image_size=64,
        patch_size=4,
        embed_dim=8,
        depths=[1, 1, 1, 1],
        num_heads=[1, 1, 1, 1],
        window_size=4,
        out_features=["stage1", "stage2", "stage3", "stage4"],
    )
    config = tf.Mask2FormerConfig(
        backbone_config=backbone,
        feature_size=32,
        mask_feature_size=32,
        hidden_dim=32,
        encoder_feedforward_dim=37,
        encoder_layers=1,
        decoder_layers=3,
        num_attention_heads=2,
        dim_feedforward=37,
        num_queries=12,
        **LABELS,
    )
    model = seeded(tf.Mask2FormerForUniversalSegmentation, config, 3)
    return save(
        folder, model, processor("mask2former", "Mask2Former", size={"height": 64, "width": 64})
    )


def detr_panoptic(folder: Path) -> Path:
    config = tf.DetrConfig(
        use_timm_backbone=False,
        use_pretrained_backbone=False,
        backbone=None,
        backbone_config=resnet_config(out_features=["stage1", "stage2", "stage3", "stage4"]),
        num_queries=12,
        **{**DETECTOR, "encoder_attention_heads": 8, "decoder_attention_heads": 8},
    )
    model = seeded(tf.DetrForSegmentation, config, 4)
    return save(folder, model, processor("detr", "Detr", size=EDGES))


def dpt(folder: Path) -> Path:
    config = tf.DPTConfig(
        **{**VIT, "num_hidden_layers": 4},
        backbone_out_indices=[0, 1, 2, 3],
        neck_hidden_sizes=[8, 8, 16, 16],
        fusion_hidden_size=16,
        is_hybrid=False,
    )
    model = seeded(tf.DPTForDepthEstimation, config, 4)
    return save(folder, model, processor("dpt", "DPT", size=FIXED))


def glpn(folder: Path) -> Path:
    """Its pictures keep their size, but for what is over a multiple of 32."""
    config = tf.GLPNConfig(
        depths=[1, 1, 1, 1],
        hidden_sizes=[8, 8, 16, 16],
        num_attention_heads=[1, 1, 2, 2],
        decoder_hidden_size=8,
    )
    return save(folder, seeded(tf.GLPNForDepthEstimation, config, 4), processor("glpn", "GLPN"))


def depth_anything(folder: Path) -> Path:
    """It keeps the picture's proportions."""
    backbone = tf.Dinov2Config(
        **{**VIT, "num_hidden_layers": 4},
        out_features=["stage1", "stage2", "stage3", "stage4"],
        reshape_hidden_states=False,
        apply_layernorm=True,
    )
    config = tf.DepthAnythingConfig(
        backbone_config=backbone,
        patch_size=8,
        reassemble_hidden_size=32,
        reassemble_factors=[4, 2, 1, 0.5],
        neck_hidden_sizes=[8, 8, 16, 16],
        fusion_hidden_size=16,
        head_hidden_size=8,
    )
    model = seeded(tf.DepthAnythingForDepthEstimation, config, 4)
    sizes = {"size": FIXED, "keep_aspect_ratio": True, "ensure_multiple_of": 8}
    return save(folder, model, processor("dpt", "DPT", **sizes))


ZERO_SHOT: dict[str, Callable[[Path], Path]] = {
    "clip": clip,
    "siglip": siglip,
    "chinese_clip": chinese_clip,
    "align": align,
}
BODIES: dict[str, Callable[[Path], Path]] = {
    "vit": vit_body,
    "dinov2": dinov2_body,
    "clip_vision_model": clip_vision,
    "resnet": resnet_body,
}
SEGMENTERS: dict[str, Callable[[Path], Path]] = {
    "segformer": segformer,
    "beit": beit_semantic,
    "mobilevit": mobilevit_semantic,
    "maskformer": maskformer,
    "mask2former": mask2former,
    "detr": detr_panoptic,
}
DEPTHS: dict[str, Callable[[Path], Path]] = {
    "dpt": dpt,
    "glpn": glpn,
    "depth_anything": depth_anything,
}
