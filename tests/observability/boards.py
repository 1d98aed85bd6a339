"""The dashboards' files as the tests look at them."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
FILES = sorted((ROOT / "charts" / "soloist" / "dashboards").glob("*.json"))
BOARDS: dict[str, Any] = {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in FILES}


def panels(board: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Every panel but the rows, those of folded rows too."""
    for panel in board["panels"]:
        if panel["type"] == "row":
            yield from panel["panels"]
        else:
            yield panel


def every_panel() -> Iterator[tuple[str, dict[str, Any]]]:
    for name, board in BOARDS.items():
        for panel in panels(board):
            yield f"{name}: {panel['title']}", panel


def expressions() -> Iterator[tuple[str, str]]:
    """What is asked, by panels and annotations, and where."""
    for where, panel in every_panel():
        for target in panel["targets"]:
            yield f"{where} {target['refId']}", target["expr"]
    for name, board in BOARDS.items():
        for mark in board["annotations"]["list"]:
            if "expr" in mark:
                yield f"{name}: {mark['name']}", mark["expr"]


def asked_for_variables() -> Iterator[tuple[str, str]]:
    """The series whose labels are the values of a variable."""
    for name, board in BOARDS.items():
        for variable in board["templating"]["list"]:
            if variable["type"] == "query":
                asked = variable["query"]["query"].removeprefix("label_values(")
                yield f"{name}: ${variable['name']}", asked.rsplit(",", 1)[0]
