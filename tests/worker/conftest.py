"""Workers of real processes, gone when their test is over."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from contract.settings import Settings

if TYPE_CHECKING:
    from tests.worker.processes import WorkerProcesses


@pytest.fixture
def serving(settings: Settings, tmp_path: Path) -> Iterator["WorkerProcesses"]:
    # here, as it brings Celery, which the tests of the models do without
    from tests.worker.processes import WorkerProcesses

    opened = WorkerProcesses(settings, tmp_path)
    yield opened
    opened.close()
