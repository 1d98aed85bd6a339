"""The rules as Helm renders them: each alert fires once and stays silent once, and says what it means."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from k8s.rules import TARGET, plain
from tests.charts.rendering import HELM, render
from tests.observability.tools import promtool
from tests.support.external_tools import missing

pytestmark = pytest.mark.slow

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
CASES: dict[str, Any] = {
    alert: case
    for path in sorted((HERE / "cases").glob("*.yaml"))
    for alert, case in yaml.safe_load(path.read_text(encoding="utf-8")).items()
}
OF_THE_RELEASE = {"namespace": "team", "release": "soloist"}
WANTED = {"enabled": True}


def rules(**values: Any) -> list[dict[str, Any]]:
    """The groups of the PrometheusRule."""
    if not HELM[4].exists():
        missing("Helm is not there: make helm")
    found = render({"monitoring": {"rules": {**WANTED, **values}}})
    (rule,) = (each for each in found if each["kind"] == "PrometheusRule")
    groups: list[dict[str, Any]] = rule["spec"]["groups"]
    return groups


def alerts(groups: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {rule["alert"]: rule for group in groups for rule in group["rules"] if "alert" in rule}


def needed(alert: str) -> list[dict[str, Any]]:
    """The group of an alert, and the one that records what it asks for."""
    groups = rules()
    found = [group for group in groups if alert in alerts([group])]
    recorded = "soloist:" in alerts(found)[alert]["expr"]
    return found + [group for group in groups if recorded and group["name"] == "soloist-budget"]


def series(name: str) -> str:
    """In the release's namespace, if it says no other."""
    if 'namespace="' in name:
        return name
    bare, _, labels = name.partition("{")
    return f'{bare}{{namespace="team"{"," if labels else ""}{labels or "}"}'


def run(folder: Path, groups: list[dict[str, Any]], *tests: dict[str, Any]) -> None:
    (folder / "rules.yaml").write_text(yaml.safe_dump({"groups": groups}))
    file = folder / "tests.yaml"
    whole = {"rule_files": ["rules.yaml"], "evaluation_interval": "1m", "tests": list(tests)}
    file.write_text(yaml.safe_dump(whole))
    promtool("test", "rules", file)


def inputs(given: dict[str, str]) -> dict[str, Any]:
    shown = [{"series": series(name), "values": values} for name, values in given.items()]
    return {"interval": "1m", "input_series": shown}


def test_promtool_is_content(tmp_path: Path) -> None:
    file = tmp_path / "rules.yaml"
    file.write_text(yaml.safe_dump({"groups": rules()}))

    assert "SUCCESS" in promtool("check", "rules", file)


@pytest.mark.parametrize("alert", CASES)
def test_an_alert_fires_and_says_why(alert: str, tmp_path: Path) -> None:
    groups, case = needed(alert), CASES[alert]["fires"]
    labels = {"severity": alerts(groups)[alert]["labels"]["severity"], **OF_THE_RELEASE}
    annotations = {
        "summary": case["summary"],
        "description": case["description"],
        "runbook_url": f"docs/runbooks/{alert}.md",
    }
    expected = {"exp_labels": labels | case.get("labels", {}), "exp_annotations": annotations}
    look = {"eval_time": case["at"], "alertname": alert, "exp_alerts": [expected]}

    run(tmp_path, groups, {**inputs(case["series"]), "alert_rule_test": [look]})


@pytest.mark.parametrize("alert", CASES)
def test_an_alert_is_silent_where_nothing_is_wrong(alert: str, tmp_path: Path) -> None:
    case = CASES[alert]["silent"]
    look = {"eval_time": case["at"], "alertname": alert, "exp_alerts": []}

    run(tmp_path, needed(alert), {**inputs(case["series"]), "alert_rule_test": [look]})


BURNS = [
    # 10 % of the requests fail, 0.5 % may.
    (
        {
            'soloist_http_requests_total{status="200"}': "0+90x80",
            'soloist_http_requests_total{status="503"}': "0+10x80",
        },
        "requests",
        20.0,
    ),
    # One of three an hour: as if there were 60, of which one failed.
    (
        {
            'soloist_http_requests_total{status="200"}': "1000+0x80",
            'soloist_http_requests_total{status="503"}': "1000+0.0166666666666666x80",
        },
        "requests",
        1 / 60 / 0.005,
    ),
    # Two keepers say the same of one ledger.
    (
        {
            f'soloist_predictions_{name}{{pod="{pod}",model="m",{label}}}': values
            for pod in ("a", "b")
            for name, label, values in (
                ("finished_total", 'outcome="succeeded"', "0+98x80"),
                ("finished_total", 'outcome="failed"', "0+2x80"),
                ("failed_total", 'code="timeout"', "0+1x80"),
                ("failed_total", 'code="model_error"', "0+1x80"),
            )
        },
        "predictions",
        2.0,
    ),
    # 40 % take too long, 5 % may.
    (
        {
            'soloist_prediction_seconds_count{model="m",cold="false"}': "0+100x80",
            'soloist_prediction_seconds_bucket{model="m",cold="false",le="10.0"}': "0+60x80",
        },
        "latency",
        8.0,
    ),
]


@pytest.mark.parametrize(("given", "sli", "burn"), BURNS)
def test_the_burn_is_how_many_times_too_fast_the_budget_goes(
    given: dict[str, str], sli: str, burn: float, tmp_path: Path
) -> None:
    labels = ", ".join(f'{key}="{value}"' for key, value in OF_THE_RELEASE.items())
    looks = [
        {
            "expr": f'round(soloist:budget_burn:{window}{{sli="{sli}"}}, 0.1)',
            "eval_time": "70m",
            "exp_samples": [{"labels": f'{{{labels}, sli="{sli}"}}', "value": round(burn, 1)}],
        }
        for window in ("5m", "30m", "1h", "6h", "3d")
    ]

    run(tmp_path, needed("SoloistLatencyBurn"), {**inputs(given), "promql_expr_test": looks})


def test_every_alert_has_its_cases() -> None:
    assert set(CASES) == set(alerts(rules()))
    assert all(set(case) == {"fires", "silent"} for case in CASES.values())


def test_every_alert_has_a_severity_and_an_address_of_its_runbook() -> None:
    found = alerts(rules(runbookUrl="https://example.org/soloist/"))

    for name, rule in found.items():
        assert name.startswith("Soloist")
        assert "Down" not in name, "workers come and go by design"
        assert rule["labels"]["severity"] in ("page", "ticket", "info")
        assert rule["annotations"]["runbook_url"] == f"https://example.org/soloist/{name}.md"


def test_every_alert_has_its_runbook_and_every_runbook_its_alert() -> None:
    pages = {path.stem: path.read_text() for path in (ROOT / "docs/runbooks").glob("*.md")}

    assert set(pages) == set(alerts(rules()))
    for name, page in pages.items():
        assert page.startswith(f"# {name}\n")
        assert [line for line in page.splitlines() if line.startswith("## ")] == [
            "## What it means",
            "## What to look at",
            "## What to do",
        ]


def test_the_documentation_lists_every_alert_with_its_severity() -> None:
    text = (ROOT / "docs" / "observability.md").read_text(encoding="utf-8")
    listed = dict(re.findall(r"^\| \[(Soloist\w+)\]\(runbooks/\1\.md\) \| (\w+) \|", text, re.M))

    assert listed == {name: rule["labels"]["severity"] for name, rule in alerts(rules()).items()}


def test_every_threshold_changes_a_rule() -> None:
    usual = rules()
    values = yaml.safe_load((ROOT / "charts/soloist/values.yaml").read_text(encoding="utf-8"))
    for name, value in values["monitoring"]["rules"]["thresholds"].items():
        other = {"latencySeconds": 30, "latencyModels": "spam"}.get(name)
        if other is None:
            other = value / 2 if 0 < value < 1 else value + 1
        changed = rules(thresholds={name: other})

        assert changed != usual, name


def test_the_rules_are_of_one_release_and_of_what_else_is_chosen() -> None:
    found = alerts(rules(selector='job="team/soloist"'))

    waiting = 'soloist_queue_depth{job="team/soloist", state="queued"}'
    assert waiting in found["SoloistStuckAtZero"]["expr"]
    burn = 'soloist:budget_burn:1h{namespace="team", release="soloist", sli="latency"}'
    assert burn in found["SoloistLatencyBurn"]["expr"]
    assert not [rule["expr"] for rule in found.values() if re.search("<[a-zA-Z]+>", str(rule))]


def test_the_file_for_prometheus_alone_is_what_the_code_writes() -> None:
    assert TARGET.read_text(encoding="utf-8") == plain(), "python -m k8s.rules"


def test_the_file_for_prometheus_alone_holds_all_that_needs_no_cluster(tmp_path: Path) -> None:
    groups = yaml.safe_load(plain())["groups"]
    text = yaml.safe_dump(groups)

    assert "SUCCESS" in promtool("check", "rules", TARGET)
    assert not re.search("<[a-zA-Z]+>|namespace|kube_|keda_", text)
    cluster = set(yaml.safe_load((HERE / "cases/kubernetes.yaml").read_text()))
    assert alerts(groups).keys() == CASES.keys() - cluster
    for name, rule in alerts(groups).items():
        assert rule["annotations"]["summary"] == alerts(rules())[name]["annotations"]["summary"]
