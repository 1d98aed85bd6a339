"""KEDA between 0 and 1, the HPA between 1 and max: how many replicas a model shall have.

The rules are those of KEDA's scale executor (pkg/scaling/executor) and of Kubernetes' HPA controller
(pkg/controller/podautoscaler), with one metric of type AverageValue.
"""

import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

HPA_SECONDS = 15.0
TOLERANCE = 0.1


@dataclass(frozen=True)
class Scaling:
    """`models.<name>.scaling` of the chart; seconds are whole."""

    target: int
    max: int = 1
    min: int = 0
    polling_seconds: int = 5
    cooldown_seconds: int = 300
    initial_cooldown_seconds: int | None = None  # None: as the cooldown
    stabilization_seconds: int = 300
    down_pods_per_minute: int = 1
    up_pods: int = 4
    up_percent: int = 100


class Demand(NamedTuple):
    """What the ledger holds at one instant: predictions that wait, predictions under way, workers with a batch."""

    queued: int
    running: int
    busy: int


Formula = Callable[[Demand, int], float]


def ready_only(demand: Demand, target: int) -> float:
    return demand.queued


def ready_and_running(demand: Demand, target: int) -> float:
    return demand.queued + demand.running


def with_busy(demand: Demand, target: int) -> float:
    """The chart's formula: never fewer replicas than workers with a batch."""
    return max(demand.queued + demand.running, demand.busy * target)


class Activation:
    """KEDA's own part: from 0 to 1 when there is demand, and to 0 when there was none for the cooldown."""

    def __init__(self, scaling: Scaling) -> None:
        self._scaling = scaling
        self._last_active: float | None = None

    def decide(self, now: float, metric: float, replicas: int) -> int:
        """The replicas after one poll; `now` counts from the ScaledObject's creation."""
        if metric > 0:
            self._last_active = now
            return replicas or max(self._scaling.min, 1)
        if replicas and not self._scaling.min:
            return 0 if now > self._quiet_until() else replicas
        return max(replicas, self._scaling.min)

    def _quiet_until(self) -> float:
        cooldown, initial = self._scaling.cooldown_seconds, self._scaling.initial_cooldown_seconds
        if self._last_active is None:  # never active yet: a fresh install
            return cooldown if initial is None else initial
        return self._last_active + cooldown


class HorizontalPodAutoscaler:
    """Kubernetes' algorithm, with the behavior that the chart sets."""

    def __init__(self, scaling: Scaling) -> None:
        self._scaling = scaling
        self._min = max(1, scaling.min)
        self._recommendations: deque[tuple[float, int]] = deque()
        self._added: deque[tuple[float, int]] = deque()
        self._removed: deque[tuple[float, int]] = deque()

    def decide(self, now: float, metric: float, replicas: int) -> int:
        """The replicas after one round; at 0 it rests, for that is KEDA's."""
        if replicas == 0:
            return 0
        if not self._recommendations:
            self._recommendations.append((now, replicas))
        wanted = self._stabilized(now, self.recommend(metric, replicas), replicas)
        if wanted > replicas:
            wanted = min(wanted, max(replicas, self._up_limit(now, replicas)))
        elif wanted < replicas:
            wanted = max(wanted, min(replicas, self._down_limit(now, replicas)))
        decided = min(max(wanted, self._min), self._scaling.max)
        if decided > replicas:
            self._added.append((now, decided - replicas))
        elif decided < replicas:
            self._removed.append((now, replicas - decided))
        return decided

    def recommend(self, metric: float, replicas: int) -> int:
        """As many as bring the average to the target, unless it is within the tolerance already."""
        ratio = metric / (self._scaling.target * replicas)
        if abs(ratio - 1) <= TOLERANCE:
            return replicas
        return math.ceil(metric / self._scaling.target)

    def _stabilized(self, now: float, wanted: int, replicas: int) -> int:
        """Up at once; down only to the highest recommendation of the window."""
        window = self._scaling.stabilization_seconds
        while self._recommendations and self._recommendations[0][0] <= now - window:
            self._recommendations.popleft()
        self._recommendations.append((now, wanted))
        highest = max(count for _, count in self._recommendations)
        return min(replicas, highest) if wanted < replicas else wanted

    def _up_limit(self, now: float, replicas: int) -> int:
        start = self._at_start(now, HPA_SECONDS, replicas)
        return max(
            start + self._scaling.up_pods, math.ceil(start * (1 + self._scaling.up_percent / 100))
        )

    def _down_limit(self, now: float, replicas: int) -> int:
        return self._at_start(now, 60.0, replicas) - self._scaling.down_pods_per_minute

    def _at_start(self, now: float, period: float, replicas: int) -> int:
        """The replicas at the start of the period, from the changes within it."""
        for changes in (self._added, self._removed):
            while changes and changes[0][0] <= now - 60.0:
                changes.popleft()
        added = sum(count for at, count in self._added if at > now - period)
        removed = sum(count for at, count in self._removed if at > now - period)
        return replicas - added + removed
