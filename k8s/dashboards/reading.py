"""The dashboards' files, boards/*.yaml, read into boards of rows and panels.

A panel in a file holds what the function of its `kind` in panels.py takes.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from k8s.dashboards import panels
from k8s.dashboards.board import Board, Row, choice
from k8s.dashboards.panels import Panel
from k8s.dashboards.queries import query, row_query

FOLDER = Path(__file__).parent / "boards"
KINDS: dict[str, Callable[..., Panel]] = {
    "stat": panels.stat,
    "timeseries": panels.timeseries,
    "bars": panels.bars,
    "heatmap": panels.heatmap,
    "timeline": panels.timeline,
    "table": panels.table,
}


def read_board(name: str) -> Board:
    """The dashboard in boards/`name`.yaml."""
    content = yaml.safe_load((FOLDER / f"{name}.yaml").read_text(encoding="utf-8"))
    rows = tuple(_read_row(**row) for row in content.pop("rows"))
    variables = tuple(choice(**each) for each in content.pop("choices", ()))
    return Board(**content, rows=rows, variables=variables)


def _read_row(title: str, panels: list[dict[str, Any]], needs: str = "") -> Row:
    return Row(title, *(_read_panel(**panel) for panel in panels), needs=needs)


def _read_panel(
    kind: str, title: str, means: str, queries: list[dict[str, str]], **more: Any
) -> Panel:
    asks = row_query if kind == "table" else query
    if "steps" in more:
        more["steps"] = tuple((value, color) for value, color in more["steps"])
    before = [more.pop("unit")] if "unit" in more else []
    return KINDS[kind](title, means, *before, *(asks(**each) for each in queries), **more)
