"""Why a prediction waits: what the pods of a release say, and what starts them."""

from k8s.cluster import Cluster, Object, Unanswered
from k8s.faults import SOON, WORDLESS, Fault, faults_of, is_alive, is_ready
from k8s.needs import SCALED
from k8s.prediction_phase import (
    ASKING,
    PROCESSING,
    QUEUED,
    Waiting,
    because_of,
    furthest,
    pod_phase,
)
from k8s.release import Release, condition_of, name_of
from k8s.scaling import is_paused, keda_fault


class Watch:
    """Looks at one model's part of a release; without a cluster, or the right to look, it sees nothing."""

    def __init__(self, cluster: Cluster | None, release: Release, model: str) -> None:
        self._cluster = cluster
        self._release = release
        self._model = model
        self._known: dict[str, Fault] = {}

    def gateway(self, said: str) -> Waiting:
        """Why the gateway does not take predictions: its own pods, or those that it needs."""
        for component in ("gateway", "ledger", "broker"):
            pods = self._pods(component)
            stuck = self._stuck(ASKING, pods) if pods else None
            if stuck:
                return stuck
        return Waiting(ASKING, said)

    def prediction(self, prediction: Object) -> Waiting:
        """Why an accepted prediction is not over."""
        if prediction.get("status") == "processing":
            return Waiting(PROCESSING)
        position = prediction.get("queue_position")
        queued = Waiting(QUEUED, "" if position is None else f"position {position}")
        pods = self._pods("worker", self._model)
        if pods is None or any(is_ready(pod) for pod in pods):
            return queued
        if not pods:
            return self._nobody() or queued
        fine = [pod for pod in pods if self._fault(pod) is None]
        if fine:
            return Waiting(pod_phase(furthest(fine)))
        return self._stuck(pod_phase(furthest(pods)), pods) or queued

    def _pods(self, component: str, model: str = "") -> list[Object] | None:
        """Those that live; None where they cannot be seen."""
        if self._cluster is None:
            return None
        try:
            found = self._release.pods(self._cluster, component, model)
        except Unanswered:
            return None
        return [pod for pod in found if is_alive(pod)]

    def _fault(self, pod: Object) -> Fault | None:
        assert self._cluster is not None  # noqa: S101
        found = next((f for f in faults_of(self._cluster, pod) if f.level == "error"), None)
        if found is None:
            return None
        key = f"{name_of(pod)} {found.key}"
        if WORDLESS in found.what and key in self._known:
            return self._known[key]
        self._known[key] = found
        return found

    def _stuck(self, phase: str, pods: list[Object]) -> Waiting | None:
        """What is wrong with all of these pods; nothing while any of them is well."""
        faults = [self._fault(pod) for pod in pods]
        if any(is_ready(pod) for pod in pods) or None in faults:
            return None
        patiences = [fault.patience for fault in faults if fault]
        hopes = None in patiences
        patience = None if hopes else max(each for each in patiences if each is not None)
        first = furthest(pods)
        fault = self._fault(first)
        return because_of(phase, first, fault, patience) if fault else None

    def _nobody(self) -> Waiting | None:
        """Why there is no pod at all, as far as anything is wrong."""
        cluster, release = self._cluster, self._release
        assert cluster is not None  # noqa: S101
        labels = release.labels("worker", self._model)
        try:
            workers = cluster.list_objects(cluster.path_of("deployments", "apps/v1"), labels)
            scaled = cluster.list_objects(cluster.path_of(*SCALED), labels)
        except Unanswered:
            return None
        refused = condition_of(workers[0], "ReplicaFailure") if workers else {}
        if refused.get("status") == "True":
            return Waiting(QUEUED, f"no pod may be made: {refused.get('message')}", "no pod")
        if not workers or workers[0]["spec"].get("replicas", 1):
            return None
        if not scaled:
            return _nothing_starts(
                "no worker runs, and nothing scales them", "set scaling.replicas"
            )
        if is_paused(scaled[0]):
            return _nothing_starts(
                "no worker runs, and scaling is paused", "set scaling.paused: false"
            )
        fault = keda_fault(scaled[0], f"scaling of {self._model}", cluster.namespace)
        return Waiting(QUEUED, fault.sentence, "keda", fault.way_out) if fault else None


def _nothing_starts(why: str, way_out: str) -> Waiting:
    return Waiting(QUEUED, why, why, way_out, SOON)
