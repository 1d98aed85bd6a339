"""Each test of local/ runs in an empty folder, without settings."""

from pathlib import Path

import pytest

from tests.support.empty_folder import enter_empty_folder


@pytest.fixture(autouse=True)
def empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    enter_empty_folder(tmp_path, monkeypatch)
