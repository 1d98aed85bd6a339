"""Every pod may as little as it can, and whatever refers to something finds it."""

import re
from typing import Any

import pytest

from contract.catalog import ModelSpec
from tests.charts.loops import for_each_scenario
from tests.charts.objects import Pod, by_name, matches, name_of, of_kind, pods, walk
from tests.charts.rendering import CHART, Object, render
from tests.charts.scenarios import SCENARIOS

pytestmark = pytest.mark.usefixtures("rendered")

SECRETS_OF_USERS = {
    "authority", "hub", "mine", "rabbit", "redis", "sentinel", "tls",
    "soloist-broker-default-user",  # the operator makes it
    "soloist-redis", "soloist-rabbitmq",  # of a profile
    "ledger",  # of the examples of GitOps
}  # fmt: skip


def pods_of(scenario: str) -> list[Pod]:
    return pods(render(SCENARIOS[scenario]))


# --- what a pod may -----------------------------------------------------------------------------------


@for_each_scenario
def test_no_pod_is_root_or_can_become_it(scenario: str) -> None:
    for found in pods_of(scenario):
        context = found.spec["securityContext"]
        assert context["runAsNonRoot"] is True
        assert min(context["runAsUser"], context["runAsGroup"], context["fsGroup"]) > 0
        assert context["seccompProfile"] == {"type": "RuntimeDefault"}
        for container in found.containers:
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }
        for shared in ("hostNetwork", "hostPID", "hostIPC", "shareProcessNamespace"):
            assert shared not in found.spec


def test_a_security_context_of_ones_own_cannot_make_it_root() -> None:
    values = {
        "podSecurityContext": {"runAsNonRoot": False, "seccompProfile": {"type": "Unconfined"}}
    }
    for found in pods(render(values)):
        assert found.spec["securityContext"]["runAsNonRoot"] is True
        assert found.spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}


@for_each_scenario
def test_variables_named_after_services_reach_no_pod(scenario: str) -> None:
    assert all(found.spec["enableServiceLinks"] is False for found in pods_of(scenario))


@for_each_scenario
def test_only_the_keeper_talks_to_kubernetes(scenario: str) -> None:
    objects = render(SCENARIOS[scenario])
    allowed = SCENARIOS[scenario].get("keeper", {}).get("deletionCost", True)
    accounts = {f["metadata"]["name"] for f in of_kind(objects, "ServiceAccount")}
    for found in pods(objects):
        trusted = found.component == "keeper" and allowed
        assert found.spec["automountServiceAccountToken"] is trusted
        assert found.spec["serviceAccountName"] in accounts
        assert (found.spec["serviceAccountName"] == "soloist-keeper") == (
            found.component == "keeper"
        )
    for found in of_kind(objects, "ServiceAccount"):
        assert found["automountServiceAccountToken"] is False


@for_each_scenario
def test_the_one_role_is_the_keepers_for_pods(scenario: str) -> None:
    objects = render(SCENARIOS[scenario])
    roles = [f for f in objects if f["kind"] in ("Role", "ClusterRole")]
    bindings = [f for f in objects if f["kind"] in ("RoleBinding", "ClusterRoleBinding")]
    if SCENARIOS[scenario].get("keeper", {}).get("deletionCost", True):
        (role,), (binding,) = roles, bindings
        assert role["rules"] == [
            {"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list", "watch", "patch"]}
        ]
        assert name_of(role) == f"Role/{binding['roleRef']['name']}"
        assert binding["subjects"] == [
            {"kind": "ServiceAccount", "name": "soloist-keeper", "namespace": "team"}
        ]
    else:
        assert (roles, bindings) == ([], [])


@for_each_scenario
def test_every_container_says_what_it_needs_and_where_it_ends(scenario: str) -> None:
    for found in pods_of(scenario):
        for container in found.containers:
            assert container["resources"]["requests"].keys() >= {"cpu", "memory"}
            assert "memory" in container["resources"]["limits"]


def gpus(resources: dict[str, Any], side: str) -> dict[str, Any]:
    return {
        name: n for name, n in resources.get(side, {}).items() if name.startswith("nvidia.com/")
    }


@for_each_scenario
def test_a_worker_gets_exactly_one_gpu_and_its_fetching_none(scenario: str) -> None:
    objects = render(SCENARIOS[scenario])
    mode = SCENARIOS[scenario].get("gpu", {}).get("mode", "none")
    for found in pods(objects):
        for container in found.containers:
            resources = container["resources"]
            assert gpus(resources, "requests") == gpus(resources, "limits")
            holds = len(gpus(resources, "limits")) + len(resources.get("claims", []))
            takes = container["name"] in ("worker", "pause") and found.component != "prepull"
            if scenario != "gpu and cpu":
                assert holds == (takes and mode != "none")
            assert all(n == "1" for n in gpus(resources, "limits").values())


@for_each_scenario
def test_every_image_has_a_version(scenario: str) -> None:
    for found in pods_of(scenario):
        for container in found.containers:
            assert re.search(r"(:[\w.-]+|@sha256:[0-9a-f]{64})$", container["image"])
            assert not container["image"].endswith(":latest")


@for_each_scenario
def test_a_worker_has_time_for_its_batch_and_for_handing_it_back(scenario: str) -> None:
    models = SCENARIOS[scenario].get("models", {})
    for found in pods_of(scenario):
        if found.component == "worker":
            catalog = models.get(found.labels["soloist/model"], {}).get("catalog", {})
            limit = catalog.get(
                "timeout_seconds", ModelSpec.model_fields["timeout_seconds"].default
            )
            grace = found.spec["terminationGracePeriodSeconds"]
            handing_back = float(found.env()["SOLOIST_GRACE_SECONDS"]["value"])
            assert limit < handing_back < grace


# --- what refers to something finds it ----------------------------------------------------------------


@for_each_scenario
def test_a_deployment_finds_its_own_pods_and_nobody_elses(scenario: str) -> None:
    objects = render(SCENARIOS[scenario])
    for found in objects:
        if found["kind"] in ("Deployment", "StatefulSet", "DaemonSet"):
            theirs = [
                each.of for each in pods(objects) if matches(found["spec"]["selector"], each.labels)
            ]
            assert theirs == [name_of(found)]


def selectors(found: Object) -> list[dict[str, Any]]:
    """Every label selector of ours in it."""
    ours = [value for path, value in walk(found) if path[-1:] in (("podSelector",), ("selector",))]
    return [
        s if "matchLabels" in s or "matchExpressions" in s else {"matchLabels": s} for s in ours
    ]


@for_each_scenario
def test_every_selector_finds_a_pod(scenario: str) -> None:
    objects = render(SCENARIOS[scenario])
    labels = [found.labels for found in pods(objects)]
    for found in objects:
        if found["kind"] in ("PodDisruptionBudget", "NetworkPolicy", "Service", "PodMonitor"):
            assert selectors(found) or found["kind"] == "NetworkPolicy"
            for selector in selectors(found):
                assert any(matches(selector, each) for each in labels), name_of(found)


def ports_of(found: Pod) -> set[str]:
    return {port["name"] for container in found.containers for port in container.get("ports", [])}


@for_each_scenario
def test_every_port_has_a_container_behind_it(scenario: str) -> None:
    objects = render(SCENARIOS[scenario])
    by_object = by_name(objects)
    for found in of_kind(objects, "Service"):
        behind = [
            p
            for p in pods(objects)
            if matches({"matchLabels": found["spec"]["selector"]}, p.labels)
        ]
        assert behind
        for port in found["spec"]["ports"]:
            assert all(port["targetPort"] in ports_of(each) for each in behind)
    for found in of_kind(objects, "NetworkPolicy"):
        held = [
            each for each in pods(objects) if matches(found["spec"]["podSelector"], each.labels)
        ]
        for rule in found["spec"].get("ingress", []):
            assert {p["port"] for p in rule["ports"]} <= set().union(*map(ports_of, held))
    for found in of_kind(objects, "StatefulSet"):
        assert f"Service/{found['spec']['serviceName']}" in by_object
    for found in objects:
        for _, value in walk(found):
            if isinstance(value, dict) and "backendRefs" in value:
                for backend in value["backendRefs"]:
                    ports = by_object[f"Service/{backend['name']}"]["spec"]["ports"]
                    assert backend["port"] in [port["port"] for port in ports]


@for_each_scenario
def test_every_mount_has_its_volume_and_every_volume_its_source(scenario: str) -> None:
    objects = by_name(render(SCENARIOS[scenario]))
    for found in pods_of(scenario):
        volumes = {volume["name"]: volume for volume in found.spec.get("volumes", [])}
        mounted = {m["name"] for c in found.containers for m in c.get("volumeMounts", [])}
        assert mounted == volumes.keys() | set(found.claims)
        for container in found.containers:
            places = [mount["mountPath"] for mount in container.get("volumeMounts", [])]
            assert len(places) == len(set(places))
        for volume in volumes.values():
            if "configMap" in volume:
                assert f"ConfigMap/{volume['configMap']['name']}" in objects
            claim = volume.get("persistentVolumeClaim", {}).get("claimName", "models")
            assert claim == "models" or f"PersistentVolumeClaim/{claim}" in objects


@for_each_scenario
def test_every_secret_that_is_read_exists_or_is_the_users(scenario: str) -> None:
    objects = render(SCENARIOS[scenario])
    made = {f["metadata"]["name"]: f["data"].keys() for f in of_kind(objects, "Secret")}
    for found in objects:
        for _, value in walk(found):
            reference = value.get("secretKeyRef") if isinstance(value, dict) else None
            for each in [reference] if reference else []:
                assert each["key"] in made.get(each["name"], {each["key"]})
                assert each["name"] in made.keys() | SECRETS_OF_USERS
        for each in found.get("spec", {}).get("secretTargetRef", []):
            assert each["key"] in made.get(each["name"], {each["key"]})
            assert each["name"] in made.keys() | SECRETS_OF_USERS


@for_each_scenario
def test_every_claim_has_its_template_and_every_class_exists(scenario: str) -> None:
    objects = by_name(render(SCENARIOS[scenario]))
    for found in pods_of(scenario):
        for claim in found.spec.get("resourceClaims", []):
            assert f"ResourceClaimTemplate/{claim['resourceClaimTemplateName']}" in objects
        if found.component == "placeholder":
            class_of = objects[f"PriorityClass/{found.spec['priorityClassName']}"]
            assert class_of["value"] < 0
            assert class_of["preemptionPolicy"] == "Never"


def test_no_password_is_a_value() -> None:
    """Passwords come from Secrets: no key of values.yaml takes one."""
    text = (CHART / "values.yaml").read_text("utf-8")
    keys = re.findall(r"^ *([A-Za-z]+):", text, re.MULTILINE)

    assert not {key for key in keys if re.search("password|token", key, re.I)} - {
        "passwordKey",
        "tokenSecret",
    }
