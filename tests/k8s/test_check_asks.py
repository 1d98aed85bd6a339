"""`python -m k8s check` asks the cluster for what these values use, and for nothing else: the rendered objects say what."""

from collections.abc import Iterator
from typing import Any

import pytest
from command_result import Run
from fake_cluster import FakeCluster
from release_objects import APPS, SCALED, labels

from tests.charts.objects import of_kind, pods, walk
from tests.charts.rendering import HELM, Object, render
from tests.charts.scenarios import SCENARIOS, SHOUT, SPAM, merged, model
from tests.support.external_tools import missing

OWN = "/api/v1/namespaces/ml"
PRIORITY = "/apis/scheduling.k8s.io/v1/priorityclasses"
STORAGE = "/apis/storage.k8s.io/v1/storageclasses"
OFF = {"scaling": {"enabled": False, "replicas": 2}}
TOKEN = {"tokenSecret": {"name": "hub", "key": "hf"}}
MORE: dict[str, dict[str, Any]] = {
    "no passwords made up": {"secrets": {"generate": False}, "broker": {"mode": "bundled"}},
    "scaling off for some": {"models": {"a": {"catalog": SPAM, **OFF}, "b": {"catalog": SPAM}}},
    "scaling off for all": {
        "models": {"a": {"catalog": SPAM, **OFF}, "b": {"catalog": SPAM, **OFF}}
    },
    "scaling off by default": {"defaults": OFF},
    "scaling off on an external ledger": merged(SCENARIOS["external Redis"], {"defaults": OFF}),
    "a token that nobody fetches with": model(SHOUT, hub=TOKEN),
    "a token and no fetch": model(hub={"fetch": False, **TOKEN}),
    "a model of its own that is off": {
        "models": {
            "a": {"catalog": SPAM, "priorityClassName": "high"},
            "b": {
                "enabled": False,
                "gpu": {"mode": "dra"},
                "cache": {"type": "pvc", "storageClass": "fast"},
                "priorityClassName": "low",
                "envFromSecrets": {"A": {"name": "none", "key": "a"}},
            },
        }
    },
    "a metrics server for a trigger": model(
        scaling={
            "extraTriggers": {"load": {"type": "cpu", "metadata": {"value": "60"}}},
        }
    ),
    "monitoring without a network policy": {
        "monitoring": {"podMonitor": {"enabled": True}},
        "networkPolicy": {"enabled": False},
    },
    "classes of gateway and stores": {
        "gateway": {"priorityClassName": "high"},
        "keeper": {"priorityClassName": "high"},
        "ledger": {"bundled": {"priorityClassName": "store"}},
        "broker": {"mode": "bundled", "bundled": {"priorityClassName": "store"}},
    },
}
CASES = {**SCENARIOS, **MORE}


@pytest.fixture(scope="module", autouse=True)
def _helm() -> None:
    if not all(path.exists() for path in HELM.values()):
        missing("Helm is not there: make helm")


def asked_for(objects: list[Object]) -> set[str]:
    """The paths of all that these objects need of a cluster and do not bring themselves."""
    return {
        "/version",
        f"{APPS}/deployments",  # whether there is a release
        *_operators(objects),
        *_volumes(objects),
        *_secrets(objects),
        *_classes(objects),
        *_devices(objects),
    }


def _operators(objects: list[Object]) -> Iterator[str]:
    versions = {found["apiVersion"] for found in objects}
    if "keda.sh/v1alpha1" in versions:
        yield from ("/apis/keda.sh/v1alpha1", "/apis/apps/v1/deployments")
        yield "/apis/apiregistration.k8s.io/v1/apiservices/v1beta1.external.metrics.k8s.io"
    yield from (
        f"/apis/{version}"
        for version in versions
        if version.split(".")[0] in ("monitoring", "gateway", "rabbitmq")
    )
    triggers = [t for s in of_kind(objects, "ScaledObject") for t in s["spec"]["triggers"]]
    if of_kind(objects, "HorizontalPodAutoscaler") or any(t["type"] == "cpu" for t in triggers):
        yield "/apis/metrics.k8s.io/v1beta1"
    if of_kind(objects, "PodMonitor") and of_kind(objects, "NetworkPolicy"):
        yield "/api/v1/namespaces/monitoring"


def _volumes(objects: list[Object]) -> Iterator[str]:
    made = {found["metadata"]["name"] for found in of_kind(objects, "PersistentVolumeClaim")}
    if made or of_kind(objects, "RabbitmqCluster") or any(pod.claims for pod in pods(objects)):
        yield STORAGE
    named = {
        v["claimName"] for p, v in _everywhere(objects) if p[-1:] == ("persistentVolumeClaim",)
    }
    yield from (f"{OWN}/persistentvolumeclaims/{name}" for name in named - made)


def _secrets(objects: list[Object]) -> Iterator[str]:
    made = {found["metadata"]["name"] for found in of_kind(objects, "Secret")}
    made.add("soloist-broker-default-user")  # the RabbitMQ operator's own
    named = set()
    for path, value in _everywhere(objects):
        if path[-1:] == ("secretKeyRef",) or path[-2:-1] in (
            ("imagePullSecrets",),
            ("secretTargetRef",),
        ):
            named.add(value["name"])
        elif path[-1:] == ("secretName",):
            named.add(value)
    yield from (f"{OWN}/secrets/{name}" for name in named - made)


def _classes(objects: list[Object]) -> Iterator[str]:
    made = {found["metadata"]["name"] for found in of_kind(objects, "PriorityClass")}
    for path, value in _everywhere(objects):
        if path[-1:] == ("priorityClassName",) and value not in made:
            yield f"{PRIORITY}/{value}"
        elif path[-1:] == ("runtimeClassName",):
            yield f"/apis/node.k8s.io/v1/runtimeclasses/{value}"
        elif path[-1:] == ("ingressClassName",):
            yield f"/apis/networking.k8s.io/v1/ingressclasses/{value}"


def _devices(objects: list[Object]) -> Iterator[str]:
    for path, value in _everywhere(objects):
        if path[-1:] == ("deviceClassName",):
            yield f"/apis/resource.k8s.io/v1/deviceclasses/{value}"
        elif path[-1:] == ("limits",) and any(name.startswith("nvidia.com/") for name in value):
            yield "/api/v1/nodes"


def _everywhere(objects: list[Object]) -> Iterator[tuple[tuple[str | int, ...], Any]]:
    for found in objects:
        yield from walk(found)


def asks(cluster: FakeCluster) -> set[str]:
    return {target.partition("?")[0] for _, target in cluster.requests}


@pytest.mark.parametrize("case", CASES)
def test_a_check_asks_for_what_the_values_use_and_nothing_else(
    fit: FakeCluster, check: Run, case: str
) -> None:
    check(CASES[case])

    assert asks(fit) == asked_for(render(CASES[case]))


def test_without_a_scaled_model_a_cluster_without_keda_will_do(
    fit: FakeCluster, check: Run
) -> None:
    del fit.kinds["keda.sh/v1alpha1"]
    for path in [path for path in fit.objects if "keda" in path or "external.metrics" in path]:
        del fit.objects[path]
    off = check(MORE["scaling off for all"])

    assert off.code == 0, off.out
    assert "keda" not in off.out.lower()
    assert check(MORE["scaling off for some"]).code == 1


def test_keda_reads_an_external_ledger_wherever_it_runs(fit: FakeCluster, check: Run) -> None:
    elsewhere = {"networkPolicy": {"kedaNamespace": "scalers"}}

    assert "only scalers may read the ledger" in check(elsewhere).out
    for case in ("external Redis without a password", "scaling off for all", "network policy off"):
        assert "may read the ledger" not in check(merged(CASES[case], elsewhere)).out


# --- a release whose values are not known -----------------------------------------------------------


def unscaled(cluster: FakeCluster) -> None:
    """The release has a fixed number of workers, and nothing of KEDA is there."""
    for path in [path for path in cluster.objects if "keda" in path or "external.metrics" in path]:
        del cluster.objects[path]
    cluster.kinds.clear()


def test_a_release_without_a_scaled_model_needs_no_keda(installed: FakeCluster, check: Run) -> None:
    unscaled(installed)
    result = check()

    assert result.code == 0, result.out
    assert "keda" not in result.out.lower()


def test_a_release_that_is_left_to_keda_needs_it(installed: FakeCluster, check: Run) -> None:
    unscaled(installed)
    worker = installed.objects[f"{APPS}/deployments/soloist-worker-spam"]
    worker["metadata"]["annotations"] = {"soloist/scaled-by": "keda"}
    result = check()

    assert result.code == 1
    assert result.line("keda").startswith("error keda: KEDA's scaledobjects and")


def test_the_chart_marks_the_workers_that_are_left_to_keda(fit: FakeCluster) -> None:
    for case, marked in (
        ("scaling off for some", ["soloist-worker-b"]),
        ("scaling off for all", []),
    ):
        found = [
            each["metadata"]["name"]
            for each in of_kind(render(CASES[case]), "Deployment")
            if each["metadata"].get("annotations", {}).get("soloist/scaled-by") == "keda"
        ]
        assert found == marked


def test_the_policy_of_a_release_says_where_its_keda_may_be(
    installed: FakeCluster, check: Run
) -> None:
    peer = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "keda"}}}
    policy = installed.add(
        "/apis/networking.k8s.io/v1/namespaces/ml/networkpolicies",
        "soloist-ledger",
        labels=labels("ledger"),
        spec={"ingress": [{"from": [{"podSelector": {}}, peer]}]},
    )
    assert "may read the ledger" not in check().out
    policy["spec"]["ingress"][0]["from"][1] = {
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "scalers"}}
    }

    assert "KEDA runs in namespace keda, and only scalers may read the ledger" in check().out
    assert SCALED in asks(installed)
