"""Grafana's own types, of the oldest and the newest version that the dashboards are for, read them."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.observability.boards import BOARDS, panels
from tests.observability.tools import HERE, SECONDS, node_modules
from tests.support.external_tools import program

pytestmark = pytest.mark.slow

GRAFANAS = ("grafana-schema-11", "@grafana/schema")
# Where the types of a panel's own options are, by its type.
OPTIONS = {
    "bargauge": "bargauge/panelcfg/x/BarGaugePanelCfg",
    "heatmap": "heatmap/panelcfg/x/HeatmapPanelCfg",
    "stat": "stat/panelcfg/x/StatPanelCfg",
    "state-timeline": "statetimeline/panelcfg/x/StateTimelinePanelCfg",
    "table": "table/panelcfg/x/TablePanelCfg",
    "timeseries": "timeseries/panelcfg/x/TimeSeriesPanelCfg",
}
# What the Prometheus datasource reads in an annotation; the common types do not know of it.
OF_PROMETHEUS = {"expr", "step", "textFormat", "titleFormat"}


def program_of(schema: str, boards: dict[str, Any]) -> str:
    """TypeScript in which each dashboard and panel is a constant of its type."""
    lines = [
        "import type { Plain } from './plain';",
        f"import type {{ Dashboard, Panel }} from '{schema}';",
    ]
    for kind, path in OPTIONS.items():
        name = kind.replace("-", "_")
        lines.append(
            f"import type * as {name} from '@grafana/schema/dist/esm/raw/composable/{path}_types.gen';"
        )
    for board in boards.values():
        marks = [
            {key: value for key, value in mark.items() if key not in OF_PROMETHEUS}
            for mark in board["annotations"]["list"]
        ]
        shown = {**board, "annotations": {"list": marks}}
        lines.append(constant(len(lines), "Dashboard", shown))
        for panel in panels(board):
            name = panel["type"].replace("-", "_")
            lines.append(constant(len(lines), "Panel", panel))
            lines.append(constant(len(lines), f"{name}.Options", panel["options"]))
            own = panel["fieldConfig"]["defaults"].get("custom")
            if own and panel["type"] != "table":
                lines.append(constant(len(lines), f"{name}.FieldConfig", own))
    return "\n".join(lines) + "\n"


def constant(number: int, kind: str, value: Any) -> str:
    return f"export const c{number}: Plain<{kind}> = {json.dumps(value)};"


def compiled(folder: Path, boards: dict[str, Any]) -> str:
    """What the compiler complains of."""
    modules = node_modules(HERE / "grafana")
    (folder / "node_modules").symlink_to(modules, target_is_directory=True)
    (folder / "plain.ts").write_text((HERE / "grafana" / "plain.ts").read_text())
    for number, schema in enumerate(GRAFANAS):
        (folder / f"boards_{number}.ts").write_text(program_of(schema, boards))
    options = "--noEmit --strict --skipLibCheck --module esnext --moduleResolution bundler --target es2022"
    sources = [f"boards_{number}.ts" for number in range(len(GRAFANAS))]
    node = program("node", "apt-get install nodejs")
    command = [node, modules / "typescript" / "bin" / "tsc", *options.split(), *sources]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=SECONDS)
    return done.stdout + done.stderr


def test_the_dashboards_are_of_grafanas_types(tmp_path: Path) -> None:
    assert compiled(tmp_path, BOARDS) == ""


def test_a_wrong_field_is_noticed(tmp_path: Path) -> None:
    wrong = json.loads(json.dumps(BOARDS["soloist-cost"]))
    panel = next(panels(wrong))
    panel["options"]["graphMode"] = "aera"
    wrong["graphToolTip"] = 1

    complaints = compiled(tmp_path, {"wrong": wrong})

    assert "aera" in complaints
    assert "graphToolTip" in complaints
