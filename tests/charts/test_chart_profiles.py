"""The chart's profiles: each says in three sentences what it is for, and renders what it says."""

import re
from typing import Any

import pytest

from tests.charts.objects import MIB, asked, of_kind, pod, pods, scaled_object
from tests.charts.rendering import CHART, render
from tests.charts.scenarios import POOLS, PROFILES, SCENARIOS, SPAM, merged, model

TOLERATED = {"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}
GOLDEN: dict[str, dict[str, Any]] = {
    "gke": {
        "resource": "nvidia.com/gpu",
        "nodeSelector": {"cloud.google.com/gke-accelerator": "nvidia-l4"},
        "tolerations": [TOLERATED],
        "memory": ("8Gi", "11Gi"),
        "storageClass": "premium-rwo",
    },
    "eks": {
        "resource": "nvidia.com/gpu",
        "nodeSelector": {"node.kubernetes.io/instance-type": "g6.xlarge"},
        "tolerations": [TOLERATED],
        "memory": ("8Gi", "12Gi"),
        "storageClass": "gp3",
    },
    "aks": {
        "resource": "nvidia.com/gpu",
        "nodeSelector": {
            "kubernetes.azure.com/accelerator": "nvidia",
            "node.kubernetes.io/instance-type": "Standard_NC24ads_A100_v4",
        },
        "tolerations": [
            {"key": "sku", "operator": "Equal", "value": "gpu", "effect": "NoSchedule"},
            TOLERATED,
        ],
        "memory": ("64Gi", "160Gi"),
        "storageClass": "managed-csi-premium",
    },
    "mig": {
        "resource": "nvidia.com/mig-1g.10gb",
        "nodeSelector": None,
        "tolerations": [TOLERATED],
        "memory": ("8Gi", "16Gi"),
        "storageClass": "local-path",
    },
}


def head(name: str) -> str:
    """What stands above a profile's first value, without what makes it a comment."""
    text = (CHART / "profiles" / f"{name}.yaml").read_text("utf-8").split("\n\n")[0]
    return " ".join(line.removeprefix("# ") for line in text.splitlines())


@pytest.mark.parametrize("name", PROFILES)
def test_a_profile_begins_with_three_sentences(name: str) -> None:
    sentences = re.findall(r"[A-Z].+?\.(?= [A-Z]|$)", head(name))

    assert len(sentences) == 3, sentences
    assert " ".join(sentences) == head(name)


def test_every_pool_is_a_profile_with_its_facts() -> None:
    assert GOLDEN.keys() == set(POOLS)
    assert PROFILES.keys() - GOLDEN.keys() == {"laptop", "team", "production"}


@pytest.mark.parametrize("name", GOLDEN)
def test_a_worker_asks_for_the_nodes_of_its_pool(name: str) -> None:
    facts = GOLDEN[name]
    for values in (
        merged(PROFILES[name], model()),
        merged(SCENARIOS[f"profile production and {name}"], model()),
    ):
        found = pod(render(values), "worker")
        resources = found.container("worker")["resources"]
        assert found.spec.get("nodeSelector") == facts["nodeSelector"]
        assert found.spec["tolerations"] == facts["tolerations"]
        assert {r: n for r, n in resources["limits"].items() if "/" in r} == {
            facts["resource"]: "1"
        }
        assert (resources["requests"]["memory"], resources["limits"]["memory"]) == facts["memory"]


@pytest.mark.parametrize("name", GOLDEN)
def test_the_ledgers_volume_is_of_a_class_that_the_place_has(name: str) -> None:
    (ledger,) = of_kind(render(PROFILES[name]), "StatefulSet")
    (claim,) = ledger["spec"]["volumeClaimTemplates"]

    assert claim["spec"]["storageClassName"] == GOLDEN[name]["storageClass"]


def test_a_worker_on_gke_finds_the_driver_that_gke_mounts() -> None:
    env = pod(render(PROFILES["gke"]), "worker").env("worker")

    assert env["LD_LIBRARY_PATH"]["value"] == "/usr/local/nvidia/lib64"


def test_a_slice_is_of_a_product_and_a_larger_model_takes_a_larger_one() -> None:
    large = {"models": {"large": {"catalog": SPAM, "gpu": {"resource": "nvidia.com/mig-3g.40gb"}}}}
    objects = render(merged(merged(PROFILES["mig"], model()), large))
    small, big = (pod(objects, "worker", name) for name in ("spam", "large"))

    for found, resource in ((small, "nvidia.com/mig-1g.10gb"), (big, "nvidia.com/mig-3g.40gb")):
        assert found.container("worker")["resources"]["requests"][resource] == "1"
        assert found.spec["runtimeClassName"] == "nvidia"
        required = "requiredDuringSchedulingIgnoredDuringExecution"
        (term,) = found.spec["affinity"]["nodeAffinity"][required]["nodeSelectorTerms"]
        assert term["matchExpressions"] == [
            {"key": "nvidia.com/gpu.product", "operator": "In", "values": ["NVIDIA-H100-80GB-HBM3"]}
        ]
        volumes = {volume["name"]: volume for volume in found.spec["volumes"]}
        assert volumes["models"]["hostPath"]["path"] == "/var/lib/soloist/models"


def test_a_trial_on_a_laptop_is_as_small_as_it_says() -> None:
    objects = render(PROFILES["laptop"])
    said = re.search(r"asks for ([\d.]+) CPU and ([\d.]+) GiB", head("laptop"))

    assert said
    assert asked(objects, "cpu") <= float(said[1])
    assert asked(objects, "memory") <= float(said[2]) * 1024 * MIB
    assert len([each for each in pods(objects) if each.component != "test"]) == 4
    assert scaled_object(objects, "minilm")["spec"]["cooldownPeriod"] == 60
    assert "Secret" not in {f["kind"] for f in render(PROFILES["production"])}


def test_a_team_has_a_worker_ready_in_office_hours() -> None:
    found = scaled_object(render(merged(PROFILES["team"], model())))

    (window,) = (t["metadata"] for t in found["spec"]["triggers"] if t["type"] == "cron")
    assert (window["timezone"], window["desiredReplicas"]) == ("Europe/Berlin", "1")
    assert found["spec"]["minReplicaCount"] == 0


def test_a_production_bundles_nothing_and_makes_up_nothing() -> None:
    objects = render(PROFILES["production"])
    kinds = {found["kind"] for found in objects}

    assert not kinds & {"StatefulSet", "Secret"}
    assert kinds >= {"HorizontalPodAutoscaler", "PodMonitor", "PrometheusRule"}
    env = pod(objects, "worker").env("worker")
    assert env["SOLOIST_REDIS_URL"]["value"].startswith("rediss://")
    assert env["SOLOIST_BROKER_URL"]["value"].startswith("amqps://")
    assert env["SOLOIST_LEDGER_REPLICAS"]["value"] == "1"
    assert pod(objects, "keeper").env()["SOLOIST_PROTECT_BUSY_PODS"]["value"] == "true"
