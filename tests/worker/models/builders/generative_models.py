"""Tiny models that write: decoders, and encoders with decoders, of every family that transformers can make."""

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import transformers as tf
from transformers.models.auto.modeling_auto import (
    MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
    MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES,
)

from tests.worker.models.builders import task_models as base

POSITIONS = 64
END, PAD = 0, 1
TOKENS = 2 + len(base.CHARACTERS)
SIZES = {
    "hidden_size": 32,
    "intermediate_size": 37,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "max_position_embeddings": POSITIONS,
}
OLD = {"n_embd": 32, "n_layer": 2, "n_head": 2, "n_positions": POSITIONS}
GROUPED = {**SIZES, "num_key_value_heads": 1, "head_dim": 16}
EXPERTS = {"num_local_experts": 4, "num_experts_per_tok": 2}
HALVES = {
    "d_model": 32,
    "encoder_layers": 2,
    "decoder_layers": 2,
    "encoder_attention_heads": 2,
    "decoder_attention_heads": 2,
    "encoder_ffn_dim": 37,
    "decoder_ffn_dim": 37,
    "max_position_embeddings": POSITIONS,
}
RELATIVE = {"d_model": 32, "d_kv": 16, "d_ff": 37, "num_layers": 2, "num_heads": 2}

DECODERS: dict[str, dict[str, Any]] = {
    "bart": HALVES,
    "bert": {**SIZES, "is_decoder": True},
    "biogpt": SIZES,
    "bloom": {"hidden_size": 32, "n_layer": 2, "n_head": 2},
    "codegen": {**OLD, "rotary_dim": 8, "n_ctx": POSITIONS, "n_head": 4},
    "cohere": GROUPED,
    "ctrl": {**OLD, "dff": 37},
    "falcon": SIZES,
    "falcon alibi": {**SIZES, "alibi": True, "new_decoder_architecture": False},
    "gemma": GROUPED,
    "gemma2": {**GROUPED, "sliding_window": 8},
    "gemma3_text": {**GROUPED, "sliding_window": 8},
    "gpt2": OLD,
    "gpt_bigcode": OLD,
    "gpt_neo": {
        "hidden_size": 32,
        "num_layers": 2,
        "num_heads": 2,
        "attention_types": [[["global", "local"], 1]],
        "max_position_embeddings": POSITIONS,
        "window_size": 8,
    },
    "gpt_neox": SIZES,
    "gptj": {**OLD, "rotary_dim": 8},
    "granite": SIZES,
    "llama": GROUPED,
    "mamba": {"hidden_size": 32, "num_hidden_layers": 2, "state_size": 4},
    "mistral": {**GROUPED, "sliding_window": 8},
    "mixtral": {**GROUPED, **EXPERTS, "intermediate_size": 48},
    "mpt": {"d_model": 32, "n_heads": 2, "n_layers": 2, "max_seq_len": POSITIONS},
    "olmo2": SIZES,
    "opt": {
        "hidden_size": 32,
        "word_embed_proj_dim": 32,
        "ffn_dim": 37,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "max_position_embeddings": POSITIONS,
    },
    "phi": SIZES,
    "phi3": SIZES,
    "qwen2": GROUPED,
    "qwen3": GROUPED,
    "recurrent_gemma": {
        **SIZES,
        "lru_width": 32,
        "attention_window_size": 8,
        "num_hidden_layers": 3,
    },
    "roberta": {**SIZES, "is_decoder": True},
    "rwkv": {"hidden_size": 32, "num_hidden_layers": 2, "context_length": POSITIONS},
    "stablelm": {**SIZES, "num_key_value_heads": 2},
    "xglm": {
        "d_model": 32,
        "num_layers": 2,
        "attention_heads": 2,
        "ffn_dim": 37,
        "max_position_embeddings": POSITIONS,
    },
    "xlnet": {"d_model": 32, "n_layer": 2, "n_head": 2, "d_inner": 37},
}
"""Families that write on, by the sizes that make them tiny."""

DENSE = (  # families of one mould
    *("apertus", "arcee", "bitnet", "cohere2", "ernie4_5", "exaone4", "glm", "glm4", "helium"),
    *("hunyuan_v1_dense", "lfm2", "modernbert-decoder", "nanochat", "nemotron", "olmo", "olmo3"),
    *("persimmon", "seed_oss", "smollm3", "starcoder2"),
)
SPARSE = ("gpt_oss", "granitemoe", "jetmoe", "minimax", "olmoe", "phimoe", "qwen3_moe")
TURNED = ("camembert", "electra", "ernie", "megatron-bert", "roformer")  # encoders that write on
DECODERS |= dict.fromkeys(DENSE, GROUPED)
DECODERS |= {name: {**GROUPED, **EXPERTS, "intermediate_size": 48} for name in SPARSE}
DECODERS |= {name: {**SIZES, "is_decoder": True} for name in TURNED}
DECODERS |= {
    "falcon_mamba": {"hidden_size": 32, "num_hidden_layers": 2, "state_size": 4},
    "jamba": {
        **GROUPED,
        "intermediate_size": 48,
        "attn_layer_period": 2,
        "attn_layer_offset": 1,
        "num_experts": 2,
        "use_mamba_kernels": False,
    },
    "mamba2": {
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "state_size": 4,
        "num_heads": 4,
        "head_dim": 16,
        "n_groups": 1,
    },
    "openai-gpt": OLD,
    "qwen3_next": {
        **GROUPED,
        "num_hidden_layers": 4,
        "num_experts": 4,
        "num_experts_per_tok": 2,
        "moe_intermediate_size": 16,
        "shared_expert_intermediate_size": 16,
        "linear_num_key_heads": 2,
        "linear_num_value_heads": 2,
        "linear_key_head_dim": 16,
        "linear_value_head_dim": 16,
    },
    "xlm": {"emb_dim": 32, "n_layers": 2, "n_heads": 2, "max_position_embeddings": POSITIONS},
}

REWRITERS: dict[str, dict[str, Any]] = {
    "bart": HALVES,
    "bigbird_pegasus": {**HALVES, "block_size": 4, "num_random_blocks": 1},
    "blenderbot": HALVES,
    "blenderbot-small": HALVES,
    "fsmt": {**HALVES, "langs": ["en", "de"], "src_vocab_size": TOKENS, "tgt_vocab_size": TOKENS},
    "led": {
        **HALVES,
        "max_encoder_position_embeddings": POSITIONS,
        "max_decoder_position_embeddings": 32,
        "attention_window": 8,
    },
    "longt5": {**RELATIVE, "local_radius": 5},
    "m2m_100": HALVES,
    "marian": HALVES,
    "mbart": HALVES,
    "mt5": RELATIVE,
    "mvp": HALVES,
    "pegasus": HALVES,
    "pegasus_x": {**HALVES, "block_size": 8, "num_global_tokens": 2},
    "plbart": HALVES,
    "prophetnet": {
        "hidden_size": 32,
        "pad_token_id": END,  # it computes positions right for a pad of 0 alone
        "eos_token_id": PAD,
        "decoder_start_token_id": PAD,
        "num_encoder_layers": 2,
        "num_decoder_layers": 2,
        "num_encoder_attention_heads": 2,
        "num_decoder_attention_heads": 2,
        "encoder_ffn_dim": 37,
        "decoder_ffn_dim": 37,
        "max_position_embeddings": POSITIONS,
    },
    "switch_transformers": {
        **RELATIVE,
        "num_decoder_layers": 2,
        "num_experts": 2,
        "expert_capacity": 64,
        "num_sparse_encoder_layers": 1,
        "num_sparse_decoder_layers": 1,
    },
    "t5": RELATIVE,
    "umt5": RELATIVE,
}
"""Families that read one text and write another."""


def translator(folder: Path) -> Path:
    """An encoder and a decoder made of two BERTs."""
    half = {**SIZES, "vocab_size": TOKENS, "pad_token_id": PAD}
    config = tf.EncoderDecoderConfig.from_encoder_decoder_configs(
        tf.BertConfig(**half), tf.BertConfig(**half, is_decoder=True, add_cross_attention=True)
    )
    config.decoder_start_token_id, config.pad_token_id, config.eos_token_id = END, PAD, END
    base.save(
        folder,
        base.made(tf.EncoderDecoderModel, config, seed=2),
        ending_tokenizer(model_max_length=POSITIONS),
    )
    ends = {"decoder_start_token_id": END, "pad_token_id": PAD, "eos_token_id": END}
    return owning(folder, ends)


def tokenizer(**options: Any) -> Any:
    """One token a byte, `<|endoftext|>` and `<|pad|>`."""
    words = ["<|endoftext|>", "<|pad|>", *base.CHARACTERS]
    vocabulary = {word: n for n, word in enumerate(words)}
    special = {"pad_token": "<|pad|>"}
    return tf.GPT2Tokenizer(vocab=vocabulary, merges=[], **special, **options)


def ending_tokenizer(**options: Any) -> Any:
    """The same, with an end behind each text, as encoders read it."""
    from tokenizers import processors

    made = tokenizer(**options)
    made.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single="$A <|endoftext|>", special_tokens=[("<|endoftext|>", END)]
    )
    return made


def writer(folder: Path, family: str, own: dict[str, Any] | None = None, **config: Any) -> Path:
    """A decoder; `own` goes into its generation_config.json."""
    kind = family.split()[0]
    ends = {"vocab_size": TOKENS, "eos_token_id": END, "pad_token_id": PAD, "bos_token_id": END}
    made = tf.AutoConfig.for_model(kind, **{**ends, **DECODERS[family], **config})
    model = base.made(getattr(tf, MODEL_FOR_CAUSAL_LM_MAPPING_NAMES[kind]), made, seed=2)
    base.save(folder, model, tokenizer(model_max_length=POSITIONS))
    return owning(folder, own or {})


def rewriter(folder: Path, family: str, own: dict[str, Any] | None = None, **config: Any) -> Path:
    """An encoder with a decoder; `own` goes into its generation_config.json."""
    ends = {"vocab_size": TOKENS, "eos_token_id": END, "pad_token_id": PAD, "bos_token_id": END}
    ends |= {"decoder_start_token_id": PAD, "forced_eos_token_id": None}
    made = tf.AutoConfig.for_model(family, **{**ends, **REWRITERS[family], **config})
    kind = getattr(tf, MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES[family])
    model = base.made(kind, made, seed=2)
    base.save(folder, model, ending_tokenizer(model_max_length=POSITIONS))
    return owning(folder, own or {})


def owning(folder: Path, own: dict[str, Any]) -> Path:
    """The folder with these values in its generation_config.json; None takes one out."""
    path = folder / "generation_config.json"
    values = json.loads(path.read_text()) if path.exists() else {}
    values = {name: value for name, value in {**values, **own}.items() if value is not None}
    path.write_text(json.dumps(values))
    return folder


def maker(kind: Callable[..., Path], family: str, **options: Any) -> Callable[[Path], Path]:
    return partial(kind, family=family, **options)
