"""Tiny models with seeded random weights, one for each task, saved as transformers saves real ones.

Each builder writes a whole model folder and gives its path. Nothing is downloaded.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import transformers as tf
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers.models.detr.image_processing_pil_detr import DetrImageProcessorPil
from transformers.models.vit.image_processing_pil_vit import ViTImageProcessorPil
from transformers.models.yolos.image_processing_pil_yolos import YolosImageProcessorPil

WORDS = """
    the a cat dog sat ran on mat in park london paris anna bob is was lives visited very good bad
    movie food this example about sports politics where who what capital of france big red car
    ##s ##ed , . ?
""".split()  # noqa: SIM905 - as a list it were 50 lines
BERT = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 37,
}
CHARACTERS = sorted(pre_tokenizers.ByteLevel.alphabet())
POSITIONS = 64


def save(folder: Path, *parts: Any) -> Path:
    for part in parts:
        part.save_pretrained(folder)
    return folder


def made(model: type, config: Any, seed: int = 0) -> Any:
    """The model with weights large enough that its answers differ from row to row."""
    torch.manual_seed(seed)
    built = model(config).eval()
    with torch.no_grad():
        for weights in built.parameters():
            if weights.dim() > 1:
                weights.mul_(4)
    return built


def bert_tokenizer(length: int = POSITIONS, *, cased: bool = False) -> Any:
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS]
    return tf.BertTokenizer(
        vocab={word: number for number, word in enumerate(vocabulary)},
        model_max_length=length,
        do_lower_case=not cased,
    )


def bert_config(**options: Any) -> Any:
    size = 5 + len(WORDS)
    return tf.BertConfig(vocab_size=size, max_position_embeddings=POSITIONS, **BERT, **options)


def labels(*names: str) -> dict[str, Any]:
    return {
        "id2label": dict(enumerate(names)),
        "label2id": {name: number for number, name in enumerate(names)},
    }


def bert_classifier(folder: Path, **options: Any) -> Path:
    config = bert_config(**{**labels("bad", "fair", "good"), **options})
    return save(folder, made(tf.BertForSequenceClassification, config), bert_tokenizer())


def bert_inference(folder: Path) -> Path:
    """Natural language inference, for zero-shot-classification."""
    return bert_classifier(folder, **labels("contradiction", "neutral", "entailment"))


def bert_tagger(folder: Path) -> Path:
    config = bert_config(**labels("O", "B-PER", "I-PER", "B-LOC", "I-LOC"))
    return save(folder, made(tf.BertForTokenClassification, config), bert_tokenizer())


def bert_reader(folder: Path) -> Path:
    """Question answering."""
    return save(folder, made(tf.BertForQuestionAnswering, bert_config()), bert_tokenizer())


def bert_filler(folder: Path) -> Path:
    return save(folder, made(tf.BertForMaskedLM, bert_config()), bert_tokenizer())


def bert_embedder(folder: Path, *, cased: bool = False) -> Path:
    return save(folder, made(tf.BertModel, bert_config()), bert_tokenizer(cased=cased))


def byte_tokenizer(kind: Any, *special: str, **options: Any) -> Any:
    """A tokenizer with one token a byte: whatever a random model writes has a text."""
    vocabulary = [*CHARACTERS, *special]
    return kind(vocab={word: n for n, word in enumerate(vocabulary)}, merges=[], **options)


def gpt(folder: Path, **options: Any) -> Path:
    tokenizer = byte_tokenizer(tf.GPT2Tokenizer, "<|endoftext|>", model_max_length=128)
    config = tf.GPT2Config(
        vocab_size=len(tokenizer),
        n_positions=128,
        n_embd=32,
        n_layer=2,
        n_head=2,
        bos_token_id=256,
        eos_token_id=256,
        **options,
    )
    return save(folder, made(tf.GPT2LMHeadModel, config), tokenizer)


def llama(folder: Path) -> Path:
    """A decoder with rotary positions, a padding token and sampling as its own default."""
    tokenizer = byte_tokenizer(tf.GPT2Tokenizer, "<|endoftext|>", "<|pad|>")
    tokenizer.add_special_tokens({"pad_token": "<|pad|>"})
    config = tf.LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=37,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=128,
        bos_token_id=None,
        eos_token_id=256,
        pad_token_id=257,
    )
    model = made(tf.LlamaForCausalLM, config)
    model.generation_config.update(do_sample=True, temperature=0.7, top_p=0.9)
    return save(folder, model, tokenizer)


def gpt_classifier(folder: Path) -> Path:
    """A decoder that classifies by a text's last token, without a padding token of its own."""
    tokenizer = byte_tokenizer(tf.GPT2Tokenizer, "<|endoftext|>", model_max_length=POSITIONS)
    sizes = {"n_positions": POSITIONS, "n_embd": 32, "n_layer": 2, "n_head": 2}
    config = tf.GPT2Config(vocab_size=len(tokenizer), eos_token_id=256, **sizes, **labels(*"ab"))
    return save(folder, made(tf.GPT2ForSequenceClassification, config), tokenizer)


def byte_classifier(folder: Path, model: str = "BertForSequenceClassification") -> Path:
    """A model whose tokenizer is written in Python, as there still are some."""
    tokenizer = tf.ByT5Tokenizer(extra_ids=0, model_max_length=POSITIONS)
    sizes = {"max_position_embeddings": POSITIONS, **BERT}
    config = tf.BertConfig(vocab_size=len(tokenizer), **sizes, **labels("O", "B-PER"))
    return save(folder, made(getattr(tf, model), config), tokenizer)


def word_tokenizer(length: int = POSITIONS) -> Any:
    """Whole words, ended by `</s>`, as encoder-decoder models read them."""
    vocabulary = {word: n for n, word in enumerate(["<pad>", "</s>", "<unk>", "<s>", *WORDS])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, "<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="$A </s>", special_tokens=[("</s>", 1)]
    )
    special = {"pad_token": "<pad>", "eos_token": "</s>", "unk_token": "<unk>", "bos_token": "<s>"}
    return tf.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, model_max_length=length, **special
    )


def t5(folder: Path) -> Path:
    config = tf.T5Config(
        vocab_size=4 + len(WORDS),
        d_model=32,
        d_kv=16,
        d_ff=37,
        num_layers=2,
        num_heads=2,
        decoder_start_token_id=0,
    )
    return save(folder, made(tf.T5ForConditionalGeneration, config, seed=5), word_tokenizer())


def marian(folder: Path) -> Path:
    config = tf.MarianConfig(
        vocab_size=4 + len(WORDS),
        d_model=32,
        encoder_layers=2,
        decoder_layers=2,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        encoder_ffn_dim=37,
        decoder_ffn_dim=37,
        max_position_embeddings=POSITIONS,
        pad_token_id=0,
        eos_token_id=1,
        decoder_start_token_id=0,
        forced_eos_token_id=None,
    )
    return save(folder, made(tf.MarianMTModel, config, seed=3), word_tokenizer())


def m2m(folder: Path) -> Path:
    """A translator of several languages, each with a token of its own."""
    codes = ["eng_Latn", "fra_Latn", "deu_Latn"]
    words = ["<s>", "<pad>", "</s>", "<unk>", *CHARACTERS]
    tokenizer = tf.NllbTokenizer(
        vocab={word: n for n, word in enumerate(words)},
        merges=[],
        extra_special_tokens=codes,
        model_max_length=POSITIONS,
    )
    config = tf.M2M100Config(
        vocab_size=len(tokenizer),
        d_model=32,
        encoder_layers=2,
        decoder_layers=2,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        encoder_ffn_dim=37,
        decoder_ffn_dim=37,
        max_position_embeddings=POSITIONS,
        pad_token_id=1,
        bos_token_id=0,
        eos_token_id=2,
        decoder_start_token_id=2,
    )
    return save(folder, made(tf.M2M100ForConditionalGeneration, config), tokenizer)


def vit(folder: Path) -> Path:
    config = tf.ViTConfig(image_size=32, patch_size=8, **BERT, **labels(*"abcdefg"))
    processor = ViTImageProcessorPil(size={"height": 32, "width": 32})
    return save(folder, made(tf.ViTForImageClassification, config), processor)


def yolos(folder: Path) -> Path:
    config = tf.YolosConfig(
        image_size=[32, 48], patch_size=8, num_detection_tokens=10, **BERT, **labels("cat", "dog")
    )
    processor = YolosImageProcessorPil(size={"shortest_edge": 32, "longest_edge": 48})
    return save(folder, made(tf.YolosForObjectDetection, config), processor)


def detr(folder: Path) -> Path:
    backbone = tf.ResNetConfig(
        embedding_size=8, hidden_sizes=[8, 8, 8, 16], depths=[1, 1, 1, 1], out_features=["stage4"]
    )
    config = tf.DetrConfig(
        use_timm_backbone=False,
        use_pretrained_backbone=False,
        backbone=None,
        backbone_config=backbone,
        d_model=32,
        encoder_layers=1,
        decoder_layers=1,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        encoder_ffn_dim=37,
        decoder_ffn_dim=37,
        num_queries=8,
        **labels("cat", "dog"),
    )
    processor = DetrImageProcessorPil(size={"shortest_edge": 64, "longest_edge": 96})
    return save(folder, made(tf.DetrForObjectDetection, config), processor)


def wav2vec2(folder: Path, *, masked: bool = False) -> Path:
    """`masked`: of the kind that is told the padding, as the large models are."""
    letters = ["<pad>", "<s>", "</s>", "<unk>", "|", *"ABCDEFGHIJKLMNOPQRSTUVWXYZ'"]
    folder.mkdir(parents=True, exist_ok=True)
    vocabulary = folder / "letters.json"
    vocabulary.write_text(
        str({word: n for n, word in enumerate(letters)}).replace("'", '"').replace('"""', '"\'"')
    )
    tokenizer = tf.Wav2Vec2CTCTokenizer(str(vocabulary))
    extractor = tf.Wav2Vec2FeatureExtractor(return_attention_mask=masked)
    config = tf.Wav2Vec2Config(
        vocab_size=len(letters),
        conv_dim=(8, 8),
        conv_kernel=(10, 4),
        conv_stride=(160, 2),
        num_conv_pos_embeddings=16,
        num_conv_pos_embedding_groups=2,
        feat_extract_norm="layer" if masked else "group",
        pad_token_id=0,
        **BERT,
    )
    return save(folder, made(tf.Wav2Vec2ForCTC, config), tokenizer, extractor)


def whisper(folder: Path) -> Path:
    special = [
        "<|endoftext|>",
        "<|startoftranscript|>",
        "<|en|>",
        "<|transcribe|>",
        "<|translate|>",
    ]
    special += ["<|startoflm|>", "<|startofprev|>", "<|nospeech|>", "<|notimestamps|>"]
    times = [f"<|{step * 0.02:.2f}|>" for step in range(1501)]
    tokenizer = byte_tokenizer(tf.WhisperTokenizer, *special, *times)
    tokenizer.add_special_tokens({"additional_special_tokens": special[1:]})
    number = {word: n for n, word in enumerate([*CHARACTERS, *special, *times])}
    config = tf.WhisperConfig(
        vocab_size=len(number),
        d_model=32,
        encoder_layers=2,
        decoder_layers=2,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        encoder_ffn_dim=37,
        decoder_ffn_dim=37,
        num_mel_bins=80,
        max_source_positions=1500,
        max_target_positions=64,
        pad_token_id=number["<|endoftext|>"],
        bos_token_id=number["<|endoftext|>"],
        eos_token_id=number["<|endoftext|>"],
        decoder_start_token_id=number["<|startoftranscript|>"],
        suppress_tokens=None,
        begin_suppress_tokens=None,
    )
    model = made(tf.WhisperForConditionalGeneration, config)
    with torch.no_grad():  # else its texts were all timestamps
        model.model.decoder.embed_tokens.weight[: len(CHARACTERS)] *= 2
    model.generation_config = tf.GenerationConfig(
        decoder_start_token_id=config.decoder_start_token_id,
        eos_token_id=config.eos_token_id,
        pad_token_id=config.pad_token_id,
        is_multilingual=False,
        no_timestamps_token_id=number["<|notimestamps|>"],
        prev_sot_token_id=number["<|startofprev|>"],
        max_length=40,
        alignment_heads=[[1, 0], [1, 1]],
        max_initial_timestamp_index=50,
    )
    return save(folder, model, tokenizer, tf.WhisperFeatureExtractor())


def audio_classifier(folder: Path) -> Path:
    config = tf.ASTConfig(
        num_mel_bins=16, max_length=32, patch_size=8, **BERT, **labels("yes", "no", "stop")
    )
    extractor = tf.ASTFeatureExtractor(num_mel_bins=16, max_length=32)
    return save(folder, made(tf.ASTForAudioClassification, config), extractor)


BUILDERS: dict[str, Callable[[Path], Path]] = {
    "text-classification": bert_classifier,
    "zero-shot-classification": bert_inference,
    "token-classification": bert_tagger,
    "question-answering": bert_reader,
    "fill-mask": bert_filler,
    "feature-extraction": bert_embedder,
    "sentence-similarity": bert_embedder,
    "summarization": t5,
    "translation": marian,
    "text-generation": gpt,
    "image-classification": vit,
    "object-detection": yolos,
    "automatic-speech-recognition": wav2vec2,
    "audio-classification": audio_classifier,
}
"""A tiny model for each task."""
