"""More tiny models that read images: families whose inputs or answers are of a shape of their own.

Each builder writes a whole model folder and gives its path. Nothing is downloaded.
"""

from collections.abc import Callable
from pathlib import Path

import transformers as tf

from tests.worker.models.builders.image_models import (
    DETECTOR,
    FIXED,
    LABELS,
    SIDE,
    VIT,
    processor,
    seeded,
)
from tests.worker.models.builders.pixel_and_label_models import TOWERS, VOCABULARY
from tests.worker.models.builders.task_models import bert_tokenizer, labels, save


def siglip2(folder: Path) -> Path:
    """It reads patches, as many as a picture's proportions make, and is told which are real."""
    text = {"vocab_size": VOCABULARY, "max_position_embeddings": 64}
    vision = {**TOWERS, "patch_size": 8, "num_patches": 16}
    config = tf.Siglip2Config(text_config={**TOWERS, **text}, vision_config=vision)
    sizes = {"patch_size": 8, "max_num_patches": 20}
    return save(
        folder,
        seeded(tf.Siglip2Model, config, 4),
        bert_tokenizer(),
        processor("siglip2", "Siglip2", **sizes),
    )


def blip_matching(folder: Path) -> Path:
    text = {"vocab_size": VOCABULARY, "max_position_embeddings": 64, "encoder_hidden_size": 32}
    ids = {"bos_token_id": 2, "eos_token_id": 3, "sep_token_id": 3, "pad_token_id": 0}
    config = tf.BlipConfig(
        text_config={**TOWERS, **text, **ids, "projection_dim": 16},
        vision_config={**VIT, **TOWERS, "initializer_range": 0.02},
        projection_dim=16,
    )
    model = seeded(tf.BlipModel, config, 4)
    return save(folder, model, bert_tokenizer(), processor("blip", "Blip", size=FIXED))


def clipseg(folder: Path) -> Path:
    text = {"vocab_size": VOCABULARY, "max_position_embeddings": 64}
    ends = {"bos_token_id": 2, "eos_token_id": 3, "pad_token_id": 0}
    config = tf.CLIPSegConfig(
        text_config={**TOWERS, **text, **ends},
        vision_config={**VIT, **TOWERS},
        projection_dim=16,
        extract_layers=[0, 1],
    )
    model = seeded(tf.CLIPSegModel, config, 4)
    return save(folder, model, bert_tokenizer(), processor("vit", "ViT", size=FIXED))


def swinv2(folder: Path) -> Path:
    config = tf.Swinv2Config(
        image_size=SIDE,
        patch_size=4,
        embed_dim=8,
        depths=[1, 1],
        num_heads=[2, 2],
        window_size=4,
        **LABELS,
    )
    model = seeded(tf.Swinv2ForImageClassification, config, 4)
    return save(folder, model, processor("vit", "ViT", size=FIXED))


def efficientnet(folder: Path) -> Path:
    config = tf.EfficientNetConfig(
        image_size=SIDE,
        hidden_dim=128,
        width_coefficient=0.1,
        depth_coefficient=0.1,
        depthwise_padding=[],
        **LABELS,
    )
    model = seeded(tf.EfficientNetForImageClassification, config, 2)
    return save(folder, model, processor("efficientnet", "EfficientNet", size=FIXED))


def levit(folder: Path) -> Path:
    config = tf.LevitConfig(
        image_size=64,
        hidden_sizes=[16, 16, 16],
        num_attention_heads=[2, 2, 2],
        depths=[1, 1, 1],
        key_dim=[8, 8, 8],
        **LABELS,
    )
    model = seeded(tf.LevitForImageClassificationWithTeacher, config, 2)
    side = {"height": 64, "width": 64}
    return save(
        folder, model, processor("levit", "Levit", size={"shortest_edge": 64}, crop_size=side)
    )


def bit(folder: Path) -> Path:
    config = tf.BitConfig(
        embedding_size=8, hidden_sizes=[8, 8, 16, 16], depths=[1, 1, 1, 1], num_groups=4, **LABELS
    )
    model = seeded(tf.BitForImageClassification, config)
    return save(folder, model, processor("bit", "Bit", size={"shortest_edge": 40}, crop_size=FIXED))


def image_gpt(folder: Path) -> Path:
    """It reads a picture's colours as tokens."""
    import numpy as np

    colours = np.random.default_rng(0).uniform(-1, 1, (16, 3)).round(3).tolist()
    config = tf.ImageGPTConfig(
        vocab_size=17, n_positions=64, n_embd=32, n_layer=2, n_head=2, **LABELS
    )
    model = seeded(tf.ImageGPTForImageClassification, config, 4)
    size = {"height": 8, "width": 8}
    return save(folder, model, processor("imagegpt", "ImageGPT", clusters=colours, size=size))


def perceiver(folder: Path) -> Path:
    config = tf.PerceiverConfig(
        num_latents=8,
        d_latents=32,
        num_self_attends_per_block=1,
        num_self_attention_heads=2,
        num_cross_attention_heads=1,
        image_size=SIDE,
        **LABELS,
    )
    model = seeded(tf.PerceiverForImageClassificationConvProcessing, config, 2)
    return save(folder, model, processor("perceiver", "Perceiver", crop_size=FIXED, size=FIXED))


def upernet(folder: Path) -> Path:
    backbone = tf.ConvNextConfig(
        hidden_sizes=[8, 8, 16, 16],
        depths=[1, 1, 1, 1],
        out_features=["stage1", "stage2", "stage3", "stage4"],
    )
    config = tf.UperNetConfig(
        backbone_config=backbone,
        hidden_size=16,
        pool_scales=[1, 2],
        auxiliary_channels=8,
        use_auxiliary_head=True,
        **LABELS,
    )
    model = seeded(tf.UperNetForSemanticSegmentation, config, 2)
    return save(
        folder, model, processor("segformer", "Segformer", size={"height": 64, "width": 64})
    )


def dpt_semantic(folder: Path) -> Path:
    config = tf.DPTConfig(
        **{**VIT, "num_hidden_layers": 4},
        backbone_out_indices=[0, 1, 2, 3],
        neck_hidden_sizes=[8, 8, 16, 16],
        fusion_hidden_size=16,
        is_hybrid=False,
        **LABELS,
    )
    model = seeded(tf.DPTForSemanticSegmentation, config, 2)
    return save(folder, model, processor("dpt", "DPT", size=FIXED))


def eomt(folder: Path) -> Path:
    config = tf.EomtConfig(
        **{**VIT, "num_hidden_layers": 3},
        num_blocks=1,
        num_queries=8,
        num_upscale_blocks=1,
        **LABELS,
    )
    model = seeded(tf.EomtForUniversalSegmentation, config, 4)
    return save(
        folder,
        model,
        processor("eomt", "Eomt", size={"shortest_edge": 32, "longest_edge": 32}, do_pad=True),
    )


def zoedepth(folder: Path) -> Path:
    backbone = tf.BeitConfig(
        **{**VIT, "num_hidden_layers": 4},
        out_features=["stage1", "stage2", "stage3", "stage4"],
        reshape_hidden_states=False,
        use_relative_position_bias=True,
    )
    config = tf.ZoeDepthConfig(
        backbone_config=backbone,
        backbone_hidden_size=32,
        neck_hidden_sizes=[8, 8, 16, 16],
        fusion_hidden_size=16,
        bottleneck_features=16,
        num_relative_features=16,
        bin_configurations=[{"n_bins": 4, "min_depth": 0.1, "max_depth": 10.0, "name": "nyu"}],
        bin_embedding_dim=16,
        num_attractors=[4, 2, 2, 1],
    )
    model = seeded(tf.ZoeDepthForDepthEstimation, config, 2)
    return save(folder, model, processor("zoedepth", "ZoeDepth", size=FIXED, ensure_multiple_of=8))


def rt_detr_v2(folder: Path) -> Path:
    backbone = tf.RTDetrResNetConfig(
        embedding_size=8,
        hidden_sizes=[8, 8, 16, 16],
        depths=[1, 1, 1, 1],
        layer_type="basic",
        out_features=["stage2", "stage3", "stage4"],
    )
    config = tf.RTDetrV2Config(
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
    model = seeded(tf.RTDetrV2ForObjectDetection, config, 2)
    return save(folder, model, processor("rt_detr", "RTDetr", size={"height": 64, "width": 64}))


def data2vec(folder: Path) -> Path:
    config = tf.Data2VecVisionConfig(**VIT, use_relative_position_bias=True, **LABELS)
    model = seeded(tf.Data2VecVisionForImageClassification, config, 4)
    return save(
        folder, model, processor("beit", "Beit", size=FIXED, crop_size=FIXED, do_center_crop=True)
    )


def pvt(folder: Path) -> Path:
    config = tf.PvtConfig(
        image_size=SIDE,
        depths=[1, 1, 1, 1],
        hidden_sizes=[8, 8, 16, 16],
        num_attention_heads=[1, 1, 2, 2],
        sequence_reduction_ratios=[2, 2, 1, 1],
        num_labels=7,
        **LABELS,
    )
    model = seeded(tf.PvtForImageClassification, config, 4)
    return save(folder, model, processor("pvt", "Pvt", size=FIXED))


MORE: dict[str, dict[str, Callable[[Path], Path]]] = {
    "image-classification": {
        "swinv2": swinv2,
        "efficientnet": efficientnet,
        "levit": levit,
        "bit": bit,
        "imagegpt": image_gpt,
        "perceiver": perceiver,
        "data2vec-vision": data2vec,
        "pvt": pvt,
    },
    "object-detection": {"rt_detr_v2": rt_detr_v2},
    "zero-shot-image-classification": {
        "siglip2": siglip2,
        "blip": blip_matching,
        "clipseg": clipseg,
    },
    "image-segmentation": {"upernet": upernet, "dpt": dpt_semantic, "eomt": eomt},
}
