"""Before an upgrade: what the new values would change in objects that Kubernetes lets nobody change."""

from collections.abc import Iterator

from k8s.cluster import Cluster, Object
from k8s.findings import Finding, Findings, error
from k8s.scaling import quantity
from k8s.values import Plan, Values

PRIORITIES = "/apis/scheduling.k8s.io/v1/priorityclasses"


def check_ledger_volume(cluster: Cluster, plan: Plan) -> Findings:
    """The volume of the bundled Redis stands in its StatefulSet as it was at the install."""
    ledger, name = plan.values["ledger"], f"{plan.release}-ledger"
    found = cluster.get_object(cluster.path_of(f"statefulsets/{name}", "apps/v1"))
    if ledger["mode"] != "bundled" or found is None:
        return
    wanted = ledger["bundled"]["persistence"]
    made = [each["spec"] for each in found["spec"].get("volumeClaimTemplates") or []]
    namespace, claim = cluster.namespace, f"data-{name}-0"
    orphan = f"first: kubectl -n {namespace} delete statefulset {name} --cascade=orphan, which leaves its pod"
    for key, now, then in _differences(made, wanted):
        way_out = orphan
        if key == "size" and quantity(then) > quantity(now):
            way_out += f"; then a larger size in kubectl -n {namespace} edit pvc {claim}"
        elif key == "size":
            way_out = f"leave {now}: a volume can only grow"
        yield error(
            "upgrade of ledger",
            f"ledger.bundled.persistence.{key} would change from {now} to {then}, "
            "and a StatefulSet's volume cannot be changed: the upgrade would be refused",
            way_out,
        )


def _differences(made: list[Object], wanted: Values) -> Iterator[tuple[str, str, str]]:
    """Keys of `persistence`, each with what it was and what it would be."""
    if not (made and wanted["enabled"]):
        if bool(made) != wanted["enabled"]:
            yield "enabled", str(bool(made)).lower(), str(wanted["enabled"]).lower()
        return
    size, storage_class = _size(made[0]), made[0].get("storageClassName", "")
    if quantity(size) != quantity(wanted["size"]):
        yield "size", size, wanted["size"]
    if storage_class != wanted["storageClass"]:
        yield "storageClass", storage_class or '""', wanted["storageClass"] or '""'


def _size(spec: Object) -> str:
    return str(spec["resources"]["requests"]["storage"])


def check_caches(cluster: Cluster, plan: Plan) -> Findings:
    """A claim keeps its class and its modes, and can only grow."""
    for name, model in plan.models.items():
        cache, claim = model["cache"], f"{plan.release}-worker-{name}"
        if cache["type"] != "pvc" or cache["existingClaim"]:
            continue
        found = cluster.get_object(cluster.path_of(f"persistentvolumeclaims/{claim}"))
        if found is not None:
            yield from _of_cache(name, claim, found["spec"], cache)


def _of_cache(name: str, claim: str, made: Object, cache: Values) -> Iterator[Finding]:
    changed = []
    if sorted(made["accessModes"]) != sorted(cache["accessModes"]):
        changed.append("accessModes")
    if cache["storageClass"] and made.get("storageClassName", "") != cache["storageClass"]:
        changed.append("storageClass")
    if quantity(_size(made)) > quantity(cache["size"]):
        changed.append("size")
    if changed:
        yield error(
            f"upgrade of cache of {name}",
            f"cache.{' and cache.'.join(changed)} would change, and PersistentVolumeClaim {claim} can only grow: the "
            "upgrade would be refused",
            "make another claim and name it in cache.existingClaim, or leave them as they are",
        )


def check_placeholders(cluster: Cluster, plan: Plan) -> Findings:
    """A PriorityClass keeps its value."""
    if plan.values["placeholderPriorityClassName"]:
        return
    if not any(model["placeholders"] for model in plan.models.values()):
        return
    name = f"{cluster.namespace}-{plan.release}-placeholder"
    found = cluster.get_object(f"{PRIORITIES}/{name}")
    wanted = plan.values["placeholderPriority"]
    if found is not None and found["value"] != wanted:
        yield error(
            "upgrade of placeholders",
            f"placeholderPriority would change from {found['value']} to {wanted}, and the value of a PriorityClass cannot be "
            "changed: the upgrade would be refused",
            f"first: kubectl delete priorityclass {name}",
        )


CHECKS = (check_ledger_volume, check_caches, check_placeholders)
