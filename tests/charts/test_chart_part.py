"""The chart as a part of another: switched by a condition there, and the same objects as alone."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.charts.rendering import CHART, render
from tests.charts.scenarios import model

VALUES = {**model(), "secrets": {"generate": False}}


@pytest.fixture
def whole(tmp_path: Path) -> Path:
    """A chart that has nothing but ours, as `helm dependency build` leaves it."""
    part = {"name": "soloist", "version": "0.1.0", "condition": "soloist.enabled"}
    chart = {"apiVersion": "v2", "name": "platform", "version": "1.0.0", "dependencies": [part]}
    (tmp_path / "Chart.yaml").write_text(yaml.safe_dump(chart), encoding="utf-8")
    (tmp_path / "values.yaml").write_text("global: {team: ml}\nsoloist: {}\n", encoding="utf-8")
    (tmp_path / "charts").mkdir()
    (tmp_path / "charts" / "soloist").symlink_to(CHART)
    return tmp_path


@pytest.mark.parametrize("switch", [{}, {"enabled": True}])
def test_a_part_of_another_chart_is_what_it_is_alone(
    whole: Path, helm: int, switch: dict[str, Any]
) -> None:
    part = render({"soloist": {**VALUES, **switch}}, helm=helm, chart=whole)

    assert part == render(VALUES, helm=helm)


def test_a_part_is_left_out_by_its_condition(whole: Path, helm: int) -> None:
    assert render({"soloist": {"enabled": False}}, helm=helm, chart=whole) == []
