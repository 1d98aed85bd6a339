"""Tiny models that write of images, or answer questions about them.

Each builder writes a whole model folder and gives its path. Nothing is downloaded.
"""

from pathlib import Path
from typing import Any

import torch
import transformers as tf

from tests.worker.models.builders.image_models import FIXED, SIDE, VIT, processor, seeded
from tests.worker.models.builders.pixel_and_label_models import TOWERS, VOCABULARY
from tests.worker.models.builders.task_models import (
    BERT,
    bert_tokenizer,
    byte_tokenizer,
    labels,
    save,
)

BLIP_TEXT = {
    "vocab_size": VOCABULARY,
    "max_position_embeddings": 64,
    "encoder_hidden_size": 32,
    "projection_dim": 16,
    "bos_token_id": 2,
    "eos_token_id": 3,
    "sep_token_id": 3,
    "pad_token_id": 0,
    **TOWERS,
}


def blip(folder: Path, kind: type = tf.BlipForConditionalGeneration) -> Path:
    config = tf.BlipConfig(
        text_config=BLIP_TEXT,
        vision_config={**VIT, **TOWERS, "initializer_range": 0.02},
        projection_dim=16,
    )
    model = seeded(kind, config, 3)
    with torch.no_grad():  # else it wrote the same of every picture
        for name, weights in model.named_parameters():
            if "crossattention" in name and weights.dim() > 1:
                weights.mul_(8)
    return save(folder, model, bert_tokenizer(), processor("blip", "Blip", size=FIXED))


def blip_questions(folder: Path) -> Path:
    return blip(folder, tf.BlipForQuestionAnswering)


def git(folder: Path) -> Path:
    config = tf.GitConfig(
        vision_config={**VIT, **TOWERS},
        vocab_size=VOCABULARY,
        max_position_embeddings=64,
        bos_token_id=2,
        eos_token_id=3,
        pad_token_id=0,
        **TOWERS,
    )
    crop = {"size": {"shortest_edge": SIDE}, "crop_size": FIXED}
    model = seeded(tf.GitForCausalLM, config, 8)
    return save(folder, model, bert_tokenizer(), processor("clip", "CLIP", **crop))


def vision_encoder_decoder(folder: Path, **own: Any) -> Path:
    """ViT that GPT-2 looks at, as the captioning models do. `own`: what its generation_config.json says."""
    tokenizer = byte_tokenizer(tf.GPT2Tokenizer, "<|endoftext|>", model_max_length=48)
    decoder = tf.GPT2Config(
        vocab_size=len(tokenizer),
        n_positions=48,
        n_embd=32,
        n_layer=2,
        n_head=2,
        bos_token_id=256,
        eos_token_id=256,
        add_cross_attention=True,
        is_decoder=True,
    )
    config = tf.VisionEncoderDecoderConfig.from_encoder_decoder_configs(
        tf.ViTConfig(**VIT), decoder, decoder_start_token_id=256, pad_token_id=256
    )
    model = seeded(tf.VisionEncoderDecoderModel, config, 4)
    model.generation_config = tf.GenerationConfig(
        decoder_start_token_id=256, eos_token_id=[256, 7], pad_token_id=256, **own
    )
    return save(folder, model, tokenizer, processor("vit", "ViT", size=FIXED))


def captioner_with_beams(folder: Path) -> Path:
    return vision_encoder_decoder(folder, num_beams=3, max_length=12, no_repeat_ngram_size=2)


def vilt(folder: Path) -> Path:
    """It keeps the picture's proportions and masks nothing of it when it is alone."""
    config = tf.ViltConfig(
        **{**BERT, **VIT},
        vocab_size=VOCABULARY,
        max_position_embeddings=40,
        **labels(*"abcdefg"),
    )
    sizes = {"size": {"shortest_edge": 64}, "size_divisor": 32}
    model = seeded(tf.ViltForQuestionAnswering, config, 6)
    return save(folder, model, bert_tokenizer(40), processor("vilt", "Vilt", **sizes))


CAPTIONERS = {
    "blip": blip,
    "git": git,
    "vision-encoder-decoder": vision_encoder_decoder,
    "vision-encoder-decoder with beams of its own": captioner_with_beams,
}
ANSWERERS = {"vilt": vilt, "blip": blip_questions}
