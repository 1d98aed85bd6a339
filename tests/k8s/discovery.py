"""The kinds that a fake API server knows, as clients discover them."""

from collections.abc import Set
from typing import Any

from tests.k8s.fake_cluster import Object

KINDS = {
    "v1": "Pod Secret ServiceAccount Service ConfigMap PersistentVolumeClaim Event",
    "apps/v1": "Deployment StatefulSet DaemonSet ReplicaSet",
    "argoproj.io/v1alpha1": "Application",
    "autoscaling/v2": "HorizontalPodAutoscaler",
    "batch/v1": "Job",
    "gateway.networking.k8s.io/v1": "HTTPRoute",
    "helm.toolkit.fluxcd.io/v2": "HelmRelease",
    "keda.sh/v1alpha1": "ScaledObject TriggerAuthentication",
    "monitoring.coreos.com/v1": "PodMonitor PrometheusRule",
    "networking.k8s.io/v1": "NetworkPolicy Ingress",
    "policy/v1": "PodDisruptionBudget",
    "rabbitmq.com/v1beta1": "RabbitmqCluster",
    "rbac.authorization.k8s.io/v1": "Role RoleBinding",
    "resource.k8s.io/v1": "ResourceClaimTemplate",
    "source.toolkit.fluxcd.io/v1": "GitRepository HelmRepository",
}
OF_THE_CLUSTER = {
    "v1": "Namespace Node",
    "rbac.authorization.k8s.io/v1": "ClusterRole ClusterRoleBinding",
    "scheduling.k8s.io/v1": "PriorityClass",
    "storage.k8s.io/v1": "StorageClass",
}


def plural(kind: str) -> str:
    """The resource's name.

    >>> plural("NetworkPolicy"), plural("Ingress"), plural("Pod")
    ('networkpolicies', 'ingresses', 'pods')
    """
    name = kind.lower()
    if name.endswith("y"):
        return f"{name[:-1]}ies"
    return f"{name}es" if name.endswith("s") else f"{name}s"


def discovery(path: str, without: Set[str]) -> Any:
    """What is answered at a path of discovery, None for any other; `without` are versions that are not served."""
    groups = [group for group in {**KINDS, **OF_THE_CLUSTER} if group not in without]
    if path == "/api":
        return {"kind": "APIVersions", "versions": ["v1"]}
    if path == "/apis":
        named = [_group(version) for version in groups if "/" in version]
        return {"kind": "APIGroupList", "apiVersion": "v1", "groups": named}
    version = path.removeprefix("/api/").removeprefix("/apis/")
    if version in groups:
        resources = resources_of(version)
        return {"kind": "APIResourceList", "groupVersion": version, "resources": resources}
    if path == "/openapi/v3":
        roots = [f"{'apis' if '/' in version else 'api'}/{version}" for version in groups]
        return {"paths": {root: {"serverRelativeURL": f"/openapi/v3/{root}"} for root in roots}}
    if path.startswith("/openapi/v3/"):
        return _openapi(path.removeprefix("/openapi/v3/").split("/", 1)[1])
    return None


def resources_of(version: str) -> list[Object]:
    verbs = ["create", "delete", "get", "list", "patch", "update", "watch"]
    return [
        {"name": plural(kind), "kind": kind, "namespaced": namespaced, "verbs": verbs}
        for table, namespaced in ((KINDS, True), (OF_THE_CLUSTER, False))
        for kind in table.get(version, "").split()
    ]


def _openapi(version: str) -> Object:
    """That the server itself looks for unknown fields, so that nobody asks for its schemas."""
    group, _, number = version.rpartition("/")
    checked = [{"name": "fieldValidation", "in": "query"}]
    return {
        "openapi": "3.0.0",
        "info": {"title": "fake", "version": "1"},
        "paths": {
            f"/{each['name']}/{{name}}": {
                "patch": {
                    "parameters": checked,
                    "x-kubernetes-group-version-kind": {
                        "group": group,
                        "version": number,
                        "kind": each["kind"],
                    },
                }
            }
            for each in resources_of(version)
        },
    }


def _group(version: str) -> Object:
    name, _, number = version.partition("/")
    only = {"groupVersion": version, "version": number}
    return {"name": name, "versions": [only], "preferredVersion": only}
