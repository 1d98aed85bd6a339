"""docs/metrics.md: all that the processes export, and nothing else."""

import re

import pytest
from prometheus_client import REGISTRY

from tests.observability.boards import ROOT
from tests.observability.exported import MODULES, Family, exported, families
from tests.observability.metrics_page import document

PAGE = ROOT / "docs" / "metrics.md"
METRICS = [(process, family) for process in MODULES for family in families(MODULES[process])]
each = pytest.mark.parametrize(
    "family", [pytest.param(family, id=family.name) for _, family in METRICS]
)


def test_the_page_is_what_the_processes_export_now() -> None:
    assert PAGE.read_text(encoding="utf-8") == document(), (
        "run: python -m tests.observability.metrics_page > docs/metrics.md"
    )


def test_no_metric_is_registered_that_the_page_does_not_know() -> None:
    registered = {family.name for family in REGISTRY.collect() if family.name.startswith("soloist")}
    assert registered == {family.name for _, family in METRICS}


def test_a_metric_is_one_processs() -> None:
    names = [family.name for _, family in METRICS]
    assert len(names) == len(set(names))


def test_no_series_is_there_to_say_when_another_began() -> None:
    assert not [name for name in exported() if name.endswith("_created")]


@each
def test_a_metric_is_named_and_explained_as_all_are(family: Family) -> None:
    assert re.fullmatch(r"soloist(_[a-z]+)+", family.name)
    assert re.fullmatch(r"[A-Z01].*\.", family.says)
    assert "|" not in family.says
