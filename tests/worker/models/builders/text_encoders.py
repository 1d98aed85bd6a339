"""Tiny models of the families that read texts as a whole, with the tokenizer that each family has.

One vocabulary of words serves all of them; what differs is what the families differ in: the special
tokens, the segments, the side and the id of the padding, and what the model is told.
"""

from pathlib import Path
from typing import Any

import transformers as tf
from tokenizers import Tokenizer, models, pre_tokenizers, processors

from tests.worker.models.builders.task_models import POSITIONS, WORDS, labels, made, save

SPECIAL = ["<pad>", "<unk>", "<s>", "</s>", "<mask>"]
VOCABULARY = [*SPECIAL, *WORDS]
SIZES = {
    "vocab_size": len(VOCABULARY),
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 37,
    "max_position_embeddings": POSITIONS,
    "pad_token_id": 0,
    "bos_token_id": 2,
    "eos_token_id": 3,
}
GPT2 = {"n_positions": POSITIONS, "n_embd": 32, "n_layer": 2, "n_head": 2}
SEQ2SEQ = {
    "d_model": 32,
    "encoder_layers": 2,
    "decoder_layers": 2,
    "encoder_attention_heads": 2,
    "decoder_attention_heads": 2,
    "encoder_ffn_dim": 37,
    "decoder_ffn_dim": 37,
    "decoder_start_token_id": 2,
}
T5 = {"d_model": 32, "d_kv": 16, "d_ff": 37, "num_layers": 2, "num_heads": 2}
TEMPLATES = {
    "bert": ("<s> $A </s>", "<s> $A </s> $B:1 </s>:1"),
    "roberta": ("<s> $A </s>", "<s> $A </s> </s> $B </s>"),
    "ended": ("$A </s>", "$A </s> $B </s>"),
    "xlnet": ("$A </s> <s>:2", "$A </s> $B:1 </s>:1 <s>:2"),
}
FAMILIES: dict[str, tuple[str, dict[str, Any], str, dict[str, Any]]] = {
    "albert": ("Albert", {"embedding_size": 16, "num_hidden_groups": 1}, "bert", {}),
    "bart": ("Bart", SEQ2SEQ, "roberta", {}),
    "bert": ("Bert", {}, "bert", {}),
    "bigbird": ("BigBird", {"attention_type": "original_full"}, "bert", {}),
    "bigbird-sparse": (
        "BigBird",
        {"block_size": 4, "num_random_blocks": 1, "max_position_embeddings": 96},
        "bert",
        {"model_max_length": 96},
    ),
    "biogpt": ("BioGpt", {}, "none", {}),
    "bloom": ("Bloom", {"n_layer": 2, "n_head": 2}, "none", {}),
    "camembert": ("Camembert", {"max_position_embeddings": POSITIONS + 1}, "roberta", {}),
    "canine": ("Canine", {"num_hash_buckets": 64, "vocab_size": None}, "canine", {}),
    "convbert": ("ConvBert", {"embedding_size": 16, "conv_kernel_size": 3}, "bert", {}),
    "deberta": (
        "Deberta",
        {"relative_attention": True, "pos_att_type": ["c2p", "p2c"], "max_relative_positions": 16},
        "bert",
        {},
    ),
    "deberta-v2": (
        "DebertaV2",
        {
            "relative_attention": True,
            "pos_att_type": ["c2p", "p2c"],
            "max_relative_positions": 16,
            "position_biased_input": False,
            "type_vocab_size": 0,
        },
        "bert",
        {},
    ),
    "distilbert": (
        "DistilBert",
        {"dim": 32, "n_layers": 2, "n_heads": 2, "hidden_dim": 37},
        "bert",
        {"model_input_names": ["input_ids", "attention_mask"]},
    ),
    "electra": ("Electra", {"embedding_size": 16}, "bert", {}),
    "esm": (
        "Esm",
        {"position_embedding_type": "rotary", "mask_token_id": 4, "token_dropout": True},
        "bert",
        {},
    ),
    "ernie": ("Ernie", {}, "bert", {}),
    "falcon": ("Falcon", {"alibi": True, "new_decoder_architecture": False}, "none", {}),
    "flaubert": ("Flaubert", {"emb_dim": 32, "n_layers": 2, "n_heads": 2}, "bert", {}),
    "fnet": (
        "FNet",
        {},
        "bert",
        {"model_input_names": ["input_ids", "token_type_ids"]},
    ),
    "funnel": (
        "Funnel",
        {
            "d_model": 32,
            "n_head": 2,
            "d_head": 16,
            "d_inner": 37,
            "block_sizes": [1, 1],
            "num_hidden_layers": None,
        },
        "bert",
        {},
    ),
    "gemma": ("Gemma", {"num_key_value_heads": 1, "head_dim": 16}, "none", {}),
    "gpt2": ("GPT2", GPT2, "none", {}),
    "gpt-neo": (
        "GPTNeo",
        {
            "num_layers": 2,
            "num_heads": 2,
            "attention_types": [[["global", "local"], 1]],
            "window_size": 8,
        },
        "none",
        {},
    ),
    "gpt-neox": ("GPTNeoX", {}, "none", {}),
    "gptj": ("GPTJ", {**GPT2, "rotary_dim": 8}, "none", {}),
    "ibert": ("IBert", {"max_position_embeddings": POSITIONS + 1}, "roberta", {}),
    "layoutlm": ("LayoutLM", {}, "bert", {}),
    "llama": ("Llama", {}, "none", {}),
    "longformer": (
        "Longformer",
        {"attention_window": 8, "max_position_embeddings": POSITIONS + 1, "sep_token_id": 3},
        "roberta",
        {},
    ),
    "luke": (
        "Luke",
        {"entity_vocab_size": 3, "entity_emb_size": 8, "max_position_embeddings": POSITIONS + 1},
        "roberta",
        {},
    ),
    "mbart": ("MBart", SEQ2SEQ, "roberta", {}),
    "megatron-bert": ("MegatronBert", {}, "bert", {}),
    "mistral": ("Mistral", {"num_key_value_heads": 1, "sliding_window": 8}, "none", {}),
    "mobilebert": (
        "MobileBert",
        {"embedding_size": 16, "true_hidden_size": 16, "intra_bottleneck_size": 16},
        "bert",
        {},
    ),
    "modernbert": (
        "ModernBert",
        {"local_attention": 8, "cls_token_id": 2, "sep_token_id": 3},
        "bert",
        {"model_input_names": ["input_ids", "attention_mask"]},
    ),
    "modernbert-mean": (
        "ModernBert",
        {"local_attention": 8, "classifier_pooling": "mean", "cls_token_id": 2, "sep_token_id": 3},
        "bert",
        {"model_input_names": ["input_ids", "attention_mask"]},
    ),
    "mpnet": ("MPNet", {"max_position_embeddings": POSITIONS + 2}, "roberta", {}),
    "mpt": (
        "Mpt",
        {"d_model": 32, "n_heads": 2, "n_layers": 2, "max_seq_len": POSITIONS},
        "none",
        {},
    ),
    "nystromformer": (
        "Nystromformer",
        {"segment_means_seq_len": 4, "num_landmarks": 4},
        "bert",
        {},
    ),
    "openai-gpt": ("OpenAIGPT", GPT2, "none", {}),
    "opt": ("OPT", {"ffn_dim": 37, "word_embed_proj_dim": 32}, "none", {}),
    "persimmon": ("Persimmon", {}, "none", {}),
    "phi": ("Phi", {}, "none", {}),
    "qwen3": ("Qwen3", {"num_key_value_heads": 1, "head_dim": 16}, "none", {}),
    "reformer": (
        "Reformer",
        {
            "attn_layers": ["local", "lsh"],
            "axial_pos_shape": [8, 8],
            "axial_pos_embds_dim": [16, 16],
            "local_attn_chunk_length": 4,
            "lsh_attn_chunk_length": 4,
            "num_hashes": 1,
            "num_buckets": 2,
            "hash_seed": 0,
            "feed_forward_size": 37,
            "is_decoder": False,
            "num_hidden_layers": None,
            "attention_head_size": 16,
        },
        "bert",
        {},
    ),
    "rembert": (
        "RemBert",
        {"input_embedding_size": 16, "output_embedding_size": 16},
        "bert",
        {},
    ),
    "roberta": ("Roberta", {"max_position_embeddings": POSITIONS + 1}, "roberta", {}),
    "roformer": ("RoFormer", {}, "bert", {}),
    "squeezebert": ("SqueezeBert", {"embedding_size": 32, "intermediate_size": 64}, "bert", {}),
    "stablelm": ("StableLm", {"num_key_value_heads": 1}, "none", {}),
    "t5": ("T5", {**T5, "decoder_start_token_id": 0}, "ended", {}),
    "umt5": ("UMT5", {**T5, "decoder_start_token_id": 0}, "ended", {}),
    "xlm": ("XLM", {"emb_dim": 32, "n_layers": 2, "n_heads": 2}, "bert", {}),
    "xlm-roberta": ("XLMRoberta", {"max_position_embeddings": POSITIONS + 1}, "roberta", {}),
    "xlnet": (
        "XLNet",
        {
            "d_model": 32,
            "n_layer": 2,
            "n_head": 2,
            "d_inner": 37,
            "max_position_embeddings": None,
        },
        "xlnet",
        {
            "padding_side": "left",
            "pad_token_type_id": 3,
            "model_input_names": ["input_ids", "token_type_ids", "attention_mask"],
        },
    ),
    "xmod": (
        "Xmod",
        {
            "languages": ["en_XX"],
            "default_language": "en_XX",
            "max_position_embeddings": POSITIONS + 1,
        },
        "roberta",
        {},
    ),
    "yoso": ("Yoso", {"use_expectation": True}, "bert", {}),
}
"""By family: the stem of its classes, what its configuration says beside the sizes, how its tokenizer
frames a text, and what that says beside."""


def words(style: str, **options: Any) -> Any:
    """A fast tokenizer of whole words."""
    tokenizer = Tokenizer(models.WordLevel({w: n for n, w in enumerate(VOCABULARY)}, "<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    special = {
        "pad_token": "<pad>",
        "unk_token": "<unk>",
        "bos_token": "<s>",
        "eos_token": "</s>",
        "mask_token": "<mask>",
    }
    if style in TEMPLATES:
        single, pair = TEMPLATES[style]
        tokenizer.post_processor = processors.TemplateProcessing(
            single=single, pair=pair, special_tokens=[("<s>", 2), ("</s>", 3)]
        )
        special |= {"cls_token": "<s>", "sep_token": "</s>"}
    names = ["input_ids", "token_type_ids", "attention_mask"]
    known = {
        "model_max_length": POSITIONS,
        "model_input_names": names if style == "bert" else [names[0], names[2]],
    }
    return tf.PreTrainedTokenizerFast(tokenizer_object=tokenizer, **{**special, **known, **options})


def family(
    folder: Path,
    name: str,
    head: str = "ForSequenceClassification",
    read: dict[str, Any] | None = None,
    **options: Any,
) -> Path:
    """A model of this family. `options` go to its configuration, `read` to its tokenizer; None takes out."""
    stem, own, style, tokenizer = FAMILIES[name]
    kind = getattr(tf, stem + head)
    given = {**SIZES, **labels("bad", "fair", "good"), **own, **options}
    kept = {name for name in given if given[name] is not None or name == "pad_token_id"}
    config = kind.config_class(**{name: given[name] for name in kept})
    if style == "canine":
        reader = tf.CanineTokenizer(model_max_length=POSITIONS)
    else:
        reader = words(style, **{**tokenizer, **(read or {})})
    return save(folder, made(kind, config), reader)
