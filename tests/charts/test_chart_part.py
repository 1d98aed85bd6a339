"""The chart as a part of another: switched by a condition there, and the same objects as alone."""

from pathlib import Path
from typing import Any

import pytest

from tests.charts.objects import without_passwords
from tests.charts.rendering import CHART, chart_of_parts, render, render_together
from tests.charts.scenarios import SCENARIOS, model

VALUES = {**model(), "secrets": {"generate": False}}


@pytest.fixture
def whole(tmp_path: Path) -> Path:
    """A chart that has nothing but ours."""
    return chart_of_parts(tmp_path, CHART)


@pytest.mark.parametrize("switch", [{}, {"enabled": True}])
def test_a_part_of_another_chart_is_what_it_is_alone(
    whole: Path, helm: int, switch: dict[str, Any]
) -> None:
    part = render({"soloist": {**VALUES, **switch}}, helm=helm, chart=whole)

    assert part == render(VALUES, helm=helm)


@pytest.mark.usefixtures("rendered")
@pytest.mark.slow
def test_parts_of_one_chart_are_what_they_are_alone() -> None:
    part = render_together(SCENARIOS.values())

    for name, values in SCENARIOS.items():
        assert without_passwords(part(values)) == without_passwords(render(values)), name


def test_a_part_is_left_out_by_its_condition(whole: Path, helm: int) -> None:
    assert render({"soloist": {"enabled": False}}, helm=helm, chart=whole) == []
