"""What Kubernetes and KEDA would make of an object at once: its status, and the objects that follow from it."""

import json
import re
import zlib

from tests.k8s.fake_cluster import Object

READY = {"type": "Ready", "status": "True"}


def settle(path: str, made: Object) -> dict[str, Object]:
    """Fill in the status; what follows, by path."""
    kind = made.get("kind", "")
    if kind in ("Deployment", "StatefulSet"):
        count = made["spec"].setdefault("replicas", 1)
        counts = ("replicas", "readyReplicas", "updatedReplicas", "availableReplicas")
        made["status"] = dict.fromkeys(counts, count) | {
            "currentReplicas": count,
            "observedGeneration": made["metadata"]["generation"],
            "conditions": [
                {"type": "Available", "status": "True"},
                {"type": "Progressing", "status": "True", "reason": "NewReplicaSetAvailable"},
            ],
        }
        return _pods(path, made)
    if kind == "Service":
        made["spec"].setdefault("clusterIP", "10.0.0.1")
    if kind == "DaemonSet":
        kinds = ("desired", "current", "updated")
        counts = (*(f"{each}NumberScheduled" for each in kinds), "numberAvailable", "numberReady")
        made["status"] = dict.fromkeys(counts, 1)
    if kind in ("DaemonSet", "ReplicaSet"):
        made["status"]["observedGeneration"] = made["metadata"]["generation"]
    if kind == "PersistentVolumeClaim":
        made["status"] = {"phase": "Bound"}
    if kind == "Pod":
        made["status"] = _of_pod(made)
    if kind == "ScaledObject":
        return _scaled(path, made)
    return {}


def _of_pod(made: Object) -> Object:
    """A pod that is not started anew has done its work at once."""
    ends = made["spec"].get("restartPolicy") == "Never"
    name = made["spec"]["containers"][0]["name"]
    now = "2026-01-01T00:00:00Z"
    run = {"containerID": f"run-of-{made['metadata']['name']}"}
    ended = {"terminated": {**run, "exitCode": 0, "reason": "Completed", "finishedAt": now}}
    state = ended if ends else {"running": {**run, "startedAt": now}}
    container = {"name": name, "ready": not ends, "restartCount": 0, "state": state}
    done = {"type": "Ready", "status": "False", "reason": "PodCompleted"}
    return {
        "phase": "Succeeded" if ends else "Running",
        "startTime": now,
        "conditions": [{"type": "PodScheduled", "status": "True"}, done if ends else READY],
        "containerStatuses": [container],
    }


def _pods(path: str, made: Object) -> dict[str, Object]:
    """One pod, the claims of a StatefulSet, the ReplicaSet of a Deployment."""
    name, template = made["metadata"]["name"], made["spec"]["template"]
    home = re.sub("/apis/apps/v1(/namespaces/[^/]+)/.*", r"/api/v1\1", path)
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": f"{name}-0", "labels": template["metadata"].get("labels", {})},
        "spec": template["spec"],
    }
    found = {f"{home}/pods/{name}-0": pod}
    if made["kind"] == "Deployment":
        number = zlib.crc32(json.dumps(template, sort_keys=True).encode())
        found[path.replace("/deployments/", "/replicasets/") + f"-{number:x}"] = {
            "apiVersion": "apps/v1",
            "kind": "ReplicaSet",
            "metadata": {"name": f"{name}-{number:x}", "labels": template["metadata"]["labels"]},
            "spec": {"template": template, "replicas": made["status"]["replicas"]},
            "status": {"readyReplicas": made["status"]["replicas"]},
        }
    if made["kind"] == "StatefulSet":
        for claim in made["spec"].get("volumeClaimTemplates", []):
            its = f"{claim['metadata']['name']}-{name}-0"
            found[f"{home}/persistentvolumeclaims/{its}"] = {
                "apiVersion": "v1",
                "kind": "PersistentVolumeClaim",
                "metadata": {"name": its, "labels": made["metadata"].get("labels", {})},
                "spec": claim["spec"],
            }
    return found


def _scaled(path: str, made: Object) -> dict[str, Object]:
    """KEDA is content, and makes an HPA that has a number."""
    name = f"keda-hpa-{made['metadata']['name']}"
    made["status"] = {"hpaName": name, "conditions": [READY, {"type": "Active", "status": "False"}]}
    home = re.sub("/apis/[^/]+/[^/]+(/namespaces/[^/]+)/.*", r"/apis/autoscaling/v2\1", path)
    able = [{"type": kind, "status": "True"} for kind in ("AbleToScale", "ScalingActive")]
    hpa = {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": name},
        "spec": {"maxReplicas": made["spec"].get("maxReplicaCount", 1)},
        "status": {"conditions": able, "currentReplicas": 0, "desiredReplicas": 0},
    }
    return {f"{home}/horizontalpodautoscalers/{name}": hpa}
