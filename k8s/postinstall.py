"""After an install: every check of a release, in the order in which faults follow from each other."""

from k8s.cluster import Cluster
from k8s.findings import Findings, run_checks
from k8s.release import Release
from k8s.scaling import check_gateway_hpa, check_scaling
from k8s.serving import check_rights
from k8s.snapshot import take_snapshot
from k8s.workloads import check_volumes, check_workloads

CHECKS = (check_volumes, check_workloads, check_gateway_hpa, check_rights, check_scaling)


def is_installed(cluster: Cluster, release: Release) -> bool:
    """Whether there is such a release.

    Raises:
        Denied, Unanswered: that cannot be seen.
    """
    return bool(release.deployments(cluster))


def check_release(cluster: Cluster, release: Release) -> Findings:
    """What is wrong, each finding on another matter."""
    snapshot = take_snapshot(cluster, release)
    yield from snapshot.refused
    yield from run_checks(CHECKS, cluster, snapshot)
