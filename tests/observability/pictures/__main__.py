"""`python -m tests.observability.pictures`: draws the dashboards in docs/pictures from a run of its own.

With `--again` they are drawn once more from what the last run left in .soloist.
"""

import argparse
import json
import tempfile
from pathlib import Path

from tests.observability.boards import BOARDS, ROOT
from tests.observability.live.grafana import View
from tests.observability.live.surroundings import NAMESPACE
from tests.observability.pictures.drawing import collected, draw, kept
from tests.observability.pictures.workload import Workload
from tests.observability.test_rules import rules

KEPT = ROOT / ".soloist" / "pictures.json"
SECONDS = 420.0
LOOK = 5.0
"""Seconds between two points, and Grafana's scrape interval: its rates are over four of them."""


def run(seconds: float) -> None:
    with tempfile.TemporaryDirectory() as folder:
        workload = Workload(Path(folder) / "workload", rules(), seconds)
        try:
            workload.run()
            boards = {
                name: collected(
                    View(board, workload.started, workload.ended, NAMESPACE, LOOK, LOOK),
                    workload.scene.prometheus,
                )
                for name, board in BOARDS.items()
            }
        finally:
            workload.scene.close()
    kept(boards, KEPT)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.observability.pictures")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="how long it runs")
    parser.add_argument("--again", action="store_true", help="draw the last run once more")
    asked = parser.parse_args()
    if not asked.again:
        run(asked.seconds)
    draw(json.loads(KEPT.read_text(encoding="utf-8")), ROOT / "docs" / "pictures")


if __name__ == "__main__":
    main()
