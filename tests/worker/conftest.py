"""Workers of real processes, gone when their test is over."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from contract.settings import Settings

if TYPE_CHECKING:
    from tests.worker.serving import Serving


@pytest.fixture
def serving(settings: Settings, tmp_path: Path) -> Iterator["Serving"]:
    from tests.worker.serving import (
        Serving,  # brings Celery, which the tests of the models do without
    )

    opened = Serving(settings, tmp_path)
    yield opened
    opened.close()
