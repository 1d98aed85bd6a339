"""Rights in one namespace are enough: with what k8s/roles gives and nothing more, with both Helms."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.charts.loops import for_each_scenario
from tests.charts.rendering import (
    CHART,
    HELM,
    ROOT,
    Object,
    documents,
    environment,
    render,
    unframed,
)
from tests.charts.scenarios import SCENARIOS, merged
from tests.k8s.api_server import ApiServer
from tests.k8s.discovery import KINDS
from tests.k8s.rbac import Rule, grants
from tests.support.fake_api_server import served

ROLES = ROOT / "k8s" / "roles"
NAMESPACE = "team"
SPARE = {"placeholderPriorityClassName": "spare"}
MORE = merged(
    SCENARIOS["everything"],
    {
        **SPARE,
        "gpu": {"mode": "dra"},
        "broker": {
            "mode": "operator",
            "external": {"host": "", "existingSecret": "", "usernameKey": ""},
        },
    },
)
"""A release of every kind that the chart knows, beside those of `everything`."""
METRICS = "soloist_keeper_broker_up 1.0\n"


def rules_of(file: str) -> list[Rule]:
    """The rules of the role that a file of ours gives."""
    (role,) = [
        found
        for found in documents((ROLES / file).read_text("utf-8"))
        if found["kind"] in ("Role", "ClusterRole")
    ]
    return role["rules"]


def administrator() -> list[Rule]:
    """`admin` in the namespace, once KEDA's kinds are among its rights."""
    file = Path(__file__).with_name("cluster_roles.yaml")
    roles = yaml.safe_load(file.read_text("utf-8"))
    return [*roles["kubernetes"], *roles["keda"]]


@dataclass
class Hands:
    """Somebody with a Helm and a kubeconfig."""

    api: ApiServer
    kubeconfig: Path
    major: int = 4
    more: dict[str, str] = field(default_factory=dict)
    """Further environment."""

    def helm(self, *arguments: str, values: Any = None) -> str:
        """What it answers; it must succeed."""
        given = [] if values is None else ["--values", "-"]
        command = [str(HELM[self.major]), *arguments, *given, "--namespace", NAMESPACE]
        return self._run(command, json.dumps(values))

    def k8s(self, *arguments: str) -> str:
        command = [sys.executable, "-m", "k8s", *arguments, "--namespace", NAMESPACE]
        return self._run(command, "")

    def refused(self, *arguments: str, values: Any = None) -> str:
        """Why Helm does not."""
        with pytest.raises(AssertionError) as failed:
            self.helm(*arguments, values=values)
        return unframed(str(failed.value))

    def _run(self, command: list[str], values: str) -> str:
        env = {**environment(), "KUBECONFIG": str(self.kubeconfig), **self.more}
        done = subprocess.run(
            command, input=values, capture_output=True, text=True, env=env, cwd=ROOT, timeout=120
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


@pytest.fixture
def api() -> ApiServer:
    """A cluster in which nothing but what the installer's role gives is allowed."""
    api = ApiServer(rules=rules_of("installer.yaml"), namespace=NAMESPACE)
    api.make_namespace(NAMESPACE)
    api.behind["soloist-gateway:http"] = gateway
    api.behind["soloist-keeper-0:8001"] = lambda *_: (200, METRICS)
    api.allowed.add((f"system:serviceaccount:{NAMESPACE}:soloist-keeper", "patch", "pods"))
    return api


@pytest.fixture
def hands(api: ApiServer, tmp_path: Path) -> Iterator[Hands]:
    with served(api, tmp_path, NAMESPACE) as kubeconfig:
        yield Hands(api, kubeconfig)


def gateway(method: str, path: str, body: Any, headers: dict[str, str]) -> tuple[int, Any]:
    if path == "/readyz":
        return 200, {"status": "ok"}
    if method == "POST":
        return 201, {"id": "a", "status": "succeeded", "output": [0.5]}
    return 200, {"results": [{"id": "local/minilm"}]}


def life(hands: Hands, first: Object, *more: Object) -> None:
    """A release from its install to its uninstall, waited for and looked at on the way."""
    wait = ("--wait", "--timeout", "30s")
    hands.helm("install", "soloist", str(CHART), *wait, values=first)
    told = hands.helm("test", "soloist", "--logs", "--timeout", "30s")
    assert "Succeeded" in told
    for values in more:
        hands.helm("upgrade", "soloist", str(CHART), *wait, values=values)
    hands.helm("rollback", "soloist", "1", *wait)
    for verb, name in (("upgrade", "soloist"), ("install", "second"), ("template", "second")):
        hands.helm(verb, name, str(CHART), "--dry-run=server", values=first)
    hands.helm("list")
    hands.helm("uninstall", "soloist", *wait)


def outside(api: ApiServer) -> set[tuple[str, str]]:
    """What was asked for in vain."""
    return {(asked.verb, asked.resource) for asked in api.refused}


PROBES = {("get", "namespaces")}
"""Helm 3 looks whether the namespace itself is gone, and does without an answer."""


def look_around(hands: Hands, values: Path) -> None:
    """Check a release before its upgrade and after it, and smoke it; what may not be seen is a warning."""
    values.write_text("{}", "utf-8")
    for given in ([], ["--values", str(values)]):
        told = hands.k8s("check", *given)
        assert "error" not in told, told
        for line in told.splitlines():
            assert line.startswith("warn") or "is forbidden" not in line, line
        assert "may mark busy workers" in told
        assert "ok    numbers of minilm" in told
        assert "serves local/minilm" in told
    assert "succeeded" in hands.k8s("smoke")


@pytest.mark.slow
def test_the_installers_role_is_enough_for_a_release_and_each_of_its_rights_is_needed(
    api: ApiServer, hands: Hands, tmp_path: Path
) -> None:
    api.lists_in_watches = False  # the oldest Kubernetes that we support
    hands.k8s("check")
    for hands.major in HELM:
        life(hands, SCENARIOS["broker bundled"], merged(SCENARIOS["everything"], SPARE), MORE)
    hands.helm("install", "soloist", str(CHART), values={})
    assert outside(api) <= PROBES | BEYOND
    look_around(hands, tmp_path / "values.yaml")
    assert outside(api) <= PROBES | BEYOND
    assert api.used == grants(api.rules)


BEYOND = {("list", "deployments"), ("get", "apiservices"), ("list", "storageclasses")}
"""What a check of the chart's own values would like to see of the cluster."""


@pytest.mark.slow
def test_helm_4_waits_with_these_rights_where_a_watch_brings_the_list_too(hands: Hands) -> None:
    life(hands, {}, {"gateway": {"replicas": 3}})
    assert not hands.api.refused


@pytest.mark.slow
def test_a_namespaces_administrator_needs_keda_s_rights_and_no_more(
    api: ApiServer, hands: Hands, tmp_path: Path
) -> None:
    api.rules = administrator()
    for hands.major in HELM:
        life(hands, SCENARIOS["broker bundled"], {"gateway": {"hpa": {"enabled": True}}})
    assert not api.refused
    hands.helm("install", "soloist", str(CHART), values={})
    look_around(hands, tmp_path / "values.yaml")


def test_a_namespaces_administrator_without_keda_s_rights_is_told_which_one_is_missing(
    api: ApiServer, hands: Hands, helm: int
) -> None:
    api.rules = [rule for rule in administrator() if rule["apiGroups"] != ["keda.sh"]]
    hands.major = helm
    said = hands.refused("install", "soloist", str(CHART), values={})
    assert 'resource "scaledobjects" in API group "keda.sh"' in said or "triggerauth" in said, said


def test_nobody_gives_the_keeper_a_right_that_he_has_not(
    api: ApiServer, hands: Hands, helm: int
) -> None:
    def lacking(rule: Rule) -> Rule:
        return {**rule, "resources": [name for name in rule["resources"] if name != "pods"]}

    api.rules = [lacking(rule) for rule in api.rules]
    hands.major = helm
    assert "cannot grant" in hands.refused("install", "soloist", str(CHART), values={})


def test_an_onlooker_may_see_all_that_a_check_looks_at_and_nothing_else(
    api: ApiServer, hands: Hands, tmp_path: Path
) -> None:
    api.everywhere = rules_of("onlooker.yaml")
    api.add("/apis/resource.k8s.io/v1/deviceclasses", "gpu.nvidia.com")
    file = tmp_path / "values.yaml"
    own = {"priorityClassName": "high", "gpu": {"mode": "devicePlugin", "runtimeClassName": "n"}}
    monitored = {"monitoring": {"podMonitor": {"enabled": True}}}
    file.write_text(
        json.dumps(merged(merged(MORE, monitored), {"models": {"python-model": own}})), "utf-8"
    )
    with pytest.raises(AssertionError, match="error"):  # much is missing in this cluster
        hands.k8s("check", "--values", str(file))
    assert not api.refused
    assert grants(api.everywhere) <= api.used


def test_a_cluster_without_keda_is_told_so_and_no_look_leaves_the_namespace(
    api: ApiServer, hands: Hands, helm: int
) -> None:
    api.without = {"keda.sh/v1alpha1"}
    hands.major = helm
    said = hands.refused("install", "soloist", str(CHART), values={})
    assert said.startswith("KEDA is not installed in this cluster: install it first"), said
    fixed = {"defaults": {"scaling": {"enabled": False}}}
    hands.helm("install", "soloist", str(CHART), values=fixed)
    assert not api.refused


def test_who_may_read_no_secret_names_those_that_there_are(
    api: ApiServer, hands: Hands, helm: int
) -> None:
    api.rules = [rule for rule in api.rules if rule["resources"] != ["secrets"]]
    api.rules += [{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["update"]}]
    hands.major, hands.more = helm, {"HELM_DRIVER": "configmap"}
    values = {"secrets": {"generate": False}, "ledger": {"existingSecret": "made-by-others"}}
    hands.helm("install", "soloist", str(CHART), values=values)
    hands.helm("upgrade", "soloist", str(CHART), values=values)
    assert not api.refused


def test_a_controller_that_renders_with_a_clusters_kinds_and_no_look_is_told_of_keda_alone(
    helm: int,
) -> None:
    """As Argo CD does: `helm template` with every kind of its cluster."""
    kinds = ("--api-versions", "v1", "--api-versions", "v1/Pod")
    command = [HELM[helm], "template", "soloist", CHART, "--kube-version", "1.35.0", *kinds]
    command += ["--set", "secrets.generate=false"]

    def said(*more: str) -> str:
        done = subprocess.run([*command, *more], capture_output=True, text=True, env=environment())
        return unframed(done.stderr) if done.returncode else ""

    assert said().startswith("KEDA is not installed in this cluster")
    assert said("--api-versions", "keda.sh/v1alpha1") == ""


def test_who_may_not_make_namespaces_leaves_that_out(hands: Hands, helm: int) -> None:
    hands.major = helm
    command = ("install", "soloist", str(CHART), "--create-namespace")
    said = hands.refused(*command, values={})
    assert re.search(r'namespaces "?(team")? ?is forbidden', said), said


def test_every_look_of_the_templates_is_at_the_releases_own_namespace() -> None:
    text = "".join(p.read_text("utf-8") for p in sorted(CHART.rglob("templates/**/*.*")))
    looks = re.findall(r"""\blookup\s+"v1" "(\w+)" (\S+) """, text)
    assert len(looks) == text.count("lookup "), looks
    assert {kind for kind, _ in looks} == {"Secret", "ServiceAccount"}
    assert {where for _, where in looks} <= {"$namespace", ".root.Release.Namespace"}


@for_each_scenario
def test_every_object_lies_in_the_releases_own_namespace(scenario: str, rendered: None) -> None:
    of_the_cluster = (
        {"PriorityClass"} if "placeholders" in json.dumps(SCENARIOS[scenario]) else set()
    )
    known = {kind for kinds in KINDS.values() for kind in kinds.split()}
    for found in render(SCENARIOS[scenario]):
        assert "namespace" not in found["metadata"], found
        assert found["kind"] in known | of_the_cluster, found["kind"]
    if of_the_cluster:
        kinds = {found["kind"] for found in render(merged(SCENARIOS[scenario], SPARE))}
        assert not kinds & of_the_cluster
