"""What is written around the chart agrees with itself: versions, files, findings, and docs."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from command_result import Run
from fake_cluster import FakeCluster
from release_objects import add_pod, ended

from k8s import needs, preflight
from k8s.values import CHART, load_values, look_up

ROOT = Path(__file__).parents[2]
README = (ROOT / "k8s" / "README.md").read_text(encoding="utf-8")
DOCS = (ROOT / "docs" / "kubernetes.md").read_text(encoding="utf-8")
PINNED = {"keda.yaml": "keda", "gpu-operator.yaml": "gpu-operator", "monitoring.yaml": "monitoring"}


@pytest.mark.parametrize(("file", "release"), PINNED.items())
def test_each_prerequisite_is_installed_in_the_version_that_its_values_are_for(
    file: str, release: str
) -> None:
    text = (ROOT / "k8s" / "prerequisites" / file).read_text(encoding="utf-8")
    named = re.search(r"chart (\S+) (v?[\d.]+\d)", text)
    assert named
    line = rf"helm install {release} {named[1]} --version {re.escape(named[2])} "

    assert re.search(line + rf".*{file}", README.replace("\\\n", " ")), file
    assert yaml.safe_load(text)


def test_every_prerequisite_is_in_the_readme() -> None:
    files = {path.name for path in (ROOT / "k8s" / "prerequisites").iterdir()}

    assert files == set(PINNED)


def test_the_pinned_keda_is_one_that_the_check_accepts() -> None:
    pages = README + DOCS + (ROOT / "README.md").read_text(encoding="utf-8")
    versions = re.findall(r"helm install keda .*--version (\S+)", pages.replace("\\\n", " "))

    assert len(versions) == 4
    assert len(set(versions)) == 1
    found = needs.version_of(versions[0])
    assert found
    assert found >= needs.KEDA


def test_kinds_nodes_are_new_enough_for_the_chart() -> None:
    nodes = yaml.safe_load((ROOT / "k8s" / "kind.yaml").read_text())["nodes"]

    for node in nodes:
        version = needs.version_of(node["image"].partition(":")[2])
        assert version
        assert version >= needs.KUBERNETES
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert chart["kubeVersion"] == f">={needs.KUBERNETES[0]}.{needs.KUBERNETES[1]}.0-0"


def test_the_images_of_the_readme_are_those_that_the_chart_asks_for() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    images = load_values([])["images"]

    for image in (images["api"], images["worker"]):
        assert f"-t {image['repository']}:{chart['appVersion']} ." in README


def test_the_switches_of_other_kinds_are_values() -> None:
    values = load_values([])

    for switch, _, _ in preflight.KINDS:
        path = switch.partition("=")[0]
        assert look_up(values, path) is not None, path


VALUES: dict[str, Any] = {
    "images": {"pullSecrets": ["registry"]},
    "gateway": {"priorityClassName": "high", "hpa": {"enabled": True}},
    "broker": {"mode": "operator"},
    "models": {"spam": {"gpu": {"mode": "devicePlugin"}}},
}


def test_the_docs_name_every_finding(installed: FakeCluster, check: Run) -> None:
    add_pod(installed, containerStatuses=[ended(1)])
    findings = [json.loads(line) for line in check(VALUES, "--json").lines]
    installed.forbidden.append("ml/deployments")
    findings += [json.loads(line) for line in check(None, "--json").lines]

    assert len(findings) > 20
    for finding in findings:
        subject = finding["subject"]
        words = subject if f"`{subject}`" in DOCS else subject.split()[0]
        assert f"`{words}" in DOCS, subject


def test_an_error_and_a_warning_say_what_to_do(installed: FakeCluster, check: Run) -> None:
    for line in check(VALUES, "--json").lines:
        finding = json.loads(line)
        assert bool(finding["way_out"]) is (finding["level"] != "ok"), finding
