"""`python -m k8s check` is content with each of the chart's profiles on a cluster such as it is for."""

from collections.abc import Callable
from typing import Any

import pytest
from command_result import Run
from fake_cluster import FakeCluster
from release_objects import SECRETS, STORAGE

from k8s.values import CHART

PROFILES = CHART / "profiles"
NODES = "/api/v1/nodes"
MONITORING = {"podmonitors", "prometheusrules"}


def node(cluster: FakeCluster, labels: dict[str, str], taint: str, **offers: str) -> None:
    key, _, value = taint.partition("=")
    taints = [{"key": key, "value": value, "effect": "NoSchedule"}] if taint else []
    allocatable = {f"nvidia.com/{name.replace('_', '.')}": n for name, n in offers.items()}
    cluster.add(
        NODES, "n1", labels=labels, spec={"taints": taints}, status={"allocatable": allocatable}
    )


def as_gke(cluster: FakeCluster) -> None:
    labels = {"cloud.google.com/gke-accelerator": "nvidia-l4"}
    node(cluster, labels, "nvidia.com/gpu=present", gpu="1")
    cluster.add(STORAGE, "premium-rwo")


def as_eks(cluster: FakeCluster) -> None:
    labels = {"node.kubernetes.io/instance-type": "g6.xlarge"}
    node(cluster, labels, "nvidia.com/gpu=true", gpu="1")
    cluster.add(STORAGE, "gp3")


def as_aks(cluster: FakeCluster) -> None:
    labels = {
        "kubernetes.azure.com/accelerator": "nvidia",
        "node.kubernetes.io/instance-type": "Standard_NC24ads_A100_v4",
    }
    node(cluster, labels, "sku=gpu", gpu="1")
    cluster.add(STORAGE, "managed-csi-premium")


def as_mig(cluster: FakeCluster) -> None:
    labels = {"nvidia.com/gpu.product": "NVIDIA-H100-80GB-HBM3"}
    slices = {"nvidia.com/mig-1g.10gb": "16", "nvidia.com/mig-3g.40gb": "8"}
    cluster.add(NODES, "n1", labels=labels, spec={}, status={"allocatable": slices})
    cluster.add(STORAGE, "local-path")
    cluster.add("/apis/node.k8s.io/v1/runtimeclasses", "nvidia")


def as_team(cluster: FakeCluster) -> None:
    node(cluster, {}, "nvidia.com/gpu=present", gpu="2")
    cluster.add("/apis/networking.k8s.io/v1/ingressclasses", "nginx")
    cluster.add(SECRETS, "soloist-tls", data={"tls.crt": "", "tls.key": ""})


def as_production(cluster: FakeCluster) -> None:
    cluster.kinds["monitoring.coreos.com/v1"] = MONITORING
    cluster.kinds["metrics.k8s.io/v1beta1"] = {"pods"}
    cluster.add("/api/v1/namespaces", "monitoring")
    cluster.add(SECRETS, "soloist-redis", data={"password": ""})
    cluster.add(SECRETS, "soloist-rabbitmq", data={"username": "", "password": ""})


PLACES: dict[str, Callable[[FakeCluster], None]] = {
    "laptop": lambda cluster: None,
    "team": as_team,
    "production": as_production,
    "gke": as_gke,
    "eks": as_eks,
    "aks": as_aks,
    "mig": as_mig,
}


def levels(result: Any) -> set[str]:
    return {line.split()[0] for line in result.lines}


def test_every_profile_has_its_place() -> None:
    assert PLACES.keys() == {path.stem for path in PROFILES.iterdir()}


@pytest.mark.parametrize("name", PLACES)
def test_a_profile_fits_where_it_is_for(
    fit: FakeCluster, run: Run, kubeconfig: Any, name: str
) -> None:
    PLACES[name](fit)
    result = run("check", "--kubeconfig", kubeconfig, "--values", PROFILES / f"{name}.yaml")

    assert (result.code, levels(result)) == (0, {"ok"}), result.out


@pytest.mark.parametrize("name", ["gke", "eks", "aks", "mig"])
def test_a_pool_goes_with_the_profile_of_a_production(
    fit: FakeCluster, run: Run, kubeconfig: Any, name: str
) -> None:
    as_production(fit)
    PLACES[name](fit)
    files = [
        part for each in ("production", name) for part in ("--values", PROFILES / f"{each}.yaml")
    ]
    result = run("check", "--kubeconfig", kubeconfig, *files)

    assert (result.code, levels(result)) == (0, {"ok"}), result.out


@pytest.mark.parametrize("name", ["team", "production", "gke", "eks", "aks", "mig"])
def test_a_profile_finds_what_another_place_lacks(
    fit: FakeCluster, run: Run, kubeconfig: Any, name: str
) -> None:
    result = run("check", "--kubeconfig", kubeconfig, "--values", PROFILES / f"{name}.yaml")

    assert levels(result) & {"warn", "error"}
