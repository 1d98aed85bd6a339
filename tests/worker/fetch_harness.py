"""Where a model is fetched to: a tiny one to fetch, a catalog that names it, and a cache."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

from tests.e2e.stack import Program
from tests.worker.fake_hub import FakeHub

PROJECT = Path(__file__).parents[2]
PLAIN = {
    name: value for name, value in os.environ.items() if not name.startswith(("SOLOIST_", "HF_"))
}


def made(folder: Path, **options: Any) -> dict[str, bytes]:
    import torch
    import transformers

    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "good", "bad"]
    tokenizer = transformers.BertTokenizer(vocab={word: n for n, word in enumerate(words)})
    torch.manual_seed(0)
    config = transformers.BertConfig(
        vocab_size=len(words),
        hidden_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=512,
    )
    transformers.BertForSequenceClassification(config).save_pretrained(folder, **options)
    tokenizer.save_pretrained(folder)
    return {path.name: path.read_bytes() for path in folder.iterdir()}


class FetchHarness:
    """A catalog of one model, and a cache."""

    def __init__(self, folder: Path, hub: FakeHub) -> None:
        self.folder, self.cache = folder, folder / "cache"
        self.env = {
            "HF_ENDPOINT": hub.url,
            "HF_HUB_CACHE": str(self.cache),
            "HF_HUB_OFFLINE": "1",  # as in the worker's image
            "HOME": str(folder),
            "SOLOIST_CATALOG": str(folder / "catalog.yaml"),
        }
        self.started: list[Program] = []
        self.lists()

    def lists(self, **entry: str) -> None:
        """Let the catalog have this one model."""
        entry = {"source": "owner/tiny", "task": "text-classification", "device": "cpu", **entry}
        if "python" in entry:
            entry = {"python": entry["python"]}
        path = self.folder / "catalog.yaml"
        path.write_text(yaml.safe_dump({"models": {"tiny": entry}}))

    def fetch(self, **env: str) -> list[dict[str, Any]]:
        """The log lines of a fetch that succeeds."""
        done = self.run(**env)
        assert done.returncode == 0, done.stdout + done.stderr
        assert not done.stderr
        return [json.loads(line) for line in done.stdout.splitlines()]

    def refusal(self, **env: str) -> str:
        """The one line of a fetch that does not."""
        done = self.run(**env)
        assert done.returncode == 78, done.stdout + done.stderr
        (line,) = done.stderr.splitlines()
        assert line.startswith("soloist worker: model 'tiny': ")
        assert line.endswith(" (owner/tiny)")
        return line

    def run(self, **env: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "worker", "--model", "tiny", "--fetch"],
            cwd=PROJECT,
            env=PLAIN | self.env | env,
            capture_output=True,
            text=True,
            timeout=90,
        )

    def start(self) -> Program:
        """A fetch that goes on."""
        program = Program("fetch", ["worker", "--model", "tiny", "--fetch"], self.folder, self.env)
        self.started.append(program)
        return program

    def close(self) -> None:
        for program in self.started:
            program.kill()

    def files(self, commit: str = "*") -> set[str]:
        """What is in the cache, as the model's files are called."""
        (snapshot,) = self.cache.glob(f"models--owner--tiny/snapshots/{commit}")
        paths = (path for path in snapshot.rglob("*") if path.is_file())
        return {path.relative_to(snapshot).as_posix() for path in paths}
