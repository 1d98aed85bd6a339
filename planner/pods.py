"""The worker pods: their life, their deletion cost, and which of them a ReplicaSet deletes first."""

import math
from collections import Counter, deque
from collections.abc import Collection
from dataclasses import dataclass, field
from functools import cmp_to_key
from typing import Literal

Phase = Literal["Pending", "Unknown", "Running"]
PHASES: dict[Phase, int] = {"Pending": 0, "Unknown": 1, "Running": 2}


@dataclass(slots=True, eq=False)
class Pod:
    """One worker pod; it pays for its GPU from `scheduled_at` until it is gone."""

    uid: float
    created_at: float
    node: int | None = None
    phase: Phase = "Pending"
    scheduled_at: float = 0.0
    ready_at: float | None = None
    restarts: int = 0
    batch: list[int] = field(default_factory=list)
    batch_started: float = 0.0
    batch_ends: float = 0.0
    recent: deque[tuple[float, float]] = field(default_factory=deque)  # batches, for the keeper
    deleted: bool = False
    gone: bool = False


@dataclass(frozen=True)
class Keeper:
    """Sets the deletion cost of each pod: 0 when it is idle, 10 and the age of its batch in seconds when it is busy.

    What the ReplicaSet reads is as old as the last round whose patches have arrived, and a pod counts as idle only
    when it had no batch for a while; the seconds are those of service/keeper/pods.py.
    """

    round_seconds: float = 1.0
    patch_seconds: float = 0.2
    idle_seconds: float = 1.0

    def cost(self, pod: Pod, now: float) -> int:
        """The cost that stands in the pod's annotation at this instant."""
        seen_at = now - self.patch_seconds
        if self.round_seconds:
            seen_at -= seen_at % self.round_seconds
        for start, end in reversed(pod.recent):
            if start <= seen_at:
                return (
                    10 + int(min(seen_at, end) - start) if seen_at < end + self.idle_seconds else 0
                )
        return 0

    def drop_old_batches(self, pod: Pod, now: float) -> None:
        """Drop the batches that no round can show any more."""
        oldest = now - self.round_seconds - self.patch_seconds - self.idle_seconds
        while pod.recent and pod.recent[0][1] < oldest:
            pod.recent.popleft()


def pods_to_delete(
    pods: Collection[Pod], count: int, now: float, keeper: Keeper | None
) -> list[Pod]:
    """The pods that a ReplicaSet deletes to have `count` fewer; without a keeper all costs are 0."""
    together = Counter(pod.node for pod in pods)
    candidates = [
        RankedPod(pod, keeper.cost(pod, now) if keeper else 0, together[pod.node], now)
        for pod in pods
    ]
    candidates.sort(key=cmp_to_key(compare_ranks))
    return [candidate.pod for candidate in candidates[:count]]


class RankedPod:
    """A pod as the ReplicaSet ranks it."""

    __slots__ = ("cost", "now", "pod", "readiness", "together")

    def __init__(self, pod: Pod, cost: int, together: int, now: float) -> None:
        self.pod = pod
        self.cost = cost
        self.together = together if pod.node is not None else 0
        self.now = now
        # Unassigned, pending and not ready go before any cost is looked at: a busy worker must stay ready.
        self.readiness = (pod.node is not None, PHASES[pod.phase], pod.ready_at is not None)


def compare_ranks(one: RankedPod, other: RankedPod) -> int:
    """Negative when `one` goes first; the order of Kubernetes' pkg/controller, ActivePodsWithRanks."""
    first = (*one.readiness, one.cost, -one.together)
    second = (*other.readiness, other.cost, -other.together)
    if first != second:
        return -1 if first < second else 1
    a, b = one.pod, other.pod
    if a.ready_at is not None and b.ready_at is not None and a.ready_at != b.ready_at:
        return _younger(a.ready_at, b.ready_at, one.now) or _by_uid(a, b)
    if a.restarts != b.restarts:
        return b.restarts - a.restarts
    return _younger(a.created_at, b.created_at, one.now) or _by_uid(a, b)


def _younger(one: float, other: float, now: float) -> int:
    """Ages are compared by their powers of two, so that among pods of like age chance decides."""
    return _power(now - one) - _power(now - other)


def _power(age: float) -> int:
    return int(math.log2(age * 1e9)) if age > 0 else -1


def _by_uid(one: Pod, other: Pod) -> int:
    return (one.uid > other.uid) - (one.uid < other.uid)
