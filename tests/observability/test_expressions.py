"""Every expression of dashboards and rules: PromQL that parses, of metrics that are exported."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from k8s.rules import CHART, filled, groups
from tests.observability.boards import asked_for_variables, expressions
from tests.observability.exported import exported, own_names, selectors
from tests.observability.tools import promtool

CHOSEN = {
    "__rate_interval": "1m",
    "__range": "3h",
    "namespace": "team",
    "model": "(a|b)",
    "objective": "0.995",
    "within": "2.5",
}
# Labels that Prometheus and its joins add, and those that only another side of a join has.
ADDED = {"namespace", "pod", "instance", "job"}


def chosen(expr: str) -> str:
    """As Grafana fills in its variables."""
    return re.sub(r"\$([a-z_]\w*)", lambda found: CHOSEN[found[1]], expr)


def rule_expressions() -> list[tuple[str, str]]:
    values = yaml.safe_load((CHART / "values.yaml").read_text(encoding="utf-8"))
    thresholds = values["monitoring"]["rules"]["thresholds"]
    more = {**thresholds, "namespace": "team", "release": "soloist"}
    return [
        (rule.get("alert") or rule["record"], rule["expr"])
        for path in sorted((CHART / "rules").glob("*.yaml"))
        for group in groups(filled(path.read_text(encoding="utf-8"), more), "runbooks")
        for rule in group["rules"]
    ]


EXPRESSIONS = [*expressions(), *asked_for_variables(), *rule_expressions()]
each = pytest.mark.parametrize(
    "expr", [pytest.param(expr, id=where) for where, expr in EXPRESSIONS]
)


@pytest.mark.slow
def test_every_expression_of_the_dashboards_parses(tmp_path: Path) -> None:
    rules: list[dict[str, Any]] = [
        {"record": f"checked:{number}", "expr": chosen(expr)}
        for number, (_, expr) in enumerate([*expressions(), *asked_for_variables()])
    ]
    file = tmp_path / "rules.yaml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "dashboards", "rules": rules}]}))

    assert f"{len(rules)} rules found" in promtool("check", "rules", file)


@each
def test_every_metric_of_ours_is_exported(expr: str) -> None:
    assert own_names(expr) - exported().keys() == set()


@each
def test_every_label_that_is_asked_for_is_exported(expr: str) -> None:
    known = exported()
    for name, matchers in selectors(expr):
        if name in known and not name.endswith("_info"):
            assert matchers.keys() - known[name] - ADDED == set(), name
