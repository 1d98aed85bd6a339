"""After an install: every look at a release, in the order in which faults follow from each other."""

from k8s.cluster import Cluster
from k8s.findings import Findings, all_of
from k8s.release import Release
from k8s.scaling import gateway_hpa, scaling
from k8s.seen import Seen, look_at
from k8s.serving import rights
from k8s.workloads import volumes, workloads

LOOKS = (volumes, workloads, gateway_hpa, rights, scaling)


def installed(cluster: Cluster, release: Release) -> bool:
    """Whether there is such a release.

    Raises:
        Denied, Unanswered: that cannot be seen.
    """
    return bool(release.deployments(cluster))


def findings(cluster: Cluster, release: Release) -> Findings:
    """All of them, each on a situation of its own."""
    seen: Seen = look_at(cluster, release)
    yield from seen.refused
    yield from all_of(LOOKS, cluster, seen)
