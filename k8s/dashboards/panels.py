"""The panels: plain Grafana JSON, with a title, what it means, what is bad, a unit and queries."""

from collections.abc import Iterable, Mapping
from typing import Any

from k8s.dashboards.queries import DATASOURCE, Query

Panel = dict[str, Any]
Steps = tuple[tuple[float | None, str], ...]
"""Colours from a value on; the first holds from below."""

CALM: Steps = ((None, "text"),)
LIST = {"calcs": [], "displayMode": "list", "placement": "bottom", "showLegend": True}


def timeseries(
    title: str,
    means: str,
    unit: str,
    *queries: Query,
    bad: str,
    steps: Steps = CALM,
    stacked: bool = False,
    many: bool = False,
    colors: Mapping[str, str] | None = None,
    empty: str = "No data",
    size: tuple[int, int] = (8, 8),
    **defaults: Any,
) -> Panel:
    """Lines over time; areas of `many` lines would hide each other, so they have none."""
    fill = 30 if stacked else 0 if many else 10
    return _panel(
        "timeseries",
        title,
        f"{means} Bad: {bad}",
        queries,
        size,
        {
            **_field(unit, steps, empty),
            "color": {"mode": "palette-classic-by-name"},
            "custom": _lines(stacked, fill, steps),
            "min": 0,
            **defaults,
        },
        {
            "legend": {
                "calcs": ["lastNotNull", "max"],
                "displayMode": "table",
                "placement": "bottom",
                "showLegend": True,
                "sortBy": "Max",
                "sortDesc": True,
            },
            "tooltip": {"mode": "multi", "sort": "desc"},
        },
        [_colored(name, color) for name, color in (colors or {}).items()],
    )


def stat(
    title: str,
    means: str,
    unit: str,
    *queries: Query,
    bad: str,
    steps: Steps = CALM,
    units: Mapping[str, str] | None = None,
    empty: str = "No data",
    size: tuple[int, int] = (4, 5),
    **defaults: Any,
) -> Panel:
    """Big numbers with their way over time. `units` are those of series with another unit, by legend."""
    return _panel(
        "stat",
        title,
        f"{means} Bad: {bad}",
        queries,
        size,
        {**_field(unit, steps, empty), "color": {"mode": "thresholds"}, **defaults},
        {
            "colorMode": "value" if steps is CALM else "background",
            "graphMode": "area",
            "justifyMode": "auto",
            "orientation": "auto",
            "percentChangeColorMode": "standard",
            "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
            "showPercentChange": False,
            "textMode": "value_and_name" if len(queries) > 1 else "value",
            "wideLayout": True,
        },
        [_plain(name, other) for name, other in (units or {}).items()],
    )


def bars(
    title: str,
    means: str,
    unit: str,
    *queries: Query,
    bad: str,
    steps: Steps = CALM,
    empty: str = "No data",
    size: tuple[int, int] = (8, 8),
) -> Panel:
    """One bar for each series, as it is now."""
    return _panel(
        "bargauge",
        title,
        f"{means} Bad: {bad}",
        queries,
        size,
        {**_field(unit, steps, empty), "color": {"mode": "thresholds"}, "min": 0},
        {
            "displayMode": "basic",
            "legend": {**LIST, "showLegend": False},
            "maxVizHeight": 300,
            "minVizHeight": 16,
            "minVizWidth": 8,
            "namePlacement": "auto",
            "orientation": "horizontal",
            "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
            "showUnfilled": True,
            "sizing": "auto",
            "valueMode": "color",
        },
    )


def heatmap(
    title: str,
    means: str,
    unit: str,
    histogram: Query,
    *,
    bad: str,
    empty: str = "No data",
    size: tuple[int, int] = (8, 8),
) -> Panel:
    """How a histogram's buckets fill over time."""
    return _panel(
        "heatmap",
        title,
        f"{means} Bad: {bad}",
        [{**histogram, "format": "heatmap", "legendFormat": "{{le}}"}],
        size,
        {**_field(unit, CALM, empty), "custom": {"scaleDistribution": {"type": "linear"}}},
        {
            "calculate": False,
            "cellGap": 1,
            "color": {
                "exponent": 0.5,
                "fill": "dark-orange",
                "mode": "scheme",
                "reverse": False,
                "scale": "exponential",
                "scheme": "Oranges",
                "steps": 64,
            },
            "exemplars": {"color": "rgba(255,0,255,0.7)"},
            "filterValues": {"le": 1e-9},
            "legend": {"show": True},
            "rowsFrame": {"layout": "auto"},
            "showValue": "never",
            "tooltip": {"mode": "single", "showColorScale": False, "yHistogram": False},
            "yAxis": {"axisPlacement": "left", "reverse": False, "unit": unit},
        },
    )


def timeline(
    title: str,
    means: str,
    *queries: Query,
    bad: str,
    words: Mapping[int, tuple[str, str]],
    empty: str = "No data",
    size: tuple[int, int] = (8, 8),
) -> Panel:
    """States as coloured bars; `words` gives the text and the colour of each value."""
    options = {
        str(value): {"color": color, "index": index, "text": text}
        for index, (value, (text, color)) in enumerate(words.items())
    }
    return _panel(
        "state-timeline",
        title,
        f"{means} Bad: {bad}",
        queries,
        size,
        {
            **_field("short", CALM, empty),
            "color": {"mode": "thresholds"},
            "custom": {"fillOpacity": 70, "lineWidth": 0},
            "mappings": [{"options": options, "type": "value"}],
        },
        {
            "alignValue": "left",
            "legend": LIST,
            "mergeValues": True,
            "rowHeight": 0.8,
            "showValue": "auto",
            "tooltip": {"mode": "single", "sort": "none"},
        },
    )


def table(
    title: str,
    means: str,
    *queries: Query,
    bad: str,
    columns: Mapping[str, str],
    units: Mapping[str, str] | None = None,
    empty: str = "No data",
    size: tuple[int, int] = (24, 8),
) -> Panel:
    """Labels and values in columns: `columns` maps what Prometheus calls them to what people read, in
    order; what it does not name is left out. `units` are by what people read.
    """
    keep = {"id": "filterFieldsByName", "options": {"include": {"names": list(columns)}}}
    order = {name: place for place, name in enumerate(columns)}
    named = {
        "id": "organize",
        "options": {"excludeByName": {}, "indexByName": order, "renameByName": dict(columns)},
    }
    return _panel(
        "table",
        title,
        f"{means} Bad: {bad}",
        queries,
        size,
        {
            **_field("short", CALM, empty),
            "custom": {"align": "auto", "cellOptions": {"type": "auto"}, "inspect": False},
        },
        {"cellHeight": "sm", "frameIndex": 0, "showHeader": True},
        [_plain(name, unit) for name, unit in (units or {}).items()],
        [{"id": "merge", "options": {}}, keep, named],
    )


def _panel(
    kind: str,
    title: str,
    description: str,
    queries: Iterable[Query],
    size: tuple[int, int],
    defaults: dict[str, Any],
    options: dict[str, Any],
    overrides: list[dict[str, Any]] | None = None,
    transformations: list[dict[str, Any]] | None = None,
) -> Panel:
    width, height = size
    panel: Panel = {
        "type": kind,
        "title": title,
        "description": " ".join(description.split()),
        "datasource": DATASOURCE,
        "gridPos": {"h": height, "w": width, "x": 0, "y": 0},
        "targets": [
            {**each, "refId": letter} for letter, each in zip("ABCDEFGH", queries, strict=False)
        ],
        "fieldConfig": {"defaults": defaults, "overrides": overrides or []},
        "options": options,
        "pluginVersion": "11.0.0",
    }
    if transformations:
        panel["transformations"] = transformations
    return panel


def _field(unit: str, steps: Steps, empty: str) -> dict[str, Any]:
    colours = [{"color": color, "value": value} for value, color in steps]
    return {
        "mappings": [],
        "noValue": empty,
        "thresholds": {"mode": "absolute", "steps": colours},
        "unit": unit,
    }


def _lines(stacked: bool, fill: int, steps: Steps) -> dict[str, Any]:
    return {
        "drawStyle": "line",
        "lineWidth": 1,
        "fillOpacity": fill,
        "showPoints": "never",
        "spanNulls": False,
        "stacking": {"group": "A", "mode": "normal" if stacked else "none"},
        # A limit is a line, where there is one.
        "thresholdsStyle": {"mode": "off" if steps is CALM else "dashed"},
    }


def _named(name: str, *properties: tuple[str, Any]) -> dict[str, Any]:
    return {
        "matcher": {"id": "byName", "options": name},
        "properties": [{"id": id, "value": value} for id, value in properties],
    }


def _colored(name: str, color: str) -> dict[str, Any]:
    return _named(name, ("color", {"fixedColor": color, "mode": "fixed"}))


def _plain(name: str, unit: str) -> dict[str, Any]:
    calm = {"mode": "absolute", "steps": [{"color": "text", "value": None}]}
    return _named(name, ("unit", unit), ("thresholds", calm))
