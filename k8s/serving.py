"""After an install: whether the gateway answers and the keeper may do its work."""

from k8s.cluster import Cluster, Object
from k8s.findings import Findings, Level, error, ok
from k8s.release import Release, component_of, name_of
from k8s.snapshot import Snapshot

REVIEW = ("localsubjectaccessreviews", "authorization.k8s.io/v1")
"""Of one namespace: who administers that may ask it."""

Answer = tuple[Level, str, str]
"""How well it answered, what that means, and the way out."""


def serves(cluster: Cluster, release: Release) -> Answer:
    """Whether the gateway answers, asked through the API server, as `kubectl get --raw` does."""
    root = cluster.service_path(release.gateway)
    answer = cluster.request("GET", f"{root}/readyz")
    if answer.refusal and answer.status in (401, 403):
        return (
            "warn",
            f"it cannot be asked from here: {answer.refusal}",
            "get the right to get and create services/proxy, or ask it yourself",
        )
    if answer.refusal or answer.status >= 500:
        said = answer.refusal or _detail(answer.json) or answer.status
        return (
            "error",
            f"it answers that it is not ready: {said}",
            "see the ledger, then its own log",
        )
    found = cluster.request("GET", f"{root}/v1/models").json
    models = found.get("results") if isinstance(found, dict) else None
    if not isinstance(models, list):
        return (
            "error",
            f"{release.gateway} is no Soloist gateway",
            "see what its Service selects",
        )
    return "ok", f"serves {', '.join(str(model.get('id')) for model in models)}", ""


def not_ready_because(cluster: Cluster, pods: list[Object]) -> str:
    """What a gateway that runs and is not ready says itself; nothing where it cannot be asked."""
    for pod in pods:
        answer = cluster.request("GET", cluster.path_of(f"pods/{name_of(pod)}:8000/proxy/readyz"))
        if answer.refusal is None and answer.status >= 500:
            return _detail(answer.json)
    return ""


def _detail(body: object) -> str:
    return str(body.get("detail") or "") if isinstance(body, dict) else ""


def check_rights(cluster: Cluster, snapshot: Snapshot) -> Findings:
    """Whether the keeper may mark busy workers, where it is told to."""
    for found in snapshot["deployments"]:
        if component_of(found) == "keeper" and _marks(found):
            yield from _may_patch(cluster, found)


def _marks(deployment: Object) -> bool:
    containers = deployment["spec"]["template"]["spec"]["containers"]
    return any(
        variable.get("name") == "SOLOIST_POD_SELECTOR"
        for container in containers
        for variable in container.get("env") or []
    )


def _may_patch(cluster: Cluster, deployment: Object) -> Findings:
    account = deployment["spec"]["template"]["spec"].get("serviceAccountName", "default")
    namespace = cluster.namespace
    review = cluster.create_object(
        cluster.path_of(*REVIEW),
        {
            "apiVersion": REVIEW[1],
            "kind": "LocalSubjectAccessReview",
            "metadata": {"namespace": namespace},
            "spec": {
                "user": f"system:serviceaccount:{namespace}:{account}",
                "groups": [
                    "system:serviceaccounts",
                    f"system:serviceaccounts:{namespace}",
                    "system:authenticated",
                ],
                "resourceAttributes": {"namespace": namespace, "verb": "patch", "resource": "pods"},
            },
        },
    )
    if review.get("status", {}).get("allowed"):
        yield ok("rights of keeper", "may mark busy workers")
    else:
        yield error(
            "rights of keeper",
            f"its ServiceAccount {account} may not patch pods, so scaling in may take busy workers",
            f"see Role and RoleBinding {name_of(deployment)}, or set keeper.deletionCost: false",
        )
