"""Before an install: whether the cluster has what the values ask for."""

from collections.abc import Iterator

from k8s.cluster import Cluster
from k8s.findings import Findings, error, ok, warn
from k8s.gpus import check_gpus
from k8s.needs import HOW
from k8s.required_objects import asking, check_classes, check_secrets, check_storage
from k8s.values import Plan, look_up

KINDS = (
    ("monitoring.podMonitor.enabled", "monitoring.coreos.com/v1", "podmonitors"),
    ("monitoring.rules.enabled", "monitoring.coreos.com/v1", "prometheusrules"),
    ("gateway.httpRoute.enabled", "gateway.networking.k8s.io/v1", "httproutes"),
    ("broker.mode=operator", "rabbitmq.com/v1beta1", "rabbitmqclusters"),
)
"""Kinds of others: asked for by which value, served under which version, called how."""


def check_optional_kinds(cluster: Cluster, plan: Plan) -> Findings:
    """Kinds of other operators, where the values ask for them."""
    for switch, version, kind in KINDS:
        path, _, value = switch.partition("=")
        found = look_up(plan.values, path)
        if found != value if value else not found:
            continue
        asked = switch.replace("=", ": ")
        if cluster.serves_kind(version, kind):
            yield ok(kind, f"served as {version}")
        else:
            yield error(
                kind,
                f"{asked} asks for them, and {version} is not served",
                f"install what brings them ({HOW}), or change {path}",
            )


def check_metrics_server(cluster: Cluster, plan: Plan) -> Findings:
    values = list(_by_cpu_or_memory(plan))
    if not values:
        return
    if cluster.serves_kind("metrics.k8s.io/v1beta1", "pods"):
        yield ok("metrics server", "HPAs can read CPU and memory")
    else:
        yield error(
            "metrics server",
            f"{asking(' and '.join(values))} for metrics.k8s.io, which is not served",
            "install metrics-server, or take that value away",
        )


def _by_cpu_or_memory(plan: Plan) -> Iterator[str]:
    """The values that scale anything by what its pods use."""
    if plan.values["gateway"]["hpa"]["enabled"]:
        yield "gateway.hpa.enabled"
    for name, model in plan.models.items():
        for trigger, spec in model["scaling"]["extraTriggers"].items():
            if model["scaling"]["enabled"] and spec.get("type") in ("cpu", "memory"):
                yield f"models.{name}.scaling.extraTriggers.{trigger}"


def check_network_policy(cluster: Cluster, plan: Plan) -> Findings:
    policy = plan.values["networkPolicy"]
    if not policy["enabled"]:
        bundled = plan.values["ledger"]["mode"] == "bundled"
        yield warn(
            "network policy",
            f"every pod of the cluster may reach {'the ledger' if bundled else 'the pods of Soloist'}",
            "set networkPolicy.enabled: true where the network enforces policies",
        )
        return
    monitoring = policy["monitoringNamespace"]
    if plan.values["monitoring"]["podMonitor"]["enabled"] and not cluster.get_object(
        f"/api/v1/namespaces/{monitoring}"
    ):
        yield error(
            "network policy",
            f"there is no namespace {monitoring}, from which metrics may be read",
            "set networkPolicy.monitoringNamespace to Prometheus' namespace",
        )
    else:
        yield ok(
            "network policy", "made; whether this network enforces it cannot be seen from here"
        )


CHECKS = (
    check_optional_kinds,
    check_metrics_server,
    check_gpus,
    check_storage,
    check_secrets,
    check_classes,
    check_network_policy,
)
