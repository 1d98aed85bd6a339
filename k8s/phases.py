"""What a prediction waits for, read from its own status and from its model's pods."""

from typing import Any

from k8s.cluster import Object
from k8s.release import condition_of, is_true

QUEUED = "queued"
NO_NODE = "waiting for a node"
FETCHING = "fetching the model"
PULLING = "pulling the image"
STARTING = "starting the worker"
LOADING = "loading the model"
PROCESSING = "processing"


def phase_of(prediction: Object, pods: list[Object] | None) -> tuple[str, str]:
    """The phase, and what more there is to say.

    Args:
        pods: the model's worker pods; None where they cannot be seen.
    """
    if prediction.get("status") == "processing":
        return PROCESSING, ""
    position = prediction.get("queue_position")
    place = "" if position is None else f"position {position}"
    alive = [pod for pod in pods or [] if not pod["metadata"].get("deletionTimestamp")]
    if not alive or any(is_true(pod, "Ready") for pod in alive):
        return QUEUED, place
    furthest = max(alive, key=lambda pod: ORDER.index(pod_phase(pod)[0]))
    return pod_phase(furthest)


ORDER = (NO_NODE, STARTING, PULLING, FETCHING, LOADING)


def pod_phase(pod: Object) -> tuple[str, str]:
    """How far a pod that is not ready yet has come."""
    placed = condition_of(pod, "PodScheduled")
    if placed.get("status") != "True":
        return NO_NODE, " ".join(str(placed.get("message", "")).split())
    status = pod.get("status", {})
    first = status.get("initContainerStatuses") or []
    rest = status.get("containerStatuses") or []
    for container in (*first, *rest):
        trouble = _trouble(container)
        if trouble:
            return (PULLING if "Image" in trouble else STARTING), trouble
    if any(_runs(container) for container in first):
        return FETCHING, ""
    if any(_runs(container) for container in rest):
        return LOADING, ""
    # The sandbox and the volumes come first; then the kubelet pulls (Kubernetes 1.29 and later).
    return (PULLING if is_true(pod, "PodReadyToStartContainers") else STARTING), ""


def _runs(container: dict[str, Any]) -> bool:
    return "running" in (container.get("state") or {})


def _trouble(container: dict[str, Any]) -> str:
    """Why a container does not get any further."""
    waiting = (container.get("state") or {}).get("waiting") or {}
    reason = str(waiting.get("reason", ""))
    if reason in ("", "ContainerCreating", "PodInitializing"):
        return ""
    message = " ".join(str(waiting.get("message", "")).split())
    return f"{reason}: {message}" if message else reason
