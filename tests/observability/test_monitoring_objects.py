"""The chart's monitoring objects: dashboards and rules, where they are asked for."""

from typing import Any

import pytest

from tests.charts.rendering import HELM, refusal, render
from tests.observability.boards import FILES
from tests.support.external_tools import missing

ASKED = {
    "monitoring": {
        "rules": {"enabled": True, "labels": {"prometheus": "k8s"}},
        "dashboards": {
            "enabled": True,
            "label": "dashboards",
            "labelValue": "yes",
            "annotations": {"grafana_folder": "Serving"},
        },
    }
}


@pytest.fixture(autouse=True)
def helms() -> None:
    if not all(path.exists() for path in HELM.values()):
        missing("Helm is not there: make helm")


def monitoring(values: dict[str, Any], helm: int = 4) -> list[dict[str, Any]]:
    """The rules and the dashboards."""
    return [
        each
        for each in render(values, helm=helm)
        if each["kind"] == "PrometheusRule" or "-dashboard-" in each["metadata"]["name"]
    ]


def test_there_are_none_unless_asked() -> None:
    assert monitoring({}) == []


def test_both_helms_render_the_same() -> None:
    assert monitoring(ASKED, 3) == monitoring(ASKED, 4)


def test_each_dashboard_is_a_config_map_that_grafana_finds() -> None:
    maps = [each for each in monitoring(ASKED) if each["kind"] == "ConfigMap"]

    assert [each["metadata"]["name"] for each in maps] == [
        f"soloist-dashboard-{path.stem.removeprefix('soloist-')}" for path in FILES
    ]
    for path, each in zip(FILES, maps, strict=True):
        assert each["data"] == {path.name: path.read_text(encoding="utf-8")}, "braces and all"
        assert each["metadata"]["labels"]["dashboards"] == "yes"
        assert each["metadata"]["annotations"] == {"grafana_folder": "Serving"}


def test_the_rules_have_the_labels_that_the_operator_selects_by() -> None:
    (rule,) = (each for each in monitoring(ASKED) if each["kind"] == "PrometheusRule")

    assert rule["metadata"]["labels"]["prometheus"] == "k8s"
    names = [group["name"] for group in rule["spec"]["groups"]]
    assert len(names) == len(set(names))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("latencySeconds", 7),
        ("availability", 1),
        ("stuckAtZeroMinutes", 0.5),
        ("latencyModels", 'a"b'),
        ("unknown", 1),
    ],
)
def test_a_threshold_that_cannot_work_is_refused(key: str, value: object) -> None:
    values = {"monitoring": {"rules": {"thresholds": {key: value}}}}

    assert key in refusal(values)
