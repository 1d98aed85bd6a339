"""After an install: whether the Deployments, StatefulSets and volumes of a release are as they should be.

A workload with too few pods and the pods that say why are one situation, and one finding.
"""

from collections.abc import Iterator

from k8s.cluster import Cluster, Object
from k8s.faults import Fault, faults_of, unscheduled
from k8s.findings import Finding, Findings, error, ok, warn
from k8s.release import component_of, condition_of, model_of, name_of, scaled_by_keda
from k8s.serving import Answer, not_ready_because, serves
from k8s.snapshot import Snapshot, ready_of

Group = tuple[Fault, list[Object]]
"""A fault, and the pods that have it."""


def check_workloads(cluster: Cluster, snapshot: Snapshot) -> Findings:
    """Ready beside wanted, and why not; then what is wrong with pods beside that."""
    for found in snapshot.workloads:
        yield from _workload(cluster, snapshot, found)
    theirs = {(component_of(each), model_of(each)) for each in snapshot.workloads}
    others = {(component_of(pod), model_of(pod)) for pod in snapshot["pods"]} - theirs
    for component, model in sorted(others):
        if component != "test":
            yield from _of_pods(_groups(cluster, snapshot.pods(component, model)))


def _workload(cluster: Cluster, snapshot: Snapshot, found: Object) -> Findings:
    component, model = component_of(found), model_of(found)
    subject = f"{component} {model}".strip()
    groups = _groups(cluster, snapshot.pods(component, model))
    ready, wanted = ready_of(found)
    count = f"{ready} of {wanted} ready" if ready <= wanted else f"{ready} ready, {wanted} wanted"
    if ready < wanted and groups:
        (fault, pods), *others = groups
        why = f"{count}: {_who(pods)}: {fault.what}"
        yield Finding(fault.level, subject, why, fault.way_out)
        yield from _of_pods(others)
        return
    if ready < wanted:
        yield _slow(cluster, snapshot, found, subject, count)
    elif not wanted:
        yield _at_zero(snapshot, found, subject)
    elif component == "gateway":
        yield _served(count, serves(cluster, snapshot.release))
    else:
        yield ok(subject, count)
    yield from _of_pods(groups)


def _groups(cluster: Cluster, pods: list[Object]) -> list[Group]:
    """Pods by what is wrong with them, errors first."""
    groups: dict[str, Group] = {}
    for pod in pods:
        for fault in faults_of(cluster, pod):
            groups.setdefault(fault.key, (fault, []))[1].append(pod)
    return sorted(groups.values(), key=lambda group: group[0].level != "error")


def _of_pods(groups: list[Group]) -> Iterator[Finding]:
    for fault, pods in groups:
        yield Finding(fault.level, _who(pods), fault.what, fault.way_out)


def _who(pods: list[Object]) -> str:
    return f"pod {name_of(pods[0])}" + (f" and {len(pods) - 1} more" if len(pods) > 1 else "")


def _slow(cluster: Cluster, snapshot: Snapshot, found: Object, subject: str, count: str) -> Finding:
    """Too few are ready, and no pod says why."""
    component = component_of(found)
    describe = f"kubectl -n {cluster.namespace} describe {found['kind'].lower()} {name_of(found)}"
    refused = condition_of(found, "ReplicaFailure")
    if refused.get("status") == "True":
        return error(subject, f"{count}: no pod may be made: {refused.get('message')}", describe)
    progress = condition_of(found, "Progressing")
    if progress.get("status") == "False":
        return error(subject, f"{count}: {progress.get('message')}", describe)
    if component == "worker":
        return warn(subject, count, "nothing yet: a model takes its time to load")
    why = not_ready_because(cluster, snapshot.pods(component)) if component == "gateway" else ""
    if why:
        return error(
            subject, f"{count}: {why}", "see the ledger; it heals by itself when that is back"
        )
    return error(subject, count, describe)


def _at_zero(snapshot: Snapshot, found: Object, subject: str) -> Finding:
    """What may start it is said by the finding on its scaling."""
    scaled = scaled_by_keda(found) or snapshot.scaled(model_of(found))
    if component_of(found) != "worker" or scaled or snapshot.kinds.get("scaledobjects") is None:
        return ok(subject, "at zero")
    return warn(
        subject,
        "at zero, and nothing scales it",
        "set scaling.replicas, or let KEDA scale it: scaling.enabled: true",
    )


def _served(count: str, answer: Answer) -> Finding:
    level, said, way_out = answer
    joined = "; " if level != "error" else ", but "
    return Finding(level, "gateway", f"{count}{joined}{said}", way_out)


def check_volumes(cluster: Cluster, snapshot: Snapshot) -> Findings:
    """Claims that are not bound, unless a pod that waits has said it already, or is what they wait for."""
    for claim in snapshot["persistentvolumeclaims"]:
        subject, phase = f"volume {name_of(claim)}", claim.get("status", {}).get("phase")
        describe = f"kubectl -n {cluster.namespace} describe pvc {name_of(claim)}"
        component, model = component_of(claim), model_of(claim)
        users = [pod for pod in snapshot.pods(component, model) if _mounts(pod, name_of(claim))]
        waiting = [fault for pod in users for fault in unscheduled(cluster, pod)]
        if phase == "Bound":
            yield ok(subject, "bound")
        elif phase == "Pending" and waiting:
            continue
        elif phase == "Pending" and component == "worker":
            yield warn(subject, "not bound yet; that may wait for the first worker", describe)
        else:
            yield error(subject, f"it is {phase}", describe)


def _mounts(pod: Object, claim: str) -> bool:
    return any(
        volume.get("persistentVolumeClaim", {}).get("claimName") == claim
        for volume in pod.get("spec", {}).get("volumes") or []
    )
