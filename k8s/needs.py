"""What an install cannot do without: Kubernetes itself and, where a model is scaled, KEDA with the metrics that it serves."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from k8s.cluster import Cluster, Object, Unanswered
from k8s.findings import Findings, error, ok, warn
from k8s.release import Release, condition_of, scaled_by_keda
from k8s.values import Plan

Version = tuple[int, int]

KUBERNETES: Version = (1, 30)
KEDA: Version = (2, 18)
HOW = "see k8s/README.md"
SCALED = ("scaledobjects", "keda.sh/v1alpha1")


@dataclass(frozen=True, slots=True)
class Needs:
    """Out of the values of an install that is to be, or of a release that is there."""

    kubernetes: Version = KUBERNETES
    because: str = "Soloist"
    """What needs that version."""
    keda: bool = True
    """Whether any model is scaled."""
    let_in: str | None = None
    """The one namespace from which KEDA may read the ledger; None where no policy of ours keeps it out."""


def needs_of_plan(plan: Plan) -> Needs:
    """What these values need."""
    least, because = KUBERNETES, "Soloist"
    for name, model in plan.models.items():
        if model["cache"]["type"] == "image" and least < (1, 33):
            least, because = (1, 33), f"the image volume of models.{name}.cache"
        if model["gpu"]["mode"] == "dra":
            least, because = (1, 34), f"gpu.mode dra of the model {name}"
    scaled = any(model["scaling"]["enabled"] for model in plan.models.values())
    policy = plan.values["networkPolicy"]
    kept_out = scaled and policy["enabled"] and plan.values["ledger"]["mode"] == "bundled"
    return Needs(least, because, scaled, policy["kedaNamespace"] if kept_out else None)


def needs_of_release(cluster: Cluster, release: Release) -> Needs:
    """What a release needs, by its own objects: its values are not known.

    Raises:
        Denied, Unanswered: its Deployments cannot be seen.
    """
    marked = any(scaled_by_keda(found) for found in release.deployments(cluster))
    return Needs(
        keda=marked or _has_scaled_objects(cluster, release), let_in=_let_in(cluster, release)
    )


def _has_scaled_objects(cluster: Cluster, release: Release) -> bool:
    try:
        return bool(cluster.list_objects(cluster.path_of(*SCALED), release.labels()))
    except Unanswered:
        return False  # whoever looks at them next says why they cannot be seen


def _let_in(cluster: Cluster, release: Release) -> str | None:
    """The namespace beside ours that the ledger's NetworkPolicy names."""
    path = cluster.path_of(f"networkpolicies/{release.ledger}", "networking.k8s.io/v1")
    try:
        policy = cluster.get_object(path)
    except Unanswered:
        return None
    return next(_namespaces(policy or {}), None)


def _namespaces(policy: Object) -> Iterator[str]:
    for rule in policy.get("spec", {}).get("ingress") or []:
        for peer in rule.get("from") or []:
            labels = peer.get("namespaceSelector", {}).get("matchLabels", {})
            yield from (v for k, v in labels.items() if k == "kubernetes.io/metadata.name")


# --- Kubernetes -------------------------------------------------------------------------------------


def version_of(text: str) -> Version | None:
    """Major and minor out of what versions look like.

    >>> version_of("v1.34.2-gke.5"), version_of("2.20.2"), version_of("main")
    ((1, 34), (2, 20), None)
    """
    found = re.match(r"v?(\d+)\.(\d+)", text)
    return (int(found[1]), int(found[2])) if found else None


def _written(version: Version) -> str:
    return f"{version[0]}.{version[1]}"


def check_kubernetes(cluster: Cluster, needs: Needs) -> Findings:
    text = str((cluster.get_object("/version") or {}).get("gitVersion", ""))
    version = version_of(text)
    if version is None:
        yield warn("kubernetes", f"the API server calls itself {text!r}", "see that it is >= 1.30")
    elif version < needs.kubernetes:
        yield error(
            "kubernetes",
            f"this is {text}, and {needs.because} needs {_written(needs.kubernetes)}",
            "upgrade the cluster" + ("" if needs.kubernetes == KUBERNETES else ", or set another"),
        )
    else:
        yield ok("kubernetes", f"{text} at {cluster.address}")


# --- KEDA -------------------------------------------------------------------------------------------


def check_keda(cluster: Cluster, needs: Needs) -> Findings:
    if not needs.keda:
        return
    missing = _missing(cluster)
    if missing:
        yield error("keda", f"KEDA's {' and '.join(missing)} are unknown here", _install())
        return
    found = cluster.list_objects(
        "/apis/apps/v1/deployments", "app.kubernetes.io/name=keda-operator"
    )
    if not found:
        yield warn(
            "keda",
            "its kinds are served, but no Deployment is labelled app.kubernetes.io/name=keda-operator",
            f"see that KEDA >= {_written(KEDA)} runs",
        )
        return
    yield from _operator(found[0])
    namespace = found[0]["metadata"]["namespace"]
    if needs.let_in not in (None, namespace):
        yield error(
            "network policy of the ledger",
            f"KEDA runs in namespace {namespace}, and only {needs.let_in} may read the ledger",
            f"set networkPolicy.kedaNamespace: {namespace}",
        )


def _missing(cluster: Cluster) -> list[str]:
    """Which of KEDA's kinds the API server does not know."""
    kinds = ("scaledobjects", "triggerauthentications")
    return [kind for kind in kinds if not cluster.serves_kind("keda.sh/v1alpha1", kind)]


def _operator(operator: Object) -> Findings:
    """KEDA's version, and that it runs."""
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


def _install() -> str:
    return f"install KEDA, {HOW}, or set scaling.enabled: false"


def _keda_version(operator: Object) -> str:
    label = operator["metadata"].get("labels", {}).get("app.kubernetes.io/version")
    if label:
        return str(label)
    image = str(operator["spec"]["template"]["spec"]["containers"][0].get("image", ""))
    return image.partition("@")[0].rpartition(":")[2]


def check_external_metrics(cluster: Cluster, needs: Needs) -> Findings:
    """The one API of its kind in a cluster: HPAs read KEDA's numbers there."""
    if not needs.keda:
        return
    service = cluster.get_object(
        "/apis/apiregistration.k8s.io/v1/apiservices/v1beta1.external.metrics.k8s.io"
    )
    if service is None:
        if not _missing(cluster):  # else all of KEDA is missing, and one finding says so
            yield error("external metrics", "external.metrics.k8s.io is not registered", _install())
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


CHECKS = (check_kubernetes, check_keda, check_external_metrics)
