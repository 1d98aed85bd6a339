"""After an install: whether the gateway answers and the keeper may do its work."""

from k8s.cluster import Cluster, Object
from k8s.findings import Findings, error, ok, warn
from k8s.release import Release, component_of, name_of

REVIEW = "/apis/authorization.k8s.io/v1/subjectaccessreviews"


def gateway(cluster: Cluster, release: Release) -> Findings:
    """Asked through the API server, as `kubectl get --raw` does."""
    root = cluster.behind_service(release.gateway)
    answer = cluster.ask("GET", f"{root}/readyz")
    if answer.refusal and answer.status in (401, 403):
        yield warn(
            "gateway",
            f"it cannot be asked from here: {answer.refusal}",
            "get the right to get and create services/proxy, or ask it yourself",
        )
        return
    if answer.refusal or answer.status >= 500:
        body = answer.json
        said = body.get("detail") if isinstance(body, dict) else None
        yield error(
            "gateway",
            f"it is not ready: {answer.refusal or said or answer.status}",
            "see its pods, then the ledger",
        )
        return
    found = cluster.ask("GET", f"{root}/v1/models").json
    models = found.get("results") if isinstance(found, dict) else None
    if not isinstance(models, list):
        yield error(
            "gateway", f"{release.gateway} is no Soloist gateway", "see what its Service selects"
        )
        return
    names = ", ".join(str(model.get("id")) for model in models)
    yield ok("gateway", f"ready; serves {names}")


def keeper(cluster: Cluster, release: Release) -> Findings:
    """Whether it may mark busy workers, where it is told to."""
    for found in release.deployments(cluster):
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
    review = cluster.create(
        REVIEW,
        {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SubjectAccessReview",
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
        yield ok("keeper", "may mark busy workers")
    else:
        yield error(
            "keeper",
            f"its ServiceAccount {account} may not patch pods, so scaling in may take busy workers",
            f"see Role and RoleBinding {name_of(deployment)}, or set keeper.deletionCost: false",
        )
