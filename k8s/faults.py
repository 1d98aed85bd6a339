"""What keeps a pod from running, what to do about it, and whether waiting may help."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from contract.errors import EXIT_REFUSED
from k8s.cluster import Cluster, Object
from k8s.logs import ended_of, is_running, log_command, what_it_said
from k8s.release import component_of, condition_of, is_true, name_of

IMAGE = ("ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull")
CONFIGURATION = ("CreateContainerConfigError", "CreateContainerError", "RunContainerError")

NO_SUCH_IMAGE = re.compile(
    r"not ?found|manifest unknown|name unknown|denied|unauthori[sz]ed|forbidden|no basic auth|"
    r"no (match|matching manifest) for|invalid (image|reference)|InvalidImageName|NeverPull",
    re.IGNORECASE,
)
"""What registries and runtimes say of an image that another try will not bring."""
NO_SUCH_THING = re.compile(r"not found|couldn't find key|no such file", re.IGNORECASE)
BACK_OFF = re.compile(r'^Back-off pulling image "[^"]*"(: (ErrImagePull: )?)?')

WORDLESS = "another try comes later"
"""What a kubelet says of an image between two tries; the reason stands in what it said before."""

SOON, LATER = 10.0, 60.0
"""Seconds for which a fault must stand before it counts as one that does not heal: things that somebody may be
about to make, like Secrets, get the longer."""
ENDINGS = 3
"""So many ends in a row, each after a longer pause, are no accident."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is wrong with a pod."""

    key: str
    """The same for all pods with this fault, and for as long as it stands."""
    what: str
    """After the pod's name and a colon."""
    way_out: str
    level: Literal["warn", "error"] = "error"
    patience: float | None = None
    """Seconds after which it will not heal by itself; None: it may."""


def faults_of(cluster: Cluster, pod: Object) -> Iterator[Fault]:
    """All that is wrong with a pod; nothing of one that starts, runs well or is on its way out."""
    if pod["metadata"].get("deletionTimestamp"):
        return
    yield from unscheduled(cluster, pod)
    status = pod.get("status", {})
    for kind in ("initContainerStatuses", "containerStatuses"):
        for container in status.get(kind) or []:
            yield from _container(cluster, pod, container)


def unscheduled(cluster: Cluster, pod: Object) -> Iterator[Fault]:
    """What the scheduler says of a pod that has no node."""
    placed = condition_of(pod, "PodScheduled")
    if placed.get("status") != "False" or placed.get("reason") != "Unschedulable":
        return
    message = " ".join(str(placed.get("message", "no node takes it")).split())
    if "persistentvolumeclaim" in message.lower():
        describe = f"kubectl -n {cluster.namespace} describe pvc"
        patience = LATER if NO_SUCH_THING.search(message) else None
        yield Fault("volume", f"waits for its volume: {message}", describe, patience=patience)
        return
    for_gpus = "nvidia.com/" in message or "resourceclaim" in message
    if component_of(pod) == "placeholder":
        # It has given way to a worker, which is what it is for.
        way_out = "nothing to do, or add nodes for a spare GPU"
        yield Fault("node", f"waits for a node: {message}", way_out, "warn")
        return
    way_out = (
        "add nodes with GPUs, or lower scaling.max; nothing to do where nodes come on demand"
        if for_gpus
        else "add nodes, or lower its resources"
    )
    yield Fault("node", f"waits for a node: {message}", way_out)


def _container(cluster: Cluster, pod: Object, container: dict[str, Any]) -> Iterator[Fault]:
    """A container that does not start, or that ended and is started again and again."""
    waiting = (container.get("state") or {}).get("waiting") or {}
    reason = str(waiting.get("reason", ""))
    if reason in IMAGE:
        yield _image(container, reason, str(waiting.get("message") or reason))
    elif reason in CONFIGURATION:
        message = str(waiting.get("message") or reason)
        yield Fault(
            f"configuration of {container['name']}",
            f"cannot start {container['name']}: {message}",
            "see that the Secrets and ConfigMaps it names exist",
            patience=LATER if NO_SUCH_THING.search(message) else None,
        )
    elif ended_of(container).get("exitCode"):
        yield _ended(cluster, pod, container)


def _image(container: dict[str, Any], reason: str, message: str) -> Fault:
    said = BACK_OFF.sub("", " ".join(message.split())) or WORDLESS
    return Fault(
        f"image {container.get('image')}",
        f"cannot pull {container.get('image')}: {said}",
        "see images.registry, images.*.tag and images.pullSecrets",
        patience=SOON if NO_SUCH_IMAGE.search(f"{reason} {said}") else None,
    )


def _ended(cluster: Cluster, pod: Object, container: dict[str, Any]) -> Fault:
    ended, name = ended_of(container), container["name"]
    restarts = int(container.get("restartCount", 0))
    log = log_command(cluster.namespace, name_of(pod), container)
    if container.get("ready"):
        what = f"runs, after {restarts} restarts; the last one ended with {_ending(ended)}"
        return Fault(f"restarts of {name}", what, log, "warn")
    patience = SOON if restarts + (not is_running(container)) >= ENDINGS else None
    if ended.get("reason") == "OOMKilled":
        what = f"{name} was killed for its memory, {restarts} restarts"
        return Fault(f"memory of {name}", what, "raise resources.limits.memory", patience=patience)
    said = what_it_said(cluster, name_of(pod), container)
    if ended.get("exitCode") == EXIT_REFUSED:
        way_out = "mend that; it is started again by itself"
        return Fault("refusal", f"refused to start: {said}", way_out, patience=patience)
    what = f"{name} ends with {_ending(ended)}: {said}"
    return Fault(f"crash of {name}", what, log, patience=patience)


def _ending(ended: dict[str, Any]) -> str:
    reason = ended.get("reason", "")
    return f"exit code {ended.get('exitCode')}" + (
        "" if reason in ("", "Error") else f" ({reason})"
    )


def is_alive(pod: Object) -> bool:
    """Whether it counts: it is not on its way out, and has not ended for good (evicted, or done)."""
    over = pod.get("status", {}).get("phase") in ("Succeeded", "Failed")
    return not over and not pod["metadata"].get("deletionTimestamp")


def is_ready(pod: Object) -> bool:
    return is_true(pod, "Ready")
