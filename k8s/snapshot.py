"""A release as it is: all its objects, looked at once, so that findings about them can agree."""

from dataclasses import dataclass, field

from k8s.cluster import Cluster, Object, Unanswered
from k8s.faults import is_alive
from k8s.findings import Finding, warn
from k8s.needs import SCALED
from k8s.release import Release, component_of, label_of, model_of

KINDS = {
    "deployments": "apps/v1",
    "statefulsets": "apps/v1",
    "pods": "v1",
    "persistentvolumeclaims": "v1",
    SCALED[0]: SCALED[1],
}


@dataclass(frozen=True)
class Snapshot:
    """What could not be seen is None in `kinds`, and a warning in `refused`."""

    release: Release
    namespace: str
    kinds: dict[str, list[Object] | None] = field(default_factory=dict)
    refused: list[Finding] = field(default_factory=list)

    def __getitem__(self, kind: str) -> list[Object]:
        return self.kinds.get(kind) or []

    @property
    def workloads(self) -> list[Object]:
        """Deployments and the stores' StatefulSets, without what only waits or tests."""
        found = [*self["deployments"], *self["statefulsets"]]
        return [each for each in found if component_of(each) not in ("placeholder", "test")]

    def workload(self, component: str, model: str = "") -> Object | None:
        return next(
            (w for w in self.workloads if (component_of(w), model_of(w)) == (component, model)),
            None,
        )

    def pods(self, component: str, model: str = "") -> list[Object]:
        """Those that live."""
        return [
            pod
            for pod in self["pods"]
            if is_alive(pod) and (component_of(pod), model_of(pod)) == (component, model)
        ]

    def scaled(self, model: str) -> Object | None:
        found = self[SCALED[0]]
        return next((each for each in found if label_of(each, "soloist/model") == model), None)


def take_snapshot(cluster: Cluster, release: Release) -> Snapshot:
    """Ask for each kind once."""
    snapshot = Snapshot(release, cluster.namespace)
    for kind, group in KINDS.items():
        try:
            snapshot.kinds[kind] = cluster.list_objects(
                cluster.path_of(kind, group), release.labels()
            )
        except Unanswered as refused:
            snapshot.kinds[kind] = None
            snapshot.refused.append(warn(kind, str(refused), refused.way_out))
    return snapshot


def ready_of(workload: Object) -> tuple[int, int]:
    """How many of its pods are ready, and how many are wanted."""
    wanted = workload["spec"].get("replicas", 1)
    return int(workload.get("status", {}).get("readyReplicas") or 0), int(wanted)


def short(workload: Object | None) -> bool:
    """Whether there is such a workload, with fewer ready pods than are wanted."""
    if workload is None:
        return False
    ready, wanted = ready_of(workload)
    return ready < wanted
