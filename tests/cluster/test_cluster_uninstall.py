"""What an uninstall leaves behind."""

import pytest
from release import Release
from suite_namespace import wait_until

pytestmark = pytest.mark.cluster


def claims(release: Release) -> set[str]:
    """The volume claims of the release's StatefulSets, which Kubernetes keeps."""
    cluster = release.namespace.cluster
    labels = f"app.kubernetes.io/instance={release.name}"
    return {
        f"persistentvolumeclaim/{claim['metadata']['name']}-{stateful['metadata']['name']}-{number}"
        for stateful in cluster.list_objects(cluster.path_of("statefulsets", "apps/v1"), labels)
        for claim in stateful["spec"].get("volumeClaimTemplates", [])
        for number in range(stateful["spec"]["replicas"])
    }


def left(release: Release) -> set[str]:
    """Every object of ours that there is, as kind/name."""
    namespace = release.namespace
    kinds = namespace.kubectl("api-resources", "--verbs=list", "-o", "name").split()
    # Metrics and events tell of objects and are none.
    ours = [k for k in kinds if "metrics.k8s.io" not in k and not k.startswith("events")]
    label = f"app.kubernetes.io/instance={release.name},app.kubernetes.io/component!=test"
    found = namespace.kubectl(
        "get", ",".join(ours), "-l", label, "-o", "name", "--ignore-not-found"
    )
    return set(found.split())


def test_an_uninstall_leaves_nothing_but_the_ledgers_volume(release: Release) -> None:
    namespace = release.namespace
    release.cancel_all()
    kept = claims(release)
    assert len(left(release)) > 10
    namespace.helm("uninstall", release.name, "--wait", "--timeout", "10m")
    wait_until("all that Kubernetes keeps is left", lambda: left(release) == kept, 300, every=3)
    # Helm never deletes what its tests have made.
    namespace.kubectl("delete", "pods,pvc", "-l", f"app.kubernetes.io/instance={release.name}")
    assert not left(release)
