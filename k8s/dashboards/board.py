"""A dashboard: rows of panels in a grid, the variables and links of all, and marks where something changed."""

from dataclasses import dataclass, field
from typing import Any

from k8s.dashboards.panels import Panel
from k8s.dashboards.queries import DATASOURCE, spelled

WIDTH = 24
TAG = "soloist"


class Row:
    """A line that can be folded, and what is under it. `needs` names what must be installed for it to hold
    data; such a row comes folded, and asks nothing until somebody opens it.
    """

    def __init__(self, title: str, *panels: Panel, needs: str = "") -> None:
        self.title = f"{title} (needs {needs})" if needs else title
        self.panels = panels
        self.folded = bool(needs)


@dataclass(frozen=True)
class Board:
    """`name` is the file's name and the uid, which links and bookmarks keep."""

    name: str
    title: str
    says: str
    rows: tuple[Row, ...]
    variables: tuple[dict[str, Any], ...] = field(default=())

    def json(self) -> dict[str, Any]:
        """What Grafana imports."""
        return {
            "annotations": {"list": [_builtin(), *(_mark(*mark) for mark in MARKS)]},
            "description": self.says,
            "editable": True,
            "fiscalYearStartMonth": 0,
            "graphTooltip": 1,
            "id": None,
            "links": [_links()],
            "panels": placed(self.rows),
            "preload": False,
            "refresh": "30s",
            "schemaVersion": 41,
            "tags": [TAG],
            "templating": {"list": [*VARIABLES, *self.variables]},
            "time": {"from": "now-3h", "to": "now"},
            "timepicker": {},
            "timezone": "browser",
            "title": f"Soloist / {self.title}",
            "uid": self.name,
            "version": 1,
            "weekStart": "",
        }


def placed(rows: tuple[Row, ...]) -> list[Panel]:
    """Rows and panels with ids and places: from left to right, and below when a line is full."""
    found: list[Panel] = []
    id, y = 0, 0
    for row in rows:
        id += 1
        head: Panel = {
            "collapsed": row.folded,
            "gridPos": {"h": 1, "w": WIDTH, "x": 0, "y": y},
            "id": id,
            "panels": [],
            "title": row.title,
            "type": "row",
        }
        found.append(head)
        x, top, y = 0, y + 1, y + 1
        for panel in row.panels:
            id += 1
            size = panel["gridPos"]
            if x + size["w"] > WIDTH:
                x, top = 0, y
            home = head["panels"] if row.folded else found
            home.append({**panel, "id": id, "gridPos": {**size, "x": x, "y": top}})
            x, y = x + size["w"], max(y, top + size["h"])
        if row.folded:
            y = head["gridPos"]["y"] + 1
    return found


def choice(name: str, label: str, options: tuple[str, ...], chosen: str) -> dict[str, Any]:
    """A variable with a few values to choose from."""
    return {
        "current": {"selected": True, "text": chosen, "value": chosen},
        "hide": 0,
        "includeAll": False,
        "label": label,
        "multi": False,
        "name": name,
        "options": [{"selected": o == chosen, "text": o, "value": o} for o in options],
        "query": ",".join(options),
        "skipUrlSync": False,
        "type": "custom",
    }


def _labels(name: str, label: str, expr: str, **more: Any) -> dict[str, Any]:
    """A variable with the values of a label."""
    asked = f"label_values({spelled(expr)}, {name})"
    return {
        "datasource": DATASOURCE,
        "hide": 0,
        "includeAll": False,
        "label": label,
        "multi": False,
        "name": name,
        "options": [],
        "query": {"qryType": 1, "query": asked, "refId": "PrometheusVariableQueryEditor"},
        "refresh": 2,
        "regex": "",
        "skipUrlSync": False,
        "sort": 1,
        "type": "query",
        **more,
    }


VARIABLES: tuple[dict[str, Any], ...] = (
    {
        "hide": 0,
        "includeAll": False,
        "label": "Prometheus",
        "multi": False,
        "name": "datasource",
        "options": [],
        "query": "prometheus",
        "refresh": 1,
        "regex": "",
        "skipUrlSync": False,
        "type": "datasource",
    },
    # Outside of Kubernetes there is none; it is empty then, and so is the label that it is compared with.
    _labels("namespace", "Namespace", "soloist_queue_depth"),
    _labels(
        "model",
        "Model",
        "soloist_queue_depth{<ours>}",
        allValue=".*",
        current={"selected": True, "text": ["All"], "value": ["$__all"]},
        includeAll=True,
        multi=True,
    ),
)


def _serving(offset: str = "") -> str:
    """Workers that are ready or busy, of each model."""
    return f'sum by (model) (max by (model, state) (soloist_workers{{<model>, state!="starting"}}{offset}))'


OURS = '{<ours>, deployment=~".+-(worker-$model|gateway|keeper)"}[2m]'
MARKS = (
    (
        "Scaling",
        f"({_serving()} != bool {_serving(' offset 1m')}) == 1",
        "blue",
        "The number of ready workers of {{model}} has changed",
    ),
    (
        # Scaling counts as a new generation too.
        "Rollouts",
        f"(changes(kube_deployment_status_observed_generation{OURS}) > bool 0) == 1"
        f" unless changes(kube_deployment_spec_replicas{OURS}) > 0",
        "purple",
        "{{deployment}} is rolled out",
    ),
)


def _mark(name: str, expr: str, color: str, text: str) -> dict[str, Any]:
    return {
        "datasource": DATASOURCE,
        "enable": True,
        "expr": spelled(expr),
        "hide": False,
        "iconColor": color,
        "name": name,
        "step": "60s",
        "textFormat": text,
        "titleFormat": name,
    }


def _builtin() -> dict[str, Any]:
    return {
        "builtIn": 1,
        "datasource": {"type": "grafana", "uid": "-- Grafana --"},
        "enable": True,
        "hide": True,
        "iconColor": "rgba(0, 211, 255, 1)",
        "name": "Annotations & Alerts",
        "type": "dashboard",
    }


def _links() -> dict[str, Any]:
    """To all the others, with the same time and variables."""
    return {
        "asDropdown": False,
        "icon": "external link",
        "includeVars": True,
        "keepTime": True,
        "tags": [TAG],
        "targetBlank": False,
        "title": "",
        "tooltip": "",
        "type": "dashboards",
        "url": "",
    }
