"""Faults planted on purpose, each into a copy of the product: what the verdict must find, by name."""

import shutil
from dataclasses import dataclass
from pathlib import Path

from bench.processes import PROJECT

PACKAGES = ("contract", "service", "worker")


@dataclass(frozen=True, slots=True)
class Plant:
    """One fault: these texts of the product's source in place of those."""

    name: str
    changes: tuple[tuple[str, str, str], ...]
    """(file, text, other text); each text stands exactly once in its file."""

    def plant(self, folder: Path) -> Path:
        """A copy of the product with this fault.

        Raises:
            LookupError: a text is not there any more, or more than once: write the fault anew.
        """
        for package in PACKAGES:
            shutil.copytree(
                PROJECT / package,
                folder / package,
                ignore=shutil.ignore_patterns("__pycache__"),
            )
        for file, text, other in self.changes:
            path = folder / file
            source = path.read_text(encoding="utf-8")
            if (times := source.count(text)) != 1:
                raise LookupError(f"{self.name}: {file} has {times} times {text!r}")
            path.write_text(source.replace(text, other), encoding="utf-8")
        return folder
