"""Train a small BERT from scratch that sorts short messages, on a CSV with the columns label and text.

    python examples/spam/train.py [--data FILE.csv] [--out FOLDER] [--epochs N]

Nothing is downloaded: the vocabulary, too, is learned from the data. What is saved is what Soloist serves:
`model.safetensors`, the tokenizer, and a configuration that knows the names of the labels.
"""

import argparse
import csv
import random
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
LEAST_ROWS, LEAST_PER_LABEL = 20, 5
LONGEST_TOKENS = 128
BATCH_SIZE = 32


class DataInvalid(Exception):
    """The CSV cannot be trained on; the message says why."""


@dataclass(frozen=True)
class Rows:
    """Messages and, by position, their labels."""

    texts: list[str]
    labels: list[str]

    @property
    def names(self) -> list[str]:
        return sorted(set(self.labels))


def read_rows(path: Path) -> Rows:
    """Read the CSV; a message that occurs twice counts once, so that none is both learned and tested.

    Raises:
        DataInvalid: it cannot be read, lacks a column or a value, or has too little to learn from.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = _parse(path, csv.DictReader(file))
    except OSError as error:
        raise DataInvalid(f"cannot read {path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise DataInvalid(f"{path} is not UTF-8 text") from None
    except csv.Error as error:
        raise DataInvalid(f"{path} is not a CSV file: {error}") from None
    counts = Counter(rows.labels)
    if not counts:
        raise DataInvalid(f"{path} has no rows below its header")
    if len(counts) == 1:
        raise DataInvalid(
            f"{path} has one label only ({rows.names[0]!r}); there is nothing to tell apart"
        )
    rare = [f"{name!r} ({count})" for name, count in counts.items() if count < LEAST_PER_LABEL]
    if rare:
        raise DataInvalid(
            f"{path}: fewer than {LEAST_PER_LABEL} different rows for {', '.join(rare)}"
        )
    if len(rows.texts) < LEAST_ROWS:
        raise DataInvalid(
            f"{path} has {len(rows.texts)} different rows; {LEAST_ROWS} are the least"
        )
    return rows


def _parse(path: Path, reader: "csv.DictReader[str]") -> Rows:
    columns = reader.fieldnames
    if not columns:
        raise DataInvalid(f"{path} is empty")
    missing = [name for name in ("label", "text") if name not in columns]
    if missing:
        raise DataInvalid(
            f"{path} has no column {' and no column '.join(map(repr, missing))}; its first line must "
            f"name them, separated by a comma, and it is: {','.join(columns)[:100]}"
        )
    seen: dict[str, str] = {}
    for row in reader:
        label, text = ((row[name] or "").strip() for name in ("label", "text"))
        if not label or not text:
            lacks = "label" if not label else "text"
            raise DataInvalid(f"{path}, line {reader.line_num}: the {lacks} is empty")
        if seen.setdefault(text, label) != label:
            raise DataInvalid(
                f"{path}, line {reader.line_num}: this text is {label!r} here and {seen[text]!r} before"
            )
    return Rows(list(seen), list(seen.values()))


def split(rows: Rows, seed: int, held_out: float = 0.2) -> tuple[Rows, Rows]:
    """Two parts with the same share of each label: to learn from, and to test on."""
    chance = random.Random(seed)  # noqa: S311
    parts: tuple[list[int], list[int]] = ([], [])
    for name in rows.names:
        places = [place for place, label in enumerate(rows.labels) if label == name]
        chance.shuffle(places)
        tests = max(1, round(held_out * len(places)))
        parts[1].extend(places[:tests])
        parts[0].extend(places[tests:])
    learn, test = (
        Rows([rows.texts[p] for p in part], [rows.labels[p] for p in part]) for part in parts
    )
    return learn, test


def train_tokenizer(texts: list[str], vocabulary: int = 3000):
    """A WordPiece vocabulary of these texts, lower case, as BERT's own."""
    from tokenizers import BertWordPieceTokenizer
    from transformers import PreTrainedTokenizerFast

    pieces = BertWordPieceTokenizer(lowercase=True, strip_accents=False)
    # The trainer numbers letters in random order and settles ties by number: number them ourselves.
    special = [f"[{name}]" for name in ("PAD", "UNK", "CLS", "SEP", "MASK")]
    letters = sorted({letter for text in texts for letter in text.lower() if not letter.isspace()})
    first = special + letters + [f"##{letter}" for letter in letters]
    pieces.train_from_iterator(
        texts, vocab_size=vocabulary, min_frequency=2, show_progress=False, special_tokens=first
    )
    # One made from that vocabulary has [CLS] and [SEP] around each text, which a trained one lacks.
    pieces = BertWordPieceTokenizer(pieces.get_vocab(), lowercase=True, strip_accents=False)
    names = {f"{token[1:-1].lower()}_token": token for token in special}
    return PreTrainedTokenizerFast(
        tokenizer_object=pieces._tokenizer, model_max_length=LONGEST_TOKENS, **names
    )


def build_model(tokenizer, names: list[str]):
    """A BERT of two layers with random weights."""
    from transformers import BertConfig, BertForSequenceClassification

    return BertForSequenceClassification(
        BertConfig(
            vocab_size=len(tokenizer),
            hidden_size=128,
            num_hidden_layers=2,
            num_attention_heads=4,
            intermediate_size=256,
            max_position_embeddings=LONGEST_TOKENS,
            hidden_dropout_prob=0.2,
            pad_token_id=tokenizer.pad_token_id,
            id2label=dict(enumerate(names)),
            label2id={name: number for number, name in enumerate(names)},
            problem_type="single_label_classification",
        )
    )


def encode(tokenizer, texts: list[str]):
    return tokenizer(texts, padding=True, truncation=True, return_tensors="pt")


def fit(model, tokenizer, rows: Rows, names: list[str], epochs: int, progress) -> None:
    """Train in random batches; a rare label counts as much as a frequent one."""
    import torch

    counts = Counter(rows.labels)
    weights = torch.tensor([len(rows.labels) / counts[name] / len(names) for name in names])
    loss_of = torch.nn.CrossEntropyLoss(weight=weights, label_smoothing=0.05)
    steps = epochs * -(-len(rows.texts) // BATCH_SIZE)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.05)
    pace = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=1e-3, total_steps=steps)
    targets = torch.tensor([names.index(label) for label in rows.labels])
    bar = progress.add_task("training", total=steps, loss=float("nan"))
    model.train()
    for _ in range(epochs):
        for batch in torch.randperm(len(rows.texts)).split(BATCH_SIZE):
            inputs = encode(tokenizer, [rows.texts[place] for place in batch])
            loss = loss_of(model(**inputs).logits, targets[batch])
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            pace.step()
            progress.update(bar, advance=1, loss=loss.item())
    model.eval()


def classify(model, tokenizer, texts: list[str], names: list[str]) -> list[str]:
    import torch

    answers: list[str] = []
    with torch.inference_mode():
        for start in range(0, len(texts), 256):
            logits = model(**encode(tokenizer, texts[start : start + 256])).logits
            answers += [names[place] for place in logits.argmax(-1).tolist()]
    return answers


def train(data: Path, out: Path, epochs: int, seed: int = 0) -> float:
    """Train on `data`, save the model in `out`, and return the share of held-out rows that it gets right."""
    rows = read_rows(data)
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    console = Console(highlight=False)
    console.print(
        f"{len(rows.texts)} messages, {len(rows.names)} labels; loading torch", markup=False
    )
    import torch
    from transformers.utils import logging

    torch.manual_seed(seed)
    learn, test = split(rows, seed)
    tokenizer = train_tokenizer(learn.texts)
    model = build_model(tokenizer, rows.names)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("loss {task.fields[loss]:.3f}"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console) as progress:
        fit(model, tokenizer, learn, rows.names, epochs, progress)
    answers = classify(model, tokenizer, test.texts, rows.names)
    accuracy = sum(map(str.__eq__, answers, test.labels)) / len(answers)
    commonest = Counter(test.labels).most_common(1)[0][1] / len(answers)
    console.print(
        f"held-out accuracy {accuracy:.1%} on {len(answers)} messages it has never seen "
        f"(always saying the commonest label: {commonest:.1%})",
        soft_wrap=True,
    )
    logging.disable_progress_bar()  # ours is enough
    model.save_pretrained(out)
    tokenizer.save_pretrained(out)
    console.print(f"saved in {out}", markup=False, soft_wrap=True)
    return accuracy


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=Path, default=HERE / "messages.csv", metavar="FILE.csv")
    parser.add_argument("--out", type=Path, default=HERE / "model", metavar="FOLDER")
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    if options.epochs < 1:
        parser.error("--epochs must be at least 1")
    try:
        train(options.data, options.out, options.epochs, options.seed)
    except DataInvalid as error:
        sys.exit(f"train.py: {error}")
    except OSError as error:
        sys.exit(f"train.py: cannot write to {options.out}: {error.strerror or error}")


if __name__ == "__main__":
    main()
