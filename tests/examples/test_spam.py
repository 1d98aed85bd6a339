"""examples/spam: what the CSV must be, and that what is trained can be served."""

import csv
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from contract.catalog import load_catalog

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "examples" / "spam"


def train(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(FOLDER / "train.py"), *arguments],
        capture_output=True,
        text=True,
        check=False,
    )


def rows() -> list[dict[str, str]]:
    with (FOLDER / "messages.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_the_messages_are_many_different_and_of_both_kinds() -> None:
    counts = Counter(row["label"] for row in rows())
    assert set(counts) == {"ham", "spam"}
    assert counts.total() >= 600
    assert min(counts.values()) >= 250
    assert len({row["text"] for row in rows()}) == counts.total()


def test_no_message_names_an_address_that_could_be_somebodys() -> None:
    words = [word.strip(".,:;!?()") for row in rows() for word in row["text"].split()]
    addresses = [word for word in words if "@" in word or "://" in word]
    assert all(address.endswith(".example") for address in addresses)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("", "is empty"),
        ("label,text\n", "has no rows below its header"),
        ("kind,message\nham,hello\n", "has no column 'label' and no column 'text'"),
        ("label;text\nham;hello\n", "separated by a comma, and it is: label;text"),
        ("label,text\nham,hello\nspam,\n", "line 3: the text is empty"),
        ("label,text\nham,hello\n,win\n", "line 3: the label is empty"),
        ("label,text\n" + "".join(f"ham,text {n}\n" for n in range(30)), "one label only ('ham')"),
        ("label,text\n" + "ham,same\n" * 30 + "spam,win\n", "fewer than 5 different rows"),
        ("label,text\nham,same\nspam,same\n", "this text is 'spam' here and 'ham' before"),
        (
            "label,text\n" + "".join(f"{'ab'[n % 2]},text {n}\n" for n in range(12)),
            "has 12 different rows; 20 are the least",
        ),
    ],
)
def test_a_csv_that_cannot_be_used_is_one_clear_sentence(
    tmp_path: Path, content: str, sentence: str
) -> None:
    data = tmp_path / "data.csv"
    data.write_text(content)
    done = train("--data", str(data), "--out", str(tmp_path / "model"))
    assert done.returncode == 1
    assert done.stderr.startswith("train.py: ")
    assert sentence in done.stderr
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "model").exists()


def test_a_csv_that_is_missing_or_no_text_is_one_clear_sentence(tmp_path: Path) -> None:
    (tmp_path / "data.csv").write_bytes(b"label,text\nham,\xff\xfe\n")
    assert "is not UTF-8 text" in train("--data", str(tmp_path / "data.csv")).stderr
    assert "No such file" in train("--data", str(tmp_path / "nowhere.csv")).stderr


@pytest.mark.slow
def test_a_model_trained_on_a_part_is_reproducible_and_can_be_served(tmp_path: Path) -> None:
    with (tmp_path / "data.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, ["id", "text", "label"])  # further columns do not matter
        writer.writeheader()
        writer.writerows({"id": n, **row} for n, row in enumerate(rows()[:80]))
    for name in ("one", "two"):
        arguments = ["--data", str(tmp_path / "data.csv"), "--epochs", "1"]
        done = train(*arguments, "--out", str(tmp_path / name))
        assert done.returncode == 0, done.stderr
        assert "held-out accuracy" in done.stdout
    weights = [(tmp_path / name / "model.safetensors").read_bytes() for name in ("one", "two")]
    assert weights[0] == weights[1]

    from worker.models import Item, open_model

    catalog = tmp_path / "catalog.yaml"
    catalog.write_text("models:\n  spam:\n    source: ./one\n    task: text-classification\n")
    spec = load_catalog(catalog)["spam"]
    model = open_model(spec)
    model.load(spec, "cpu")
    (scores,) = model.predict([Item("1", {"text": "You have won a prize"})])
    assert {score["label"] for score in scores} <= {"ham", "spam"}
