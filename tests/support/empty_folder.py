"""A test in a folder of its own: no settings, no catalog and no running Soloist but what it makes."""

import os
from pathlib import Path

import pytest


def enter_empty_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Work in this folder, without any setting of the environment, until the test ends."""
    for name in os.environ:
        if name.startswith("SOLOIST_"):
            monkeypatch.delenv(name)
    monkeypatch.chdir(folder)
