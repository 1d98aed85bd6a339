"""The dashboards: as the code writes them, complete, and the same everywhere."""

import itertools
import re
from typing import Any

import pytest

from k8s.dashboards import BOARDS as WRITTEN
from k8s.dashboards import text_of
from tests.observability.boards import BOARDS, FILES, every_panel, expressions, panels
from tests.observability.exported import STRING, exported, selectors

NAMES = {"overview", "gateway", "queue", "workers", "cost"}
TYPES = {"timeseries", "stat", "table", "bargauge", "state-timeline", "heatmap"}
UNITS = {
    "s",
    "short",
    "locale",
    "bytes",
    "percentunit",
    "reqps",
    "cps",
    "currencyUSD",
    "celsius",
    "watt",
    "h",
}
UNITS |= {"suffix: x"}

every = pytest.mark.parametrize(
    "panel", [pytest.param(panel, id=where) for where, panel in every_panel()]
)
each_board = pytest.mark.parametrize(
    "board", [pytest.param(board, id=name) for name, board in BOARDS.items()]
)


def test_the_files_are_what_the_code_writes() -> None:
    written = {board.name: text_of(board) for board in WRITTEN}

    assert written == {path.stem: path.read_text(encoding="utf-8") for path in FILES}, (
        "python -m k8s.dashboards"
    )


def test_there_are_five_and_each_has_its_uid_and_title() -> None:
    assert {board["uid"] for board in BOARDS.values()} == {f"soloist-{name}" for name in NAMES}
    assert all(name == board["uid"] for name, board in BOARDS.items())
    assert len({board["title"] for board in BOARDS.values()}) == len(NAMES)


@each_board
def test_a_dashboard_has_the_same_frame_as_all(board: dict[str, Any]) -> None:
    assert board["schemaVersion"] == 41
    assert board["id"] is None, "an id would overwrite somebody's dashboard"
    assert board["description"]
    (links,) = board["links"]
    assert (links["type"], links["tags"]) == ("dashboards", board["tags"])
    assert links["includeVars"]
    assert links["keepTime"]
    first = [variable["name"] for variable in board["templating"]["list"][:3]]
    assert first == ["datasource", "namespace", "model"]
    model = board["templating"]["list"][2]
    assert (model["multi"], model["includeAll"], model["allValue"]) == (True, True, ".*")
    assert [mark["name"] for mark in board["annotations"]["list"][1:]] == ["Scaling", "Rollouts"]


@each_board
def test_every_datasource_is_the_variable(board: dict[str, Any]) -> None:
    def all_of(value: Any) -> list[Any]:
        if isinstance(value, dict):
            own = [value["datasource"]] if "datasource" in value else []
            return own + [found for each in value.values() for found in all_of(each)]
        return (
            [found for each in value for found in all_of(each)] if isinstance(value, list) else []
        )

    uids = [found["uid"] for found in all_of(board)]
    assert set(uids) == {"${datasource}", "-- Grafana --"}
    assert uids.count("-- Grafana --") == 1, "the built-in annotations"


@each_board
def test_ids_and_titles_are_there_once(board: dict[str, Any]) -> None:
    everything = [*panels(board), *(p for p in board["panels"] if p["type"] == "row")]
    ids = [panel["id"] for panel in everything]
    titles = [panel["title"] for panel in everything]

    assert len(set(ids)) == len(ids)
    assert [title for title in titles if titles.count(title) > 1] == []


@each_board
def test_no_panel_covers_another(board: dict[str, Any]) -> None:
    for shown in [board["panels"], *(p["panels"] for p in board["panels"] if p["type"] == "row")]:
        places = [panel["gridPos"] for panel in shown]
        assert all(p["x"] >= 0 and p["x"] + p["w"] <= 24 for p in places)
        for a, b in itertools.combinations(places, 2):
            apart = (
                a["x"] + a["w"] <= b["x"]
                or b["x"] + b["w"] <= a["x"]
                or a["y"] + a["h"] <= b["y"]
                or b["y"] + b["h"] <= a["y"]
            )
            assert apart, (a, b)


@each_board
def test_what_needs_others_is_folded_and_says_so(board: dict[str, Any]) -> None:
    for row in (panel for panel in board["panels"] if panel["type"] == "row"):
        assert row["collapsed"] == ("(needs " in row["title"])
        assert bool(row["panels"]) == row["collapsed"]
        foreign = [
            target["expr"]
            for panel in row["panels"]
            for target in panel["targets"]
            if re.search("(kube|keda|DCGM)_", target["expr"])
        ]
        assert bool(foreign) == row["collapsed"]
    open_panels = [panel for panel in board["panels"] if panel["type"] != "row"]
    for target in (target for panel in open_panels for target in panel["targets"]):
        assert not re.search("(kube|keda|DCGM)_", target["expr"])


def test_the_overview_opens_with_the_five_questions() -> None:
    row, *first = BOARDS["soloist-overview"]["panels"][:6]

    assert row["type"] == "row"
    assert [panel["title"] for panel in first] == [
        "Is it answering?",
        "How long do people wait?",
        "Is it scaling?",
        "Are GPUs busy?",
        "What does it cost?",
    ]
    assert {panel["type"] for panel in first} == {"stat"}
    assert {panel["gridPos"]["y"] for panel in first} == {1}
    assert {panel["options"]["graphMode"] for panel in first} == {"area"}


@every
def test_a_panel_says_what_it_means_and_what_is_bad(panel: dict[str, Any]) -> None:
    assert panel["type"] in TYPES
    assert panel["title"]
    meaning, bad = panel["description"].split(" Bad: ")
    assert meaning.endswith(".")
    assert bad.endswith(".")
    defaults = panel["fieldConfig"]["defaults"]
    assert defaults["unit"] in UNITS
    assert defaults["thresholds"]["steps"][0]["value"] is None
    values = [step["value"] for step in defaults["thresholds"]["steps"][1:]]
    assert values == sorted(values)
    if panel["type"] not in ("timeseries", "bargauge", "table"):
        assert defaults["noValue"] != "No data", "say why there may be none"


@every
def test_every_series_has_a_name(panel: dict[str, Any]) -> None:
    assert panel["targets"]
    refs = [target["refId"] for target in panel["targets"]]
    assert refs == list("ABCDEFGH"[: len(refs)])
    if panel["type"] in ("timeseries", "bargauge", "state-timeline") or len(refs) > 1:
        named = [t["legendFormat"] for t in panel["targets"] if t["format"] != "table"]
        assert "__auto" not in named
    for override in panel["fieldConfig"]["overrides"]:
        name = override["matcher"]["options"]
        renamed = [
            shown
            for change in panel.get("transformations", [])
            for shown in change["options"].get("renameByName", {}).values()
        ]
        legends = [target["legendFormat"] for target in panel["targets"]]
        assert name in legends + renamed or any("{{" in legend for legend in legends)


@every
def test_rates_use_grafanas_interval_or_say_their_window(panel: dict[str, Any]) -> None:
    windows = r"\$__rate_interval|\$__range(:1m)?|5m|15m|1h(:1m)?"
    for target in panel["targets"]:
        for window in re.findall(r"\[([^\]]+)\]", STRING.sub("", target["expr"])):
            assert re.fullmatch(windows, window)
        if "rate(" in target["expr"] and "[1h]" not in target["expr"]:
            assert "$__rate_interval" in target["expr"]
        assert target["instant"] != target["range"]


@pytest.mark.parametrize("expr", [pytest.param(expr, id=where) for where, expr in expressions()])
def test_a_query_asks_only_for_what_was_chosen(expr: str) -> None:
    known = exported()
    assert re.findall(r"soloist_\w+(?![\w{])", STRING.sub("", expr)) == [], "without matchers"
    for name, matchers in selectors(expr):
        namespace = matchers.get("exported_namespace") or matchers["namespace"]
        assert namespace in ("$namespace", "$namespace|")
        if "model" in known.get(name, ()):
            assert matchers["model"] == "$model", name
