"""Whether nodes offer the GPUs that each model asks for."""

from typing import Any

from k8s.cluster import Cluster, Object
from k8s.findings import Finding, Findings, error, ok, warn
from k8s.values import Plan, Values, resource_of, workers_of

PRODUCT = "nvidia.com/gpu.product"
DEVICES = "/apis/resource.k8s.io/v1"


def check_gpus(cluster: Cluster, plan: Plan) -> Findings:
    asking = {name: model for name, model in plan.models.items() if model["gpu"]["mode"] != "none"}
    if not asking:
        return
    claiming = {name: model for name, model in asking.items() if model["gpu"]["mode"] == "dra"}
    nodes = cluster.list_objects("/api/v1/nodes") if len(claiming) < len(asking) else []
    for name, model in asking.items():
        if name in claiming:
            yield from _claimed(cluster, name, model["gpu"]["deviceClass"])
        else:
            yield _counted(nodes, name, model)


def _counted(nodes: list[Object], name: str, model: Values) -> Finding:
    """The GPUs that a model's workers could get, beside how many workers there may be.

    Nodes may come and go with the demand, so too few of them are a warning.
    """
    resource = resource_of(model["gpu"])
    least, most, _ = workers_of(model)
    subject = f"gpus of {name}"
    having = [node for node in nodes if offered(node, resource)]
    fitting = [node for node in having if fits(node, model)]
    total = sum(offered(node, resource) for node in fitting)
    if total >= most:
        return ok(subject, f"{total} {resource} on {len(fitting)} nodes, for up to {most} workers")
    if total:
        span = f"and it keeps at least {least}" if least > total else f"for up to {most}"
        return warn(
            subject,
            f"the nodes have {total} {resource}, {span} workers",
            "nothing to do where nodes come on demand; elsewhere add nodes, or some workers will wait",
        )
    if having:
        return warn(
            subject,
            f"{len(having)} nodes have {resource}, but {_unfit(having, model)}",
            "change gpu.products, nodeSelector or tolerations",
        )
    return warn(
        subject,
        f"no node has {resource} now{_offers(nodes)}",
        "install the GPU operator (see k8s/README.md) or set gpu.mode and gpu.resource; "
        "nothing to do where nodes come on demand",
    )


def _offers(nodes: list[Object]) -> str:
    """What kinds of GPUs there are instead."""
    allocatable = (node.get("status", {}).get("allocatable", {}) for node in nodes)
    kinds = {kind for each in allocatable for kind in each if kind.startswith("nvidia.com/")}
    return f"; they offer {', '.join(sorted(kinds))}" if kinds else ""


def offered(node: Object, resource: str) -> int:
    """How many of a resource a node has for pods; none while it is cordoned."""
    if node.get("spec", {}).get("unschedulable"):
        return 0
    return int(node.get("status", {}).get("allocatable", {}).get(resource, 0))


def fits(node: Object, model: Values) -> bool:
    """Whether a worker of this model may be placed on a node, by labels and taints."""
    labels = node["metadata"].get("labels", {})
    selected = all(labels.get(key) == value for key, value in model["nodeSelector"].items())
    products = model["gpu"]["products"]
    return (
        selected and (not products or labels.get(PRODUCT) in products) and _tolerated(node, model)
    )


def _tolerated(node: Object, model: Values) -> bool:
    tolerations = [*model["gpu"]["tolerations"], *model["tolerations"]]
    return all(
        taint["effect"] == "PreferNoSchedule"
        or any(_tolerates(toleration, taint) for toleration in tolerations)
        for taint in node.get("spec", {}).get("taints") or []
    )


def _tolerates(toleration: dict[str, Any], taint: dict[str, Any]) -> bool:
    """As https://kubernetes.io/docs/concepts/scheduling-eviction/taint-and-toleration/ says."""
    if toleration.get("effect") not in (None, "", taint["effect"]):
        return False
    if toleration.get("operator", "Equal") == "Exists":
        return toleration.get("key") in (None, "", taint["key"])
    same_value = toleration.get("value", "") == taint.get("value", "")
    return same_value and bool(toleration.get("key") == taint["key"])


def _unfit(nodes: list[Object], model: Values) -> str:
    """Why none of these nodes will do."""
    products = {node["metadata"].get("labels", {}).get(PRODUCT, "unlabelled") for node in nodes}
    wanted = model["gpu"]["products"]
    if wanted and not products & set(wanted):
        return f"they are {', '.join(sorted(products))} and not {', '.join(wanted)}"
    if all(_tolerated(node, model) for node in nodes):
        return "the model's nodeSelector takes none of them"
    return "their taints are not tolerated"


def _claimed(cluster: Cluster, name: str, device_class: str) -> Findings:
    """dra: the class, and that a driver publishes devices at all; its CEL is the scheduler's to judge."""
    subject = f"gpus of {name}"
    if cluster.get_object(f"{DEVICES}/deviceclasses/{device_class}") is None:
        yield error(
            subject,
            f"there is no DeviceClass {device_class}",
            "install the DRA driver of the GPUs, or set gpu.deviceClass",
        )
        return
    slices = cluster.list_objects(f"{DEVICES}/resourceslices")
    devices = sum(len(each["spec"].get("devices") or []) for each in slices)
    if devices:
        yield ok(
            subject,
            f"DeviceClass {device_class} is there; drivers publish {devices} devices, "
            "of which kinds only the scheduler knows",
        )
    else:
        yield warn(
            subject,
            f"DeviceClass {device_class} is there, but no driver publishes a device",
            "see the pods of the DRA driver; nothing to do where nodes come on demand",
        )
