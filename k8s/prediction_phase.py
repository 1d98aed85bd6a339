"""What a prediction waits for, read from its own status and from its model's pods."""

from dataclasses import dataclass
from typing import Any

from k8s.cluster import Object
from k8s.faults import Fault
from k8s.logs import is_running
from k8s.release import condition_of, is_true, name_of

ASKING = "asking the gateway"
QUEUED = "queued"
NO_NODE = "waiting for a node"
FETCHING = "fetching the model"
PULLING = "pulling the image"
STARTING = "starting the worker"
LOADING = "loading the model"
PROCESSING = "processing"

ORDER = (NO_NODE, STARTING, PULLING, FETCHING, LOADING)


@dataclass(frozen=True, slots=True)
class Waiting:
    """A phase, and why it lasts where that is known."""

    phase: str
    why: str = ""
    key: str = ""
    """The same for as long as the reason is, however it is worded; as `why` if not given."""
    way_out: str = ""
    patience: float | None = None
    """Seconds after which it will not heal by itself; None: it may."""

    @property
    def shown(self) -> str:
        return f"{self.phase} ({self.why})" if self.why else self.phase


def because_of(phase: str, pod: Object, fault: Fault, patience: float | None) -> Waiting:
    """A phase that lasts because of what is wrong with a pod."""
    what = fault.what.removeprefix("waits for a node: ")
    why = f"pod {name_of(pod)}: {what}"
    return Waiting(phase, why, f"{name_of(pod)} {fault.key}", fault.way_out, patience)


def pod_phase(pod: Object) -> str:
    """How far a pod that is not ready yet has come."""
    if condition_of(pod, "PodScheduled").get("status") != "True":
        return NO_NODE
    status = pod.get("status", {})
    first = status.get("initContainerStatuses") or []
    rest = status.get("containerStatuses") or []
    reasons = [_reason(container) for container in (*first, *rest)]
    if any(reasons):
        return PULLING if any("Image" in reason for reason in reasons) else STARTING
    if any(is_running(container) for container in first):
        return FETCHING
    if any(is_running(container) for container in rest):
        return LOADING
    # The sandbox and the volumes come first; then the kubelet pulls (Kubernetes 1.29 and later).
    return PULLING if is_true(pod, "PodReadyToStartContainers") else STARTING


def furthest(pods: list[Object]) -> Object:
    """The pod that has come furthest."""
    return max(pods, key=lambda pod: ORDER.index(pod_phase(pod)))


def _reason(container: dict[str, Any]) -> str:
    """What a container waits for, other than its turn."""
    reason = str(((container.get("state") or {}).get("waiting") or {}).get("reason", ""))
    return "" if reason in ("ContainerCreating", "PodInitializing") else reason
