"""The five dashboards, written to charts/soloist/dashboards by `python -m k8s.dashboards`."""

import json
from pathlib import Path

from k8s.dashboards.board import Board
from k8s.dashboards.reading import read_board

NAMES = ("overview", "gateway", "queue", "workers", "cost")
BOARDS: tuple[Board, ...] = tuple(map(read_board, NAMES))
FOLDER = Path(__file__).parents[2] / "charts" / "soloist" / "dashboards"


def text_of(board: Board) -> str:
    """The file's text, the same each time."""
    return json.dumps(board.json(), indent=1, ensure_ascii=False) + "\n"
