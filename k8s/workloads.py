"""After an install: whether the Deployments, pods and volumes of a release are as they should be."""

from typing import Any

from contract.errors import EXIT_REFUSED
from k8s.cluster import Cluster, Object
from k8s.findings import Finding, Findings, error, ok, warn
from k8s.logs import ended_of, last_words, log_command
from k8s.release import Release, component_of, condition_of, model_of, name_of

IMAGE = ("ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull")
CONFIGURATION = ("CreateContainerConfigError", "CreateContainerError", "RunContainerError")


def deployments(cluster: Cluster, release: Release) -> Findings:
    """Ready beside wanted, for Deployments and for the stores' StatefulSets."""
    stores = cluster.items(cluster.here("statefulsets", "apps/v1"), release.labels())
    for found in [*release.deployments(cluster), *stores]:
        if component_of(found) in ("placeholder", "test"):
            continue
        yield _replicas(cluster.namespace, found)


def _replicas(namespace: str, found: Object) -> Finding:
    kind, name = str(found.get("kind", "Deployment")).lower(), name_of(found)
    worker = component_of(found) == "worker"
    subject = f"{component_of(found)} {model_of(found)}".strip()
    wanted = found["spec"].get("replicas", 1)
    ready = found.get("status", {}).get("readyReplicas") or 0
    if ready >= wanted:
        return ok(subject, f"{ready} of {wanted} ready" if wanted else "at zero; demand starts it")
    progress = condition_of(found, "Progressing")
    why = f": {progress.get('message')}" if progress.get("status") == "False" else ""
    sentence = f"{ready} of {wanted} ready{why}"
    if worker and progress.get("status") != "False":
        return warn(subject, sentence, "a model takes its time to load; the pods below say more")
    return error(subject, sentence, f"kubectl -n {namespace} describe {kind} {name}")


def pods(cluster: Cluster, release: Release) -> Findings:
    """Only pods that have a fault are worth a line."""
    for pod in release.pods(cluster):
        if component_of(pod) == "test" or pod["metadata"].get("deletionTimestamp"):
            continue
        yield from _unscheduled(pod)
        status = pod.get("status", {})
        for container in (
            *(status.get("initContainerStatuses") or []),
            *(status.get("containerStatuses") or []),
        ):
            yield from _container(cluster, pod, container)


def _unscheduled(pod: Object) -> Findings:
    placed = condition_of(pod, "PodScheduled")
    if placed.get("status") != "False" or placed.get("reason") != "Unschedulable":
        return
    message = str(placed.get("message", "no node takes it"))
    way_out = (
        "add nodes with GPUs, or lower scaling.max"
        if "nvidia.com/" in message or "resourceclaim" in message
        else "add nodes, or lower its resources"
    )
    # A placeholder that waits has given way to a worker, which is what it is for.
    spare = component_of(pod) == "placeholder"
    yield (warn if spare else error)(f"pod {name_of(pod)}", f"waits for a node: {message}", way_out)


def _container(cluster: Cluster, pod: Object, container: dict[str, Any]) -> Findings:
    """A container that does not start, or that ended and is started again and again."""
    subject = f"pod {name_of(pod)}"
    state = container.get("state") or {}
    waiting = state.get("waiting") or {}
    reason = waiting.get("reason", "")
    if reason in IMAGE:
        yield error(
            subject,
            f"cannot pull {container.get('image')}: {waiting.get('message', reason)}",
            "see images.registry, images.*.tag and images.pullSecrets",
        )
        return
    if reason in CONFIGURATION:
        yield error(
            subject,
            f"cannot start {container['name']}: {waiting.get('message', reason)}",
            "see that the Secrets and ConfigMaps it names exist",
        )
        return
    ended = ended_of(container)
    if not ended.get("exitCode"):
        return
    restarts = container.get("restartCount", 0)
    if container.get("ready"):
        yield warn(
            subject,
            f"runs, after {restarts} restarts; the last one ended with {_ending(ended)}",
            log_command(cluster.namespace, name_of(pod), container),
        )
        return
    yield _ended(cluster, pod, container, ended)


def _ended(
    cluster: Cluster, pod: Object, container: dict[str, Any], ended: dict[str, Any]
) -> Finding:
    subject = f"pod {name_of(pod)}"
    if ended.get("reason") == "OOMKilled":
        return error(
            subject,
            f"{container['name']} was killed for its memory, {container.get('restartCount', 0)} restarts",
            "raise resources.limits.memory",
        )
    said = last_words(cluster, name_of(pod), container)
    if ended.get("exitCode") == EXIT_REFUSED:
        return error(
            subject, f"refused to start: {said}", "mend that; it is started again by itself"
        )
    return error(
        subject,
        f"{container['name']} ends with {_ending(ended)}: {said}",
        log_command(cluster.namespace, name_of(pod), container),
    )


def _ending(ended: dict[str, Any]) -> str:
    reason = ended.get("reason", "")
    return f"exit code {ended.get('exitCode')}" + (
        "" if reason in ("", "Error") else f" ({reason})"
    )


def volumes(cluster: Cluster, release: Release) -> Findings:
    """Claims that are not bound. One that no pod has used yet may have to wait for the first."""
    claims = cluster.items(cluster.here("persistentvolumeclaims"), release.labels())
    for claim in claims:
        subject, phase = f"volume {name_of(claim)}", claim.get("status", {}).get("phase")
        describe = f"kubectl -n {cluster.namespace} describe pvc {name_of(claim)}"
        if phase == "Bound":
            yield ok(subject, "bound")
        elif phase == "Pending" and component_of(claim) == "worker":
            yield warn(subject, "not bound yet; that may wait for the first worker", describe)
        else:
            yield error(subject, f"it is {phase}", describe)
