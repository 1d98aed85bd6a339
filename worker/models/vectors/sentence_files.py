"""The files that sentence-transformers writes beside a model; what they ask for and we do not do is refused.

Format: sentence_transformers 6.2, `base/model.py` and `base/modules/`.
"""

import json
import platform
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch
from packaging.specifiers import InvalidSpecifier, SpecifierSet

from contract.errors import ModelUnloadable
from worker.models.files.checkpoint import Checkpoint
from worker.models.files.fetching import AGAIN, MODULES, PACKAGE

TRANSFORMER_FILES = [
    f"sentence_{family}_config.json"
    for family in ("bert", "roberta", "distilbert", "camembert", "albert", "xlm-roberta", "xlnet")
]
"""The first of them that says anything is read, as sentence-transformers does."""
OLD_NAMES = {"model_args": "model_kwargs", "tokenizer_args": "processor_kwargs"} | {
    "config_args": "config_kwargs"
}
SETTINGS = {"__version__", "requirements", "model_type", "prompts", "default_prompt_name"}
"""The keys of config_sentence_transformers.json for models of any type."""
WAY = "serve it by a `python` model, which may use sentence-transformers itself"


@dataclass(frozen=True)
class ModuleEntry:
    """One entry of modules.json."""

    kind: str
    path: str
    config: dict[str, Any]


class SentenceFiles:
    """The sentence-transformers files of a checkpoint."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        self._checkpoint = checkpoint

    @property
    def exist(self) -> bool:
        return self._checkpoint.find_file(MODULES) is not None

    def read_json(self, name: str) -> Any:
        """What a JSON file holds; nothing if it is not there."""
        found = self._checkpoint.find_file(name)
        return json.loads(found.read_text(encoding="utf-8")) if found else {}

    def read_modules(self) -> Iterator[ModuleEntry]:
        entries = self.read_json(MODULES)
        if not entries:
            raise ModelUnloadable(
                f"its {MODULES} names no module; {AGAIN}, or take that file away where the model is none of "
                "sentence-transformers"
            )
        for entry in entries:
            refuse_unknown_keys(entry, {"idx", "name", "path", "type", "kwargs"}, MODULES)
            kind = entry["type"].rpartition(".")[2]
            if not entry["type"].startswith(PACKAGE):
                raise ModelUnloadable(
                    f"its module {entry['type']!r} is code of the model's own, which workers never run; {WAY}"
                )
            if entry.get("kwargs"):
                raise ModelUnloadable(
                    f"its module {kind} takes {', '.join(entry['kwargs'])} from the caller, which Soloist "
                    f"does not pass on; {WAY}"
                )
            name = f"{entry['path']}/config.json"
            yield ModuleEntry(kind, entry["path"], self.read_json(name) if entry["path"] else {})

    def read_transformer(self) -> dict[str, Any]:
        """What the file of the Transformer module says, by the newer names of its keys."""
        found: dict[str, Any] = next(
            (said for name in TRANSFORMER_FILES if (said := self.read_json(name))), {}
        )
        return {OLD_NAMES.get(key, key): value for key, value in found.items()}

    def find_weights(self, module: ModuleEntry) -> Path:
        found = self._checkpoint.find_file(f"{module.path}/model.safetensors")
        if found is None:
            raise ModelUnloadable(
                f"its {module.path} has no model.safetensors, and workers load no pickles; {AGAIN}"
            )
        return found


def refuse_unknown_keys(said: dict[str, Any], known: set[str], where: str) -> None:
    """Refuses what is not known: it may change the vectors."""
    if strange := sorted(set(said) - known):
        raise ModelUnloadable(
            f"{where} says {strange[0]!r}, which Soloist does not apply, so its answers would differ; {WAY}"
        )


def load_activation(name: str, where: str) -> Any:
    """The activation of this dotted name, if it is a module of torch's own that needs no argument."""
    kind = (
        getattr(torch.nn, name.rpartition(".")[2], None) if name.startswith("torch.nn.") else None
    )
    if not (isinstance(kind, type) and issubclass(kind, torch.nn.Module)):
        raise ModelUnloadable(f"{where}: the activation {name!r} is none of torch.nn; {WAY}")
    return kind()


def check_versions(requirements: dict[str, Any]) -> None:
    """Refuses a model that says it needs other versions than these."""
    for name, wanted in requirements.items():
        specifier = wanted.get("specifier", "") if isinstance(wanted, dict) else wanted
        package = {"pytorch": "torch"}.get(name, name)
        with suppress(PackageNotFoundError, InvalidSpecifier):  # as sentence-transformers itself
            found = platform.python_version() if package == "python" else version(package)
            if not SpecifierSet(specifier).contains(found, prereleases=True):
                raise ModelUnloadable(
                    f"it needs {package}{specifier}, and here is {found}; install that"
                )
