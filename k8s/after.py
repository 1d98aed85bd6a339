"""After an install: every look at a release, in the order in which faults follow from each other."""

from k8s.cluster import Cluster
from k8s.release import Release
from k8s.scaling import gateway_hpa, numbers, scaling
from k8s.serving import gateway, keeper
from k8s.workloads import deployments, pods, volumes

LOOKS = (volumes, deployments, pods, gateway, gateway_hpa, keeper, scaling, numbers)


def installed(cluster: Cluster, release: Release) -> bool:
    """Whether there is such a release.

    Raises:
        Denied, Unanswered: that cannot be seen.
    """
    return bool(release.deployments(cluster))
