"""What a fit cluster and a healthy release hold, so that each test says only what is wrong."""

from typing import Any

from tests.k8s.fake_cluster import FakeCluster, Object

APPS = "/apis/apps/v1/namespaces/ml"
PODS = "/api/v1/namespaces/ml/pods"
SCALED = "/apis/keda.sh/v1alpha1/namespaces/ml/scaledobjects"
HPAS = "/apis/autoscaling/v2/namespaces/ml/horizontalpodautoscalers"
CLAIMS = "/api/v1/namespaces/ml/persistentvolumeclaims"
SECRETS = "/api/v1/namespaces/ml/secrets"
STORAGE = "/apis/storage.k8s.io/v1/storageclasses"
API_SERVICES = "/apis/apiregistration.k8s.io/v1/apiservices"
KEEPER = "system:serviceaccount:ml:soloist-keeper"

METRICS = """\
soloist_queue_depth{model="spam",state="queued"} 10.0
soloist_queue_depth{model="spam",state="running"} 2.0
soloist_busy_workers{model="spam"} 1.0
soloist_keeper_ledger_up 1.0
soloist_keeper_broker_up 1.0
"""


def condition(kind: str, status: bool, reason: str = "", message: str = "") -> Object:
    return {"type": kind, "status": str(status), "reason": reason, "message": message}


def add_prerequisites(cluster: FakeCluster) -> None:
    cluster.kinds["keda.sh/v1alpha1"] = {"scaledobjects", "triggerauthentications"}
    cluster.add(
        "/apis/apps/v1/namespaces/keda/deployments",
        "keda-operator",
        labels={
            "app.kubernetes.io/name": "keda-operator",
            "app.kubernetes.io/version": "2.20.2",
        },
        spec={"template": {"spec": {"containers": [{"image": "kedacore/keda:2.20.2"}]}}},
        status={"availableReplicas": 1},
    )
    cluster.add(
        API_SERVICES,
        "v1beta1.external.metrics.k8s.io",
        spec={"service": {"name": "keda-operator-metrics-apiserver", "namespace": "keda"}},
        status={"conditions": [condition("Available", True)]},
    )
    cluster.add(
        STORAGE,
        "standard",
        annotations={"storageclass.kubernetes.io/is-default-class": "true"},
    )


def labels(component: str, model: str = "") -> dict[str, str]:
    ours = {
        "app.kubernetes.io/name": "soloist",
        "app.kubernetes.io/instance": "soloist",
        "app.kubernetes.io/component": component,
    }
    return {**ours, "soloist/model": model} if model else ours


def volume(size: str, **fields: Any) -> Object:
    """What asks for a volume."""
    resources = {"requests": {"storage": size}}
    return {"spec": {"accessModes": ["ReadWriteOnce"], "resources": resources, **fields}}


def add_release(cluster: FakeCluster) -> None:
    for component, replicas in (("gateway", 2), ("keeper", 1)):
        environment = [{"name": "SOLOIST_POD_SELECTOR", "value": "x"}]
        container = {"name": component, "env": environment if component == "keeper" else []}
        pod = {"serviceAccountName": f"soloist-{component}", "containers": [container]}
        cluster.add(
            f"{APPS}/deployments",
            f"soloist-{component}",
            labels=labels(component),
            spec={"replicas": replicas, "template": {"spec": pod}},
            status={"readyReplicas": replicas},
        )
    cluster.add(
        f"{APPS}/deployments",
        "soloist-worker-spam",
        labels=labels("worker", "spam"),
        spec={"replicas": 1, "template": {"spec": {"containers": [{"name": "worker"}]}}},
        status={"readyReplicas": 1},
    )
    cluster.add(
        f"{APPS}/statefulsets",
        "soloist-ledger",
        labels=labels("ledger"),
        spec={"replicas": 1, "volumeClaimTemplates": [volume("8Gi")]},
        status={"readyReplicas": 1},
    )
    cluster.add(CLAIMS, "data-soloist-ledger-0", labels=labels("ledger"), status={"phase": "Bound"})
    cluster.add(
        PODS,
        "soloist-keeper-1",
        labels=labels("keeper"),
        status={"conditions": [condition("Ready", True)]},
    )
    add_pod(cluster, ready=True)
    add_scaling(cluster)
    cluster.allowed.add((KEEPER, "patch", "pods"))
    cluster.behind["soloist-gateway:http"] = gateway
    cluster.behind["soloist-keeper-1:8001"] = lambda method, path, body, headers: (200, METRICS)


def gateway(method: str, path: str, body: Any, headers: dict[str, str]) -> tuple[int, Any]:
    if path == "/readyz":
        return 200, {"status": "ok"}
    return 200, {"results": [{"id": "local/spam"}]}


def add_scaling(cluster: FakeCluster, **status: Any) -> None:
    cluster.add(
        SCALED,
        "soloist-worker-spam",
        labels=labels("worker", "spam"),
        spec={
            "advanced": {"scalingModifiers": {"formula": "max(queued + running, busy * 8)"}},
        },
        status={
            "hpaName": "keda-hpa-soloist-worker-spam",
            "conditions": [
                condition("Ready", True),
                condition("Active", True),
                condition("Fallback", False),
            ],
            **status,
        },
    )
    cluster.add(
        HPAS,
        "keda-hpa-soloist-worker-spam",
        spec={"maxReplicas": 4},
        status={
            "currentReplicas": 2,
            "desiredReplicas": 2,
            "conditions": [
                condition("AbleToScale", True),
                condition("ScalingActive", True, "ValidMetricFound"),
                condition("ScalingLimited", False),
            ],
            "currentMetrics": [
                {"type": "External", "external": {"current": {"averageValue": "6"}}}
            ],
        },
    )


def add_pod(cluster: FakeCluster, name: str = "soloist-worker-spam-1", **status: Any) -> Object:
    """A worker's pod; `ready`, or with containers and conditions of its own."""
    component = status.pop("component", "worker")
    if status.pop("ready", False):
        status = {
            "conditions": [condition("PodScheduled", True), condition("Ready", True)],
            "containerStatuses": [{"name": "worker", "ready": True, "state": {"running": {}}}],
        }
    return cluster.add(PODS, name, labels=labels(component, "spam"), status=status)


def ended(code: int, reason: str = "Error", restarts: int = 4, **fields: Any) -> Object:
    """A container that ends and is started again and again."""
    return {
        "name": "worker",
        "ready": False,
        "restartCount": restarts,
        "state": {"waiting": {"reason": "CrashLoopBackOff"}},
        "lastState": {
            "terminated": {"exitCode": code, "reason": reason, "containerID": "containerd://last"}
        },
        **fields,
    }
