"""A dashboard's panels with what Prometheus found for them, drawn by a page in headless Chromium."""

import io
import json
import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from PIL import Image
from playwright.sync_api import sync_playwright

from tests.observability.live.grafana import View
from tests.observability.live.prometheus import Found, Prometheus

PAGE = Path(__file__).parent / "page"
CHROMIUM = "/usr/bin/chromium"
SCRIPTS = ("units.js", "frame.js", "times.js", "looks.js")
LABEL = re.compile(r"\{\{\s*(\w+)\s*\}\}")
COLORS = (224, 160, 112)
MOST_BYTES = 250_000
"""A picture has as many colours as fit."""


def collected(view: View, prometheus: Prometheus) -> dict[str, Any]:
    """All that the page needs to draw a dashboard, its folded rows open."""
    board = view.board
    return {
        "title": board["title"],
        "start": view.start,
        "end": view.end,
        "step": view.step,
        "chosen": chosen(view),
        "marks": [
            {
                "name": mark["name"],
                "color": mark["iconColor"],
                "times": beginnings(prometheus.query_range(view.filled(mark["expr"]), *span(view))),
            }
            for mark in board["annotations"]["list"]
            if "expr" in mark
        ],
        "panels": [
            {**panel, "found": [answered(view, prometheus, t) for t in panel.get("targets", ())]}
            for panel in opened(board["panels"])
        ],
    }


def span(view: View) -> tuple[float, float, float]:
    return view.start, view.end, view.step


def opened(panels: Iterable[dict[str, Any]]) -> Iterable[dict[str, Any]]:
    """Folded rows push down what is below them when they are opened."""
    down = 0
    for panel in panels:
        inner = panel.get("panels", [])
        for each in (panel, *inner):
            place = each["gridPos"]
            yield {**each, "gridPos": {**place, "y": place["y"] + down}}
        if inner:
            ends = max(each["gridPos"]["y"] + each["gridPos"]["h"] for each in inner)
            down += ends - panel["gridPos"]["y"] - 1


def chosen(view: View) -> list[tuple[str, str]]:
    values = {"datasource": "Prometheus", "namespace": view.namespace, "model": "All"}
    return [
        (each["label"], values.get(each["name"]) or each["current"]["value"])
        for each in view.board["templating"]["list"]
    ]


def beginnings(found: Found) -> list[float]:
    """When each spell of ones begins."""
    times: list[float] = []
    for series in found:
        before = -1e9
        for at, _ in series["values"]:
            if at - before > 60:
                times.append(at)
            before = at
    return times


def answered(view: View, prometheus: Prometheus, target: dict[str, Any]) -> dict[str, Any]:
    found = view.ask(prometheus, target)
    return {"refId": target["refId"], "series": [drawn(each, target) for each in found]}


def drawn(series: dict[str, Any], target: dict[str, Any]) -> dict[str, Any]:
    """A series with its name; what is no number is a gap."""
    labels = series["metric"]
    name = LABEL.sub(lambda found: labels.get(found[1], ""), target["legendFormat"])
    values = series.get("values") or [series["value"]]
    points = [[at, None if text in ("NaN", "+Inf", "-Inf") else float(text)] for at, text in values]
    return {"name": name.strip(), "labels": labels, "points": points}


def draw(boards: dict[str, Any], folder: Path) -> None:
    """One picture for each dashboard."""
    with sync_playwright() as playwright:
        sandbox = [] if os.geteuid() else ["--no-sandbox"]
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=sandbox)
        for name, board in boards.items():
            page = browser.new_page(viewport={"width": 1400, "height": 800})
            page.set_content((PAGE / "page.html").read_text(encoding="utf-8"))
            for script in SCRIPTS:
                page.add_script_tag(content=(PAGE / script).read_text(encoding="utf-8"))
            page.evaluate("board => drawBoard(board)", board)
            image = Image.open(io.BytesIO(page.screenshot(full_page=True))).convert("RGB")
            file = folder / f"dashboard-{name.removeprefix('soloist-')}.png"
            for count in COLORS:
                few = image.quantize(count, kmeans=2, dither=Image.Dither.NONE)
                few.save(file, optimize=True)
                if file.stat().st_size < MOST_BYTES:
                    break
            print(f"{file.name}: {image.width} x {image.height}, {file.stat().st_size // 1024} KiB")
            page.close()
        browser.close()


def kept(boards: dict[str, Any], file: Path) -> None:
    file.parent.mkdir(exist_ok=True)
    file.write_text(json.dumps(boards), encoding="utf-8")
