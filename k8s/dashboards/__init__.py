"""The five dashboards, written to charts/soloist/dashboards by `python -m k8s.dashboards`."""

import json
from pathlib import Path

from k8s.dashboards.board import Board
from k8s.dashboards.cost import COSTS
from k8s.dashboards.gateway import GATEWAY
from k8s.dashboards.overview import OVERVIEW
from k8s.dashboards.queue import QUEUE_AND_SCALING
from k8s.dashboards.workers import WORKERS

BOARDS: tuple[Board, ...] = (OVERVIEW, GATEWAY, QUEUE_AND_SCALING, WORKERS, COSTS)
FOLDER = Path(__file__).parents[2] / "charts" / "soloist" / "dashboards"


def text_of(board: Board) -> str:
    """The file's text, the same each time."""
    return json.dumps(board.json(), indent=1, ensure_ascii=False) + "\n"
