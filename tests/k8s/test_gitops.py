"""The examples for Argo CD and Flux: kinds as their controllers take them, one file of values, and an install that passes the check."""

import json
import re
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
import typer
import yaml
from command_result import Run
from fake_cluster import FakeCluster, Object
from release_objects import SECRETS

from k8s.__main__ import app
from k8s.required_objects import secrets_of
from k8s.values import Plan, load_values
from tests.charts.objects import of_kind, pods
from tests.charts.rendering import HELM, KUBERNETES, documents, render
from tests.support.external_tools import missing

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples" / "gitops"
VALUES = EXAMPLES / "values.yaml"
SCHEMAS = Path(__file__).parent / "schemas"
FILES = sorted([*EXAMPLES.glob("argocd/*.yaml"), *EXAMPLES.glob("flux/*.yaml")])
PREREQUISITES = ("monitoring", "keda")
BOTH = ("argocd", "flux")


@pytest.fixture(scope="module", autouse=True)
def _helm() -> None:
    if not all(path.exists() for path in HELM.values()):
        missing("Helm is not there: make helm")


@cache
def objects_of(controller: str) -> dict[str, Object]:
    """What it installs by name: an Application or a HelmRelease each."""
    found = [
        document
        for path in FILES
        if path.parent.name == controller
        for document in documents(path.read_text(encoding="utf-8"))
    ]
    return {
        each["metadata"]["name"]: each
        for each in found
        if each["kind"] in ("Application", "HelmRelease")
    }


def values() -> dict[str, Any]:
    return dict(yaml.safe_load(VALUES.read_text(encoding="utf-8")))


# --- the controllers' kinds -------------------------------------------------------------------------


@pytest.mark.parametrize("file", FILES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_every_document_is_what_its_controller_takes(file: Path) -> None:
    for document in documents(file.read_text(encoding="utf-8")):
        schema = json.loads((SCHEMAS / f"{document['kind'].lower()}.json").read_text("utf-8"))
        faults = jsonschema_rs.Draft202012Validator(schema).iter_errors(document)
        assert [f"{fault.instance_path}: {fault.message}" for fault in faults] == []


def test_our_schemas_refuse_what_they_do_not_know() -> None:
    for path in SCHEMAS.iterdir():
        schema = json.loads(path.read_text("utf-8"))
        assert schema["additionalProperties"] is False
        assert not jsonschema_rs.Draft202012Validator(schema).is_valid({"kind": "Other"})


@pytest.mark.parametrize("controller", BOTH)
@pytest.mark.parametrize("name", PREREQUISITES)
def test_prerequisites_have_the_versions_and_values_that_are_pinned(
    controller: str, name: str
) -> None:
    pinned = (ROOT / "k8s" / "prerequisites" / f"{name}.yaml").read_text(encoding="utf-8")
    found = re.search(r"chart (?:\S+/)(\S+) (v?[\d.]+\d)", pinned)
    assert found
    spec = objects_of(controller)[name]["spec"]
    chart = spec["source"] if controller == "argocd" else spec["chart"]["spec"]
    version = chart["targetRevision"] if controller == "argocd" else chart["version"]
    given = chart["helm"]["valuesObject"] if controller == "argocd" else spec["values"]

    assert (chart["chart"], version) == (found[1], found[2])
    assert given == yaml.safe_load(pinned)


def test_the_order_of_prerequisites_is_said_or_heals() -> None:
    flux = objects_of("flux")
    after = {
        name: {each["name"] for each in found["spec"].get("dependsOn", [])}
        for name, found in flux.items()
    }
    assert after == {"monitoring": set(), "keda": {"monitoring"}, "soloist": {"keda", "monitoring"}}
    wave = "argocd.argoproj.io/sync-wave"
    waves = {
        name: int(found["metadata"].get("annotations", {}).get(wave, 0))
        for name, found in objects_of("argocd").items()
    }
    assert sorted(waves, key=waves.__getitem__) == ["monitoring", "keda", "soloist"]
    for found in objects_of("argocd").values():
        policy = found["spec"]["syncPolicy"]
        assert {"ServerSideApply=true", "SkipDryRunOnMissingResource=true"} <= set(
            policy["syncOptions"]
        )
        assert policy["retry"]["limit"] >= 5


# --- Soloist itself ---------------------------------------------------------------------------------


def test_both_install_the_chart_with_the_one_file_of_values() -> None:
    source = objects_of("argocd")["soloist"]["spec"]["source"]
    chart = ROOT / source["path"]
    assert (chart / "Chart.yaml").is_file()
    assert [(chart / name).resolve() for name in source["helm"]["valueFiles"]] == [VALUES]
    spec = objects_of("flux")["soloist"]["spec"]
    assert ROOT / spec["chart"]["spec"]["chart"] == chart
    given = [ROOT / name for name in spec["chart"]["spec"]["valuesFiles"]]
    assert given == [chart / "values.yaml", VALUES]
    assert source["helm"]["releaseName"] == spec["releaseName"] == "soloist"
    assert objects_of("argocd")["soloist"]["metadata"]["name"] == source["helm"]["releaseName"]


def test_the_pages_commands_name_every_file_and_what_the_check_takes() -> None:
    page = (ROOT / "docs" / "gitops.md").read_text(encoding="utf-8")
    blocks = "".join(re.findall(r"^```sh\n(.*?)^```$", page, re.DOTALL | re.MULTILINE))
    assert {ROOT / name for name in re.findall(r" -f (\S+)", blocks)} == set(FILES)
    (arguments,) = re.findall(r"python -m k8s check (.*)", blocks)
    command = typer.main.get_command(app).commands["check"]  # type: ignore[attr-defined]
    given = command.make_context("check", arguments.split()).params
    assert [ROOT / file for file in given["values"]] == [VALUES]


def test_who_scales_a_deployment_is_not_fought() -> None:
    spec = objects_of("argocd")["soloist"]["spec"]
    (ignored,) = spec["ignoreDifferences"]
    assert (ignored["kind"], ignored["jsonPointers"]) == ("Deployment", ["/spec/replicas"])
    assert "RespectIgnoreDifferences=true" in spec["syncPolicy"]["syncOptions"]
    drift = objects_of("flux")["soloist"]["spec"]["driftDetection"]
    assert drift["ignore"] == [{"paths": ["/spec/replicas"], "target": {"kind": "Deployment"}}]
    scaled = {
        found["spec"]["scaleTargetRef"]["name"]
        for found in of_kind(render(values()), "ScaledObject")
    }
    assert scaled
    for found in of_kind(render(values()), "Deployment"):
        assert ("replicas" in found["spec"]) is (found["metadata"]["name"] not in scaled)


def test_flux_gives_its_test_the_time_that_a_prediction_may_take() -> None:
    (minutes,) = re.findall(r"^(\d+)m$", objects_of("flux")["soloist"]["spec"]["test"]["timeout"])

    assert int(minutes) * 60 > load_values([VALUES])["test"]["timeoutSeconds"]


@pytest.mark.parametrize("kubernetes", [KUBERNETES, "1.30.0"])
def test_two_renders_are_equal_and_both_helms_agree(kubernetes: str) -> None:
    renders = [
        render({**values(), **more}, helm=helm, kube=kubernetes)
        for helm in HELM
        for more in ({}, {"global": {}})
    ]

    assert all(each == renders[0] for each in renders)
    assert of_kind(renders[0], "Secret") == []


def test_every_secret_is_an_existing_one() -> None:
    wanted = {each.name for each in secrets_of(Plan(load_values([VALUES]))) if each.name}
    named = {
        variable["valueFrom"]["secretKeyRef"]["name"]
        for pod in pods(render(values()))
        for variable in pod.env().values()
        if "secretKeyRef" in variable.get("valueFrom", {})
    }

    assert wanted == {*named, *values()["images"]["pullSecrets"]} == {"ledger", "hub", "registry"}


def test_the_check_names_the_secrets_then_passes(fit: FakeCluster, check: Run) -> None:
    fit.add("/api/v1/namespaces", "monitoring")
    fit.kinds["monitoring.coreos.com/v1"] = {"podmonitors", "prometheusrules"}
    before = check(values())
    assert before.code == 1
    errors = [line for line in before.lines if line.startswith("error")]
    assert len(errors) == 3, before.out
    assert all(line.startswith("error secret ") for line in errors)
    for wanted in secrets_of(Plan(load_values([VALUES]))):
        if wanted.name:
            fit.add(SECRETS, wanted.name, data=dict.fromkeys(wanted.keys, "eA=="))
    after = check(values())

    assert after.code == 0, after.out
    assert all(line.startswith("ok ") for line in after.lines), after.out
