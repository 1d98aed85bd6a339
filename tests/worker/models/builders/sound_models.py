"""Tiny models that read sounds, with seeded random weights."""

from pathlib import Path
from typing import Any

import torch
import transformers as tf

from tests.worker.models.builders.task_models import (
    BERT,
    CHARACTERS,
    byte_tokenizer,
    labels,
    made,
    save,
)

LETTERS = ["<pad>", "<s>", "</s>", "<unk>", "|", *"ABCDEFGHIJKLMNOPQRSTUVWXYZ'"]
NAMES = ("yes", "no", "up", "down", "left", "right", "stop")
WAVES: dict[str, Any] = {
    "conv_dim": (8, 8),
    "conv_kernel": (10, 4),
    "conv_stride": (160, 2),
    "num_conv_pos_embeddings": 16,
    "num_conv_pos_embedding_groups": 2,
    "pad_token_id": 0,
    "vocab_size": len(LETTERS),
    **BERT,
}
"""What Wav2Vec2 and its kin have in common: a step of 320 samples."""
FRAMES = {name: WAVES[name] for name in ("pad_token_id", "vocab_size", *BERT)}
OWN: dict[str, dict[str, Any]] = {
    "Hubert": {"feat_proj_layer_norm": True},
    "WavLM": {"num_buckets": 32, "max_bucket_distance": 80},
    "SEW": {"squeeze_factor": 2},
    "SEWD": {"squeeze_factor": 2, "position_buckets": 16, "max_position_embeddings": 64},
    "Data2VecAudio": {"conv_pos_kernel_size": 5, "num_conv_pos_embeddings": 2},
    "Wav2Vec2Conformer": {"conv_depthwise_kernel_size": 5},
    "Wav2Vec2Bert": {"feature_projection_input_dim": 160, "conv_depthwise_kernel_size": 5},
}


def heard(model: type, config: Any, words: list[str]) -> Any:
    """A model that writes what it hears: letters, and others with every sound."""
    built = made(model, config)
    likely = [
        (word.isascii() and word.isalpha()) or word in ("</s>", "<|endoftext|>") for word in words
    ]
    plain = torch.tensor([0.3 if one else 0.03 for one in likely])
    with torch.no_grad():
        for name, weights in built.named_parameters():
            if weights.dim() > 1 and ("encoder_attn" in name or "crossattention" in name):
                weights.mul_(10)
        head = built.get_output_embeddings().weight
        head.div_(head.norm(dim=1, keepdim=True).clamp(min=1e-6)).mul_(plain.unsqueeze(1))
    return built


def letters(folder: Path) -> Any:
    folder.mkdir(parents=True, exist_ok=True)
    vocabulary = folder / "letters.json"
    pairs = ", ".join(f'"{letter}": {number}' for number, letter in enumerate(LETTERS))
    vocabulary.write_text("{" + pairs + "}")
    return tf.Wav2Vec2CTCTokenizer(str(vocabulary))


def wave_parts(kind: str, masked: bool, **options: Any) -> tuple[Any, Any]:
    """(configuration, feature extractor) of Wav2Vec2 or one of its kin."""
    own = {**OWN.get(kind, {}), **options}
    config_class = getattr(tf, f"{kind}Config")
    if kind == "Wav2Vec2Bert":
        return config_class(**FRAMES, **own), tf.SeamlessM4TFeatureExtractor()
    norm = "layer" if masked else "group"
    extractor = tf.Wav2Vec2FeatureExtractor(return_attention_mask=masked)
    return config_class(**{**WAVES, "feat_extract_norm": norm, **own}), extractor


def ctc(folder: Path, kind: str, *, masked: bool = False, **options: Any) -> Path:
    config, extractor = wave_parts(kind, masked, **options)
    model = made(getattr(tf, f"{kind}ForCTC"), config)
    return save(folder, model, letters(folder), extractor)


def conformer(folder: Path, kind: str) -> Path:
    """Parakeet and its kin, which read a spectrogram by CTC."""
    encoder = {
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 37,
        "num_mel_bins": 16,
        "subsampling_conv_channels": 8,
        "conv_kernel_size": 5,
    }
    config = getattr(tf, f"{kind}CTCConfig")(
        vocab_size=len(LETTERS), encoder_config=encoder, pad_token_id=0
    )
    model = made(getattr(tf, f"{kind}ForCTC"), config)
    with torch.no_grad():  # else it said one letter
        model.ctc_head.weight.mul_(20)
    extractor = getattr(tf, f"{kind}FeatureExtractor")(feature_size=16)
    return save(folder, model, letters(folder), extractor)


def classifier(folder: Path, kind: str, *, masked: bool = False, **options: Any) -> Path:
    config, extractor = wave_parts(
        kind, masked, **labels(*NAMES), classifier_proj_size=16, **options
    )
    return save(folder, made(getattr(tf, f"{kind}ForSequenceClassification"), config), extractor)


def spectrogram_transformer(folder: Path, **options: Any) -> Path:
    """AST: it reads the first second, here, as an image."""
    names = {**labels(*NAMES), **options}
    config = tf.ASTConfig(num_mel_bins=32, max_length=100, patch_size=8, **BERT, **names)
    extractor = tf.ASTFeatureExtractor(num_mel_bins=32, max_length=100)
    return save(folder, made(tf.ASTForAudioClassification, config), extractor)


WINDOW = 2
"""The seconds of the tiny Whisper's window."""
TIMES = [f"<|{step * 0.02:.2f}|>" for step in range(WINDOW * 50 + 1)]
SPECIAL = ["<|endoftext|>", "<|startoftranscript|>", "<|en|>", "<|fr|>", "<|de|>"]
SPECIAL += ["<|transcribe|>", "<|translate|>", "<|startoflm|>", "<|startofprev|>"]
SPECIAL += ["<|nospeech|>", "<|notimestamps|>"]
NUMBER = {word: n for n, word in enumerate([*CHARACTERS, *SPECIAL, *TIMES])}


def whisper_config(**options: Any) -> Any:
    end = NUMBER["<|endoftext|>"]
    ends = {"pad_token_id": end, "bos_token_id": end, "eos_token_id": end}
    return tf.WhisperConfig(
        vocab_size=len(NUMBER),
        d_model=32,
        encoder_layers=2,
        decoder_layers=2,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        encoder_ffn_dim=37,
        decoder_ffn_dim=37,
        max_source_positions=WINDOW * 50,
        max_target_positions=64,
        decoder_start_token_id=NUMBER["<|startoftranscript|>"],
        suppress_tokens=None,
        begin_suppress_tokens=None,
        **{"num_mel_bins": 16, **ends, **options},
    )


def whisper_extractor(mels: int = 16) -> Any:
    return tf.WhisperFeatureExtractor(feature_size=mels, chunk_length=WINDOW)


def whisper(
    folder: Path, *, many: bool = False, mels: int = 16, plain: bool = False, **own: Any
) -> Path:
    """`many`: of several languages. `plain`: without a generation_config.json; `own`: more of it, where
    None leaves something out.
    """
    tokenizer = byte_tokenizer(tf.WhisperTokenizer, *SPECIAL, *TIMES)
    tokenizer.add_special_tokens({"additional_special_tokens": SPECIAL[1:]})
    config = whisper_config(num_mel_bins=mels)
    model = heard(tf.WhisperForConditionalGeneration, config, list(NUMBER))
    settings = {
        "decoder_start_token_id": config.decoder_start_token_id,
        "eos_token_id": config.eos_token_id,
        "pad_token_id": config.pad_token_id,
        "is_multilingual": many,
        "no_timestamps_token_id": NUMBER["<|notimestamps|>"],
        "prev_sot_token_id": NUMBER["<|startofprev|>"],
        "max_length": 20,
        "alignment_heads": [[1, 0], [1, 1]],
        "max_initial_timestamp_index": 50,
    }
    if many:
        settings["lang_to_id"] = {
            f"<|{code}|>": NUMBER[f"<|{code}|>"] for code in ("en", "fr", "de")
        }
        settings["task_to_id"] = {
            task: NUMBER[f"<|{task}|>"] for task in ("transcribe", "translate")
        }
    settings |= own
    model.generation_config = tf.GenerationConfig(
        **{name: value for name, value in settings.items() if value is not None}
    )
    save(folder, model, tokenizer, whisper_extractor(mels))
    if plain:
        (folder / "generation_config.json").unlink()
    return folder


def whisper_classifier(folder: Path) -> Path:
    config = whisper_config(**labels(*NAMES), classifier_proj_size=16)
    return save(folder, made(tf.WhisperForAudioClassification, config), whisper_extractor())


WORDS = ["<s>", "<pad>", "</s>", "<unk>", *CHARACTERS]
ENDS = {"bos_token_id": 0, "pad_token_id": 1, "eos_token_id": 2}
UNKNOWN = {"unk_token_id": 3}


def text_tokenizer() -> Any:
    special = {name.removesuffix("_id"): WORDS[number] for name, number in (ENDS | UNKNOWN).items()}
    vocabulary = {word: number for number, word in enumerate(WORDS)}
    return tf.GPT2Tokenizer(vocab=vocabulary, merges=[], **special)


def speech_to_text(folder: Path) -> Path:
    config = tf.Speech2TextConfig(
        vocab_size=len(WORDS),
        d_model=32,
        encoder_layers=2,
        decoder_layers=2,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        encoder_ffn_dim=37,
        decoder_ffn_dim=37,
        conv_channels=16,
        input_feat_per_channel=16,
        max_source_positions=400,
        max_target_positions=48,
        decoder_start_token_id=2,
        **ENDS,
    )
    extractor = tf.Speech2TextFeatureExtractor(feature_size=16, num_mel_bins=16)
    model = heard(tf.Speech2TextForConditionalGeneration, config, WORDS)
    model.generation_config.max_length = 30
    return save(folder, model, text_tokenizer(), extractor)


def speech_encoder_decoder(folder: Path) -> Path:
    config, extractor = wave_parts("Wav2Vec2", masked=True)
    decoder = tf.GPT2Config(
        vocab_size=len(WORDS),
        n_positions=48,
        n_embd=32,
        n_layer=2,
        n_head=2,
        add_cross_attention=True,
    )
    joined = tf.SpeechEncoderDecoderConfig.from_encoder_decoder_configs(config, decoder)
    joined.update({"decoder_start_token_id": 0, **ENDS})
    model = heard(tf.SpeechEncoderDecoderModel, joined, WORDS)
    model.generation_config = tf.GenerationConfig(
        decoder_start_token_id=0, max_new_tokens=12, **ENDS
    )
    return save(folder, model, text_tokenizer(), extractor)


def moonshine(folder: Path) -> Path:
    config = tf.MoonshineConfig(
        vocab_size=len(WORDS),
        hidden_size=32,
        intermediate_size=37,
        encoder_num_hidden_layers=2,
        decoder_num_hidden_layers=2,
        encoder_num_attention_heads=2,
        decoder_num_attention_heads=2,
        encoder_num_key_value_heads=2,
        decoder_num_key_value_heads=2,
        max_position_embeddings=48,
        decoder_start_token_id=0,
        **ENDS,
    )
    model = heard(tf.MoonshineForConditionalGeneration, config, WORDS)
    model.generation_config.max_length = 30
    extractor = tf.Wav2Vec2FeatureExtractor(return_attention_mask=True, do_normalize=False)
    return save(folder, model, text_tokenizer(), extractor)


def speech_t5(folder: Path) -> Path:
    config = tf.SpeechT5Config(
        vocab_size=len(WORDS),
        hidden_size=32,
        encoder_layers=2,
        decoder_layers=2,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        encoder_ffn_dim=37,
        decoder_ffn_dim=37,
        conv_dim=(8, 8),
        conv_kernel=(10, 4),
        conv_stride=(160, 2),
        num_conv_pos_embeddings=16,
        num_conv_pos_embedding_groups=2,
        max_text_positions=48,
        decoder_start_token_id=0,
        **ENDS,
    )
    model = heard(tf.SpeechT5ForSpeechToText, config, WORDS)
    model.generation_config.max_length = 30
    return save(folder, model, text_tokenizer(), tf.SpeechT5FeatureExtractor())
