"""The models as plain code: what every stack of the comparison runs, and the answers it must give."""

from pathlib import Path
from typing import Any

import torch
from transformers import (
    AutoModel,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    BertConfig,
    BertForSequenceClassification,
)

from bench.models import Task
from bench.texts import SEED, minilm_folder

LABELS = 4
LONGEST_TOKENS = 256
TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "vocab.txt",
)


class Offline:
    """A model in this process: a list of texts in, a list of answers out, one forward pass."""

    def __init__(self, folder: Path, task: Task) -> None:
        torch.set_num_threads(1)
        self.tokenizer = AutoTokenizer.from_pretrained(folder)
        kind = AutoModelForSequenceClassification if task == "text-classification" else AutoModel
        self.model = kind.from_pretrained(folder).eval()
        self._decode = self._scores if task == "text-classification" else self._vectors

    def predict(self, texts: list[str]) -> list[Any]:
        inputs = self.tokenizer(
            texts, padding=True, truncation=True, max_length=LONGEST_TOKENS, return_tensors="pt"
        )
        with torch.inference_mode():
            return self._decode(self.model(**inputs), inputs["attention_mask"])

    def _scores(self, output: Any, mask: torch.Tensor) -> list[list[dict[str, Any]]]:
        names = self.model.config.id2label
        order = output.logits.softmax(-1).sort(descending=True)
        return [
            [{"label": names[i], "score": score} for i, score in zip(labels, scores, strict=True)]
            for labels, scores in zip(order.indices.tolist(), order.values.tolist(), strict=True)
        ]

    def _vectors(self, output: Any, mask: torch.Tensor) -> list[list[float]]:
        weights = mask.unsqueeze(-1).to(output.last_hidden_state.dtype)
        mean = (output.last_hidden_state * weights).sum(1) / weights.sum(1).clamp(min=1e-9)
        return torch.nn.functional.normalize(mean, dim=1).tolist()


def make_tiny(folder: Path) -> None:
    """Write a random text classifier of BERT-tiny's shape with the tokenizer of MiniLM."""
    if (folder / "model.safetensors").exists():
        return
    folder.mkdir(parents=True, exist_ok=True)
    for name in TOKENIZER_FILES:
        (folder / name).write_bytes((minilm_folder() / name).read_bytes())
    torch.manual_seed(SEED)
    config = BertConfig(
        vocab_size=30522,
        hidden_size=128,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=512,
        num_labels=LABELS,
        # Wide, or every text would get the same scores and a mixed-up answer would pass the check.
        initializer_range=0.2,
    )
    BertForSequenceClassification(config).save_pretrained(folder)
