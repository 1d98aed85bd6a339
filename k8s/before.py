"""Before an install: whether the cluster has what the values ask for."""

import re

from k8s.cluster import Cluster, Object
from k8s.findings import Findings, error, ok, warn
from k8s.gpus import gpus
from k8s.release import condition_of
from k8s.values import Values, look_up, models_of
from k8s.wants import classes, secrets, storage

KUBERNETES = (1, 30)
KEDA = (2, 18)
HOW = "see k8s/README.md"

KINDS = (
    ("monitoring.podMonitor.enabled", "monitoring.coreos.com/v1", "podmonitors"),
    ("monitoring.rules.enabled", "monitoring.coreos.com/v1", "prometheusrules"),
    ("gateway.httpRoute.enabled", "gateway.networking.k8s.io/v1", "httproutes"),
    ("broker.mode=operator", "rabbitmq.com/v1beta1", "rabbitmqclusters"),
)
"""Kinds of others: asked for by which value, served under which version, called how."""


def version_of(text: str) -> tuple[int, int] | None:
    """Major and minor out of what versions look like.

    >>> version_of("v1.34.2-gke.5"), version_of("2.20.2"), version_of("main")
    ((1, 34), (2, 20), None)
    """
    found = re.match(r"v?(\d+)\.(\d+)", text)
    return (int(found[1]), int(found[2])) if found else None


def _written(version: tuple[int, int]) -> str:
    return f"{version[0]}.{version[1]}"


def kubernetes(cluster: Cluster, values: Values) -> Findings:
    text = str((cluster.get("/version") or {}).get("gitVersion", ""))
    version = version_of(text)
    if version is None:
        yield warn("kubernetes", f"the API server calls itself {text!r}", "see that it is >= 1.30")
        return
    least, reason = KUBERNETES, "Soloist"
    for name, model in models_of(values).items():
        if model["cache"]["type"] == "image" and least < (1, 33):
            least, reason = (1, 33), f"the image volume of models.{name}.cache"
        if model["gpu"]["mode"] == "dra":
            least, reason = (1, 34), f"gpu.mode dra of the model {name}"
    if version < least:
        yield error(
            "kubernetes",
            f"this is {text}, and {reason} needs {_written(least)}",
            "upgrade the cluster" + ("" if least == KUBERNETES else ", or set another"),
        )
    else:
        yield ok("kubernetes", f"{text} at {cluster.address}")


def keda(cluster: Cluster, values: Values) -> Findings:
    missing = [
        kind
        for kind in ("scaledobjects", "triggerauthentications")
        if not cluster.serves("keda.sh/v1alpha1", kind)
    ]
    if missing:
        yield error("keda", f"KEDA's {' and '.join(missing)} are unknown here", _install("KEDA"))
        return
    found = cluster.items("/apis/apps/v1/deployments", "app.kubernetes.io/name=keda-operator")
    if not found:
        yield warn(
            "keda",
            "its kinds are served, but no Deployment is labelled app.kubernetes.io/name=keda-operator",
            f"see that KEDA >= {_written(KEDA)} runs",
        )
        return
    yield from _keda_itself(found[0], values)


def _keda_itself(operator: Object, values: Values) -> Findings:
    """KEDA's version, that it runs, and that our NetworkPolicy lets it in."""
    text = _keda_version(operator)
    version = version_of(text)
    namespace = operator["metadata"]["namespace"]
    if not operator.get("status", {}).get("availableReplicas"):
        yield error(
            "keda", "keda-operator is not available", f"kubectl -n {namespace} describe pods"
        )
    elif version is None:
        yield warn("keda", f"its version reads {text!r}", f"see that it is >= {_written(KEDA)}")
    elif version < KEDA:
        yield error(
            "keda", f"it is {text}, and the chart needs {_written(KEDA)}", "upgrade it, " + HOW
        )
    else:
        yield ok("keda", f"{text} in namespace {namespace}")
    allowed = values["networkPolicy"]["kedaNamespace"]
    if values["networkPolicy"]["enabled"] and allowed != namespace:
        yield error(
            "network policy",
            f"KEDA runs in namespace {namespace}, and only {allowed} may read the ledger",
            f"set networkPolicy.kedaNamespace: {namespace}",
        )


def _install(what: str) -> str:
    return f"install {what}, {HOW}"


def _keda_version(operator: Object) -> str:
    label = operator["metadata"].get("labels", {}).get("app.kubernetes.io/version")
    if label:
        return str(label)
    image = str(operator["spec"]["template"]["spec"]["containers"][0].get("image", ""))
    return image.partition("@")[0].rpartition(":")[2]


def external_metrics(cluster: Cluster, values: Values) -> Findings:
    """The one API of its kind in a cluster: HPAs read KEDA's numbers there."""
    service = cluster.get(
        "/apis/apiregistration.k8s.io/v1/apiservices/v1beta1.external.metrics.k8s.io"
    )
    if service is None:
        yield error(
            "external metrics", "external.metrics.k8s.io is not registered", _install("KEDA")
        )
        return
    owner = (service["spec"].get("service") or {}).get("name", "the API server itself")
    condition = condition_of(service, "Available")
    if "keda" not in owner:
        yield error(
            "external metrics",
            f"external.metrics.k8s.io belongs to {owner}, and a cluster has only one",
            "remove the other adapter, then install KEDA again",
        )
    elif condition.get("status") != "True":
        yield error(
            "external metrics",
            f"external.metrics.k8s.io is not available: {condition.get('message', 'no reason given')}",
            f"see the pods of {owner}",
        )
    else:
        yield ok("external metrics", f"served by {owner}")


def optional_kinds(cluster: Cluster, values: Values) -> Findings:
    """Kinds of other operators, where the values ask for them."""
    for switch, version, kind in KINDS:
        path, _, value = switch.partition("=")
        found = look_up(values, path)
        if found != value if value else not found:
            continue
        asked = switch.replace("=", ": ")
        if cluster.serves(version, kind):
            yield ok(kind, f"served as {version}")
        else:
            yield error(
                kind,
                f"{asked} asks for them, and {version} is not served",
                f"install what brings them ({HOW}), or change {path}",
            )
    if values["gateway"]["hpa"]["enabled"]:
        if cluster.serves("metrics.k8s.io/v1beta1", "pods"):
            yield ok("metrics server", "the gateway's HPA can read the CPU")
        else:
            yield error(
                "metrics server",
                "gateway.hpa.enabled asks for metrics.k8s.io, which is not served",
                "install metrics-server, or set gateway.hpa.enabled: false",
            )


def network_policy(cluster: Cluster, values: Values) -> Findings:
    policy = values["networkPolicy"]
    if not policy["enabled"]:
        yield warn(
            "network policy",
            "every pod of the cluster may reach the ledger",
            "set networkPolicy.enabled: true where the network enforces policies",
        )
        return
    monitoring = policy["monitoringNamespace"]
    if values["monitoring"]["podMonitor"]["enabled"] and not cluster.get(
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


PREREQUISITES = (kubernetes, keda, external_metrics)
LOOKS = (
    *PREREQUISITES,
    optional_kinds,
    gpus,
    storage,
    secrets,
    classes,
    network_policy,
)
